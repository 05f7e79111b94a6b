/** Gradient flow: how large the gradients of the layers' kernels are, from the first layer down to the last. */

import { lanesIn } from "./lanes.js";

/** @typedef {import("./lanes.js").Entry} Entry */
/** @typedef {import("../data/run.js").Run} Run */

/**
 * A line down the network: for each entry that has any, the decimal logarithms of its kernels' values.
 * @typedef {{entry: number, middle: number, all: number[]}[]} FlowLine
 */

/**
 * @param {Entry[]} entries
 * @param {"gradient" | "update"} kind
 * @param {(tensor: number) => number} rms of a tensor, NaN where it is not known
 * @returns {FlowLine} `middle` is the median of `all`; what is 0, or no number, is left out
 */
export function flowOf(entries, kind, rms) {
  return entries.flatMap(({ part, open }, entry) => {
    if (open) return [];
    const all = lanesIn(part)
      .map((lane) => Math.log10(rms(lane[kind])))
      .filter(Number.isFinite)
      .sort((a, b) => a - b);
    return all.length ? [{ entry, middle: all[all.length >> 1], all }] : [];
  });
}

/**
 * The range of the axis that all steps share, in decimal logarithms.
 * @param {Float32Array[]} columns of what is drawn, by step
 * @param {number} healthy how many steps count: those before the first error
 * @returns {[number, number]} whole powers of ten, at least three apart
 */
export function flowRange(columns, healthy) {
  let [low, high] = [Infinity, -Infinity];
  const powers = [];
  for (const column of columns) {
    const every = Math.max(1, Math.floor(healthy / 500));
    for (let i = 0; i < Math.min(healthy, column.length); i += every) {
      const power = Math.log10(column[i]);
      if (Number.isFinite(power)) powers.push(power);
    }
  }
  powers.sort((a, b) => a - b);
  if (powers.length) {
    // A float32's 1e30 is a little more; and not −0.
    low = Math.floor(powers[Math.floor(0.002 * (powers.length - 1))] + 1e-6);
    high = Math.ceil(powers[Math.ceil(0.998 * (powers.length - 1))] - 1e-6) + 0;
  }
  if (low > high) return [-4, -1];
  while (high - low < 3) {
    low--;
    if (high - low < 3) high++;
  }
  return [low, high];
}

/**
 * The values of the steps at which flow is drawn, by tensor.
 * @param {Run} run
 * @param {"gradient" | "update"} kind
 * @param {number} index of the step
 * @returns {(tensor: number) => number} the rms at that step; NaN where it is not there
 */
export function rmsAt(run, kind, index) {
  const columns = run.columns.get(kind);
  const views = columns?.has("rms") ? columns.views.get("rms") : undefined;
  return (tensor) => {
    const position = columns?.positions.get(tensor);
    return position === undefined ? NaN : (views?.[position]?.[index] ?? NaN);
  };
}

/**
 * The line of the run, or the step, that is compared with.
 * @param {Entry[]} entries of A
 * @param {import("../map/use_comparison.js").Compared} comparison
 * @param {number} index of A's step
 * @returns {FlowLine | null} null where none is compared with
 */
export function comparedFlow(entries, comparison, index) {
  const b = comparison.current.value;
  const partner = comparison.matching.value?.partner;
  if (!b || !partner) return null;
  const rms = rmsAt(b, "gradient", comparison.matched.value[index] ?? -1);
  return flowOf(entries, "gradient", (tensor) => rms(partner[tensor] ?? -1));
}

/** How many steps are looked through for one that has gradients. */
const MOST_LOOKED_THROUGH = 64;

/**
 * The line of a step, or of the nearest in a direction that has any: an optimizer that is only listened to has taken no
 * step before the first, and a step whose values are all that is logged has no gradients.
 * @param {Entry[]} entries
 * @param {Run} run
 * @param {"gradient" | "update"} kind
 * @param {number} from index of the step
 * @param {1 | -1} direction
 * @returns {FlowLine}
 */
export function nearestFlow(entries, run, kind, from, direction) {
  const { length } = run.history.steps;
  for (let i = 0; i < MOST_LOOKED_THROUGH; i++) {
    const index = from + direction * i;
    if (index < 0 || index >= length || (i > 0 && hasAny(run, kind, index - direction))) break;
    const line = flowOf(entries, kind, rmsAt(run, kind, index));
    if (line.length) return line;
  }
  return [];
}

/**
 * Whether a kind was logged at a step, be it without a finite element.
 * @param {Run} run
 * @param {"gradient" | "update"} kind
 * @param {number} index of the step
 */
function hasAny({ columns }, kind, index) {
  const views = columns.get(kind)?.views.get("non_finite") ?? [];
  return views.some((column) => !Number.isNaN(column[index]));
}

/**
 * Below which gradient a layer's learning has all but stopped beside the others': the rule's own threshold.
 * @param {FlowLine} line
 * @param {number} ratio of the largest layer's
 * @returns {number} decimal logarithm; -Infinity where nothing is known
 */
export function vanishingBelow(line, ratio) {
  return Math.max(-Infinity, ...line.flatMap(({ all }) => all)) + Math.log10(ratio);
}
