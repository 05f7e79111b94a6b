/** The curves above the map: which of them share a scale, and the numbers beside it. */

import { ticks as linearTicks } from "d3-array";

import { isWide } from "../kit/value_axis.js";

/**
 * @typedef {object} Curve
 * @property {string} name of the scalar
 * @property {string} label
 * @property {string} colour a custom property of the style sheet
 * @property {boolean} dashed
 * @property {string} group curves of one group have one unit, and so one scale
 * @property {Float64Array} values by step
 * @property {Uint8Array} absent 1 where a step lacks it
 * @property {Uint8Array} [held] 1 where a value is only carried on from the step before
 * @property {{step: number, value: number}[]} points of the evaluation run's scalar of that name
 */

/** @typedef {{group: string, log: boolean, low: number, high: number, known: boolean}} CurveScale `known`: whether any value is finite */

/** Those that stand together are far apart in hue or lightness, also for who sees no red or green. */
const COLOURS = [1, 2, 5, 4, 3, 6].map((number) => `--lv-curve-${number}`);

/** Curves that are alone with their unit have a group of their own name. */
const [LOSS, RATE, SHARE] = ["loss", "learning rate", "share"];

/**
 * The curves of a run, the losses first.
 * @param {import("../data/types.js").History} history
 * @param {import("../data/types.js").History | null} evaluation of the run that evaluates this one
 * @returns {Curve[]}
 */
export function curvesOf(history, evaluation = null) {
  const groups = Object.entries(history.scalars).map(([name, values]) => ({
    name,
    group: groupOf(name, values),
  }));
  const order = [LOSS, RATE, SHARE];
  const place = (/** @type {string} */ group) => (order.indexOf(group) + 1 || 4) - 1;
  return groups
    .sort(
      (a, b) =>
        place(a.group) - place(b.group) ||
        Number(b.name === "loss") - Number(a.name === "loss") ||
        a.name.localeCompare(b.name),
    )
    .map(({ name, group }, index) => ({
      name,
      label: name.replaceAll("_", " "),
      colour: COLOURS[index % COLOURS.length],
      // Told apart by more than their hues.
      dashed: Math.floor(index / 3) % 2 === (index < COLOURS.length ? 1 : 0),
      group,
      values: history.scalars[name],
      absent: history.absent[name],
      points: pointsOf(name, history, evaluation),
    }));
}

/**
 * Those that are drawn: the chosen ones, else what leads, and B's beside it.
 * @param {Curve[]} curves
 * @param {string[]} chosen names
 */
export function drawnOf(curves, chosen) {
  const drawn = curves.filter(({ name }) => chosen.includes(name));
  const [first] = curves;
  return drawn.length
    ? drawn
    : curves.filter(({ name }) => [first.name, `${first.name} of B`].includes(name));
}

/**
 * @param {string} name
 * @param {Float64Array} values
 */
function groupOf(name, values) {
  if (/(^|_)(lr|learning_rate)$/.test(name)) return RATE;
  if (name.includes("loss")) return LOSS;
  const isError = /error|deviation|divergence|entropy|(^|_)(mse|mae|mape|msle|rmse)$/.test(name);
  const isShare = values.every((value) => !Number.isFinite(value) || (value >= 0 && value <= 1));
  return isShare && !isError ? SHARE : name;
}

/**
 * What the evaluation has measured, unless the training's own scalars hold it as `val_…`.
 * @param {string} name
 * @param {import("../data/types.js").History} history
 * @param {import("../data/types.js").History | null} evaluation
 */
function pointsOf(name, history, evaluation) {
  const values = evaluation?.scalars[name];
  if (!evaluation || !values || history.scalars[`val_${name}`]) return [];
  return evaluation.steps.flatMap((step, i) =>
    Number.isFinite(values[i]) ? [{ step, value: values[i] }] : [],
  );
}

/**
 * The scales of the curves that are drawn, in their order: logarithmic for losses and learning rates, and for what spans much.
 * @param {Curve[]} curves
 * @returns {CurveScale[]}
 */
export function curveScales(curves) {
  /** @type {Map<string, {low: number, high: number}>} */
  const ranges = new Map();
  for (const { group, values, points } of curves) {
    const range = ranges.get(group) ?? { low: Infinity, high: -Infinity };
    const widen = (/** @type {number} */ value) => {
      if (!Number.isFinite(value)) return;
      range.low = Math.min(range.low, value);
      range.high = Math.max(range.high, value);
    };
    values.forEach(widen);
    for (const { value } of points) widen(value);
    ranges.set(group, range);
  }
  return [...ranges].map(([group, { low, high }]) => {
    if (low > high) return { group, log: false, low: 0, high: 1, known: false };
    const log = ([LOSS, RATE].includes(group) && low > 0) || isWide(low, high);
    if (log) {
      const margin = Math.max((high / low) ** 0.06, low === high ? 2 : 1.02);
      return { group, log, low: low / margin, high: high * margin, known: true };
    }
    const margin = (high - low) * 0.06 || Math.abs(high) * 0.5 || 1;
    return { group, log, low: low - margin, high: high + margin, known: true };
  });
}

/**
 * Where a value lies on a scale.
 * @param {CurveScale} scale
 * @param {number} value
 * @returns {number} 0 at its lower end, 1 at its upper one
 */
export function unitOn({ log, low, high }, value) {
  return log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
}

/**
 * Round values to write beside a scale, three or so.
 * @param {CurveScale} scale
 * @returns {number[]} ascending
 */
export function curveTicks(scale) {
  const { log, low, high } = scale;
  if (!log) return linearTicks(low, high, 3);
  const from = Math.floor(Math.log10(low));
  const to = Math.ceil(Math.log10(high));
  for (const factors of [[1], [1, 3], [1, 2, 5]]) {
    const ticks = [];
    for (let power = from; power <= to; power++) {
      for (const factor of factors) ticks.push(Number(`${factor}e${power}`));
    }
    const inside = ticks.filter((value) => value >= low && value <= high);
    if (inside.length >= 2) return inside.filter((_, i) => i % Math.ceil(inside.length / 4) === 0);
  }
  return linearTicks(low, high, 2);
}
