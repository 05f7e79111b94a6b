/** Units over the steps: what they are, since when each is silent, in which order, and how they come to pixels. */

import { formatCount, formatShare } from "../kit/format.js";
import { statisticScale } from "../kit/colour.js";
import { isPlausible } from "../kit/plausible.js";
import { overflowOf, pastOf, scaleRange } from "../kit/scale_range.js";

/** @typedef {import("../data/types.js").Kind} Kind */

/**
 * A statistic of each unit at each step at which units are kept.
 * @typedef {object} UnitColumn
 * @property {Uint32Array} indices of the steps, ascending, into the run's list of steps
 * @property {number} units
 * @property {Float32Array} values [steps, units]
 */

/** @typedef {"index" | "activity" | "change" | "previous" | "silence"} UnitOrder */

/** @type {{name: string, label: string, scale: "size" | "signed" | "share", meaning: string}[]} */
export const UNIT_STATISTICS = [
  { name: "rms", label: "rms", scale: "size", meaning: "Root mean square: how active the unit is" },
  { name: "mean", label: "mean", scale: "signed", meaning: "Mean of the unit's finite elements" },
  {
    name: "zero",
    label: "zero share",
    scale: "share",
    meaning: "The share of the unit's elements that are exactly 0",
  },
  {
    name: "peak",
    label: "peak",
    scale: "size",
    meaning: "The unit's largest magnitude; 0 means that all of its elements are 0",
  },
];

/**
 * What is known of the units, ready to be drawn.
 * @typedef {object} UnitsShown
 * @property {UnitColumn} column
 * @property {Float32Array} peaks [steps, units]
 * @property {(typeof UNIT_STATISTICS)[number]} statistic
 * @property {number[]} steps the kept steps' numbers
 * @property {number} at position of the selected step among them: the latest kept one up to it
 * @property {Silence[]} silence by unit
 * @property {Uint32Array} rows unit by row
 * @property {boolean} broken whether any unit has no finite element at any step
 * @property {string} unit what one is called: "channel"
 * @property {{short: string, long: string}} silent what it is called to be all zero
 */

/** @type {Record<UnitOrder, string>} */
export const UNIT_ORDERS = {
  index: "by index",
  activity: "most active first",
  change: "most changed since the first step",
  previous: "most changed since the previous step",
  silence: "longest silent first",
};

/**
 * What `/units` sends: uint32 steps n, uint32 units u, n uint32 indices, float32 [n, u].
 * @param {ArrayBuffer} buffer
 * @returns {UnitColumn}
 */
export function decodeUnitColumn(buffer) {
  const [steps, units] = buffer.byteLength >= 8 ? new Uint32Array(buffer, 0, 2) : [NaN, NaN];
  const expected = 8 + 4 * steps * (1 + units);
  if (buffer.byteLength !== expected) {
    throw new Error(
      `${buffer.byteLength} bytes of units are not the ${expected} that ${steps} steps of ${units} units take.`,
    );
  }
  return {
    indices: new Uint32Array(buffer, 8, steps),
    units,
    values: new Float32Array(buffer, 8 + 4 * steps, steps * units),
  };
}

/**
 * Later steps after those that are known.
 * @param {UnitColumn} known
 * @param {UnitColumn} later of as many units
 * @returns {UnitColumn}
 */
export function appendUnits(known, later) {
  if (!later.indices.length) return known;
  if (!known.indices.length) return later;
  const indices = new Uint32Array(known.indices.length + later.indices.length);
  indices.set(known.indices);
  indices.set(later.indices, known.indices.length);
  const values = new Float32Array(known.values.length + later.values.length);
  values.set(known.values);
  values.set(later.values, known.values.length);
  return { indices, units: known.units, values };
}

/**
 * The latest of the kept steps up to a step, else the first later one; -1 for none.
 * @param {ArrayLike<number>} indices ascending
 * @param {number} index
 */
export function latestKept(indices, index) {
  if (!indices.length) return -1;
  let at = 0;
  while (at + 1 < indices.length && indices[at + 1] <= index) at++;
  return at;
}

/**
 * When a unit was silent: positions among the kept steps, from and to, both included.
 * @typedef {[number, number][]} Silence
 */

/**
 * The stretches of kept steps over which each unit's peak is 0. A unit that has no finite element is not silent.
 * @param {Float32Array} peaks [steps, units]
 * @param {number} units
 * @returns {Silence[]} by unit
 */
export function silences(peaks, units) {
  const steps = units ? peaks.length / units : 0;
  /** @type {Silence[]} */
  const found = Array.from({ length: units }, () => []);
  for (let step = 0; step < steps; step++) {
    for (let unit = 0; unit < units; unit++) {
      if (peaks[step * units + unit] !== 0) continue;
      const last = found[unit].at(-1);
      if (last && last[1] === step - 1) last[1] = step;
      else found[unit].push([step, step]);
    }
  }
  return found;
}

/**
 * Since which kept step a unit is silent at a step; -1 if it is not.
 * @param {Silence} silence
 * @param {number} at position among the kept steps
 */
export function silentSince(silence, at) {
  return silence.find(([from, to]) => from <= at && at <= to)?.[0] ?? -1;
}

/**
 * What to call a unit of which all elements are 0. Of an activation that is silence, on the inputs that were looked at:
 * whether the unit is dead, its incoming weights would have to tell.
 * @param {Kind} kind
 * @param {{examples: number} | null} probe
 * @returns {{short: string, long: string}}
 */
export function silenceNamed(kind, probe) {
  if (kind !== "activation") return { short: "all zero", long: "all zero" };
  const on = probe ? `the probe (${formatCount(probe.examples)} examples)` : "what was logged";
  return { short: "silent", long: `silent on ${on}` };
}

const MOST_STRETCHES = 4;

/**
 * A unit's silence in words, over all kept steps.
 * @param {Silence} silence
 * @param {number[]} steps the kept steps' numbers
 * @param {string} name what silence is called
 */
export function silenceInWords(silence, steps, name) {
  const last = steps.length - 1;
  if (!silence.length) return `never ${name} at the ${formatCount(steps.length)} steps kept`;
  if (silence[0][0] === 0 && silence[0][1] === last) {
    return steps.length === 1
      ? `${name} at step ${formatCount(steps[0])}, the only one kept`
      : `${name} at all ${formatCount(steps.length)} steps kept, since step ${formatCount(steps[0])}`;
  }
  const stretches = silence.map(([from, to]) => {
    if (to === last) return `since step ${formatCount(steps[from])}`;
    return from === to
      ? `at step ${formatCount(steps[from])}`
      : `from ${formatCount(steps[from])} to ${formatCount(steps[to])}`;
  });
  const back = silence[silence.length - 1][1] < last ? ", came back" : "";
  if (stretches.length <= MOST_STRETCHES) return `${name} ${joinWords(stretches)}${back}`;
  const left = stretches.length - MOST_STRETCHES;
  // The latest stretches say how it is now.
  return `${name} ${joinWords(stretches.slice(-MOST_STRETCHES))}, and ${left} ${left === 1 ? "time" : "times"} before${back}`;
}

/** @param {string[]} parts */
function joinWords(parts) {
  return parts.length < 2
    ? parts.join("")
    : `${parts.slice(0, -1).join(", ")} and ${parts[parts.length - 1]}`;
}

/**
 * The line above the map: how many units are silent at a step, and how many of them have been so from the start.
 * @param {Silence[]} all
 * @param {number} at position among the kept steps
 * @param {string} plural what the units are called: channels
 * @param {string} name what silence is called
 */
export function summary(all, at, plural, name) {
  const since = all.map((silence) => silentSince(silence, at));
  const silent = since.filter((from) => from >= 0).length;
  const always = since.filter((from) => from === 0).length;
  const ever = all.filter((silence) => silence.length).length;
  const of = `${formatCount(silent)} of ${formatCount(all.length)} ${plural} ${name} at this step`;
  if (silent) {
    const start = always === silent ? "all of them" : always ? formatCount(always) : "none of them";
    return `${of} (${formatShare(silent / all.length)}), ${start} since the first step`;
  }
  return ever ? `${of}; ${formatCount(ever)} at other steps` : `${of}, none at any other`;
}

/**
 * The order in which units are shown; those that are alike stay in the order of their indices.
 * @param {UnitOrder} order
 * @param {UnitColumn} column of the statistic that is shown
 * @param {Silence[]} silence by unit
 * @param {number} at position among the kept steps
 * @returns {Uint32Array} unit by row
 */
export function orderUnits(order, { values, units }, silence, at) {
  const rows = Uint32Array.from({ length: units }, (_, unit) => unit);
  if (order === "index" || !units) return rows;
  const value = (/** @type {number} */ step, /** @type {number} */ unit) =>
    values[Math.max(0, step) * units + unit];
  /** @param {number} unit @returns {number} the larger the earlier */
  const worth = (unit) => {
    if (order === "silence") return silenceWorth(silence[unit], at);
    if (order === "activity") return Math.abs(value(at, unit));
    return Math.abs(value(at, unit) - value(order === "change" ? 0 : at - 1, unit));
  };
  const worths = Float64Array.from(rows, worth);
  return rows.sort((a, b) => compare(worths[a], worths[b]) || a - b);
}

/**
 * Larger first, what is not a number before all: it is what one looks for.
 * @param {number} a
 * @param {number} b
 */
function compare(a, b) {
  if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(b)) - Number(Number.isNaN(a));
  return a === b ? 0 : b - a;
}

/**
 * Silent now before silent once, each by how long.
 * @param {Silence} silence
 * @param {number} at
 */
function silenceWorth(silence, at) {
  const since = silentSince(silence, at);
  if (since >= 0) return 1e9 + (at - since + 1);
  return silence.reduce((sum, [from, to]) => sum + (to - from + 1), 0);
}

/**
 * The range of a ramp of sizes: all but the hundredth at both ends, and a factor of one and a half at least, so that
 * units that are alike look alike. What is not plausible does not count, as long as there is anything else.
 * @param {Float32Array} values
 * @returns {[number, number]}
 */
export function sizeRange(values) {
  const every = Math.max(1, Math.floor(values.length / 50_000));
  let sample = [];
  for (let i = 0; i < values.length; i += every) {
    if (values[i] > 0 && values[i] < Infinity) sample.push(values[i]);
  }
  const plausible = sample.filter((value) => isPlausible(value));
  if (plausible.length) sample = plausible;
  if (!sample.length) return [0.1, 1];
  sample.sort((a, b) => a - b);
  const high = sample[Math.ceil(0.99 * (sample.length - 1))];
  return [Math.min(sample[Math.floor(0.01 * (sample.length - 1))], high / 1.5), high];
}

/**
 * The colours of units: of the steps before numbers break.
 * @param {UnitColumn} column
 * @param {"size" | "signed" | "share"} scale of the statistic
 * @param {number} healthy how many of the run's steps lie before that
 * @param {boolean} breaks
 * @returns {import("../kit/colour.js").ColourScale}
 */
export function unitScale({ indices, units, values }, scale, healthy, breaks) {
  const kept = indices.findIndex((index) => index >= healthy);
  const [past] = pastOf([values], kept < 0 ? values.length : kept * units);
  const range = scale === "size" ? sizeRange(past) : scaleRange([past], scale);
  return { ...statisticScale(scale, range), over: overflowOf(range, breaks) };
}

/** What a pixel of the map shows besides its value. */
export const SILENT = 1;
export const PARTLY_SILENT = 2;
export const BROKEN = 3;

/**
 * Brings units × steps to pixels. A pixel holds the value of largest magnitude of all its cells, and says if any of them
 * is silent or not finite: nothing is skipped.
 * @param {UnitColumn} column
 * @param {Float32Array} peaks [steps, units]
 * @param {Uint32Array} rows unit by row, from `orderUnits`
 * @param {number} height pixels
 * @param {{first: Int32Array, last: Int32Array}} columns from `columnSteps` over the kept steps
 * @returns {{values: Float32Array, marks: Uint8Array}} [height, width]
 */
export function toPixels({ values, units }, peaks, rows, height, { first, last }) {
  const width = first.length;
  const out = new Float32Array(width * height).fill(NaN);
  const marks = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    const top = Math.min(units - 1, Math.floor((y * units) / height));
    const bottom = Math.max(top + 1, Math.min(units, Math.floor(((y + 1) * units) / height)));
    for (let x = 0; x < width; x++) {
      let largest = NaN;
      let silent = 0;
      let broken = false;
      for (let step = first[x]; step <= last[x]; step++) {
        for (let row = top; row < bottom; row++) {
          const at = step * units + rows[row];
          const value = values[at];
          if (!Number.isFinite(value)) broken = true;
          else if (!(Math.abs(largest) >= Math.abs(value))) largest = value;
          if (peaks[at] === 0) silent++;
        }
      }
      const cells = (last[x] - first[x] + 1) * (bottom - top);
      out[y * width + x] = largest;
      if (broken) marks[y * width + x] = BROKEN;
      else if (silent) marks[y * width + x] = silent === cells ? SILENT : PARTLY_SILENT;
    }
  }
  return { values: out, marks };
}
