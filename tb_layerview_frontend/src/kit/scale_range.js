/** Over which values the colours of a statistic reach. */

import { NATURAL } from "./colour.js";
import { MOST } from "./plausible.js";

/** @typedef {import("../data/statistics.js").Scale} Scale */
/** @typedef {import("../data/types.js").Tensor} Tensor */
/** @typedef {import("../data/types.js").Layer} Layer */
/** @typedef {import("./colour.js").MapTransform} MapTransform */

/**
 * How many of a run's steps a range is of: those before the first at which numbers break, so that what came before keeps its
 * colours; all where none breaks, or the first one does.
 * @param {number[]} steps ascending
 * @param {number | null} brokenAt
 */
export function healthySteps(steps, brokenAt) {
  const before = brokenAt === null ? 0 : steps.findIndex((step) => step >= brokenAt);
  return before > 0 ? before : steps.length;
}

/**
 * What of some columns a range is of: their healthy past, or all where nothing is known of that.
 * @param {Float32Array[]} columns by step
 * @param {number} healthy how many steps
 */
export function pastOf(columns, healthy) {
  const past = columns.map((column) => column.subarray(0, healthy));
  return past.some((column) => column.some(Number.isFinite)) ? past : columns;
}

/**
 * Whether a range is of a tensor, too: not of what a model takes, and not of integers, which are names of things.
 * @param {Pick<Tensor, "kind" | "dtype">} tensor
 * @param {Pick<Layer, "class_name">} layer
 */
export function countsForRange({ kind, dtype }, { class_name: layer }) {
  if (kind !== "activation") return true;
  return (
    !/^(u?int|bool)/.test(dtype) &&
    !/^(Input|InputLayer|Placeholder\w*|IteratorGetNext)$/.test(layer)
  );
}

/** By how much numbers that broke exceed what was usual before. */
const OVERFLOW = 10;

/**
 * Above which magnitude a value has the overflow's colour: where numbers break, when it is ten times what there was before;
 * elsewhere when no training works with it.
 * @param {[number, number]} range
 * @param {boolean} breaks
 */
export function overflowOf([low, high], breaks) {
  const most = Math.max(Math.abs(low), Math.abs(high));
  return breaks ? OVERFLOW * most : Math.max(MOST, OVERFLOW * most);
}

/**
 * The finite value of the largest magnitude, where that lies above what colours reach over; 0 if there is none.
 * @param {Float32Array} column
 * @param {number} over
 */
export function largestBeyond(column, over) {
  let largest = 0;
  for (let i = 0; i < column.length; i++) {
    const magnitude = Math.abs(column[i]);
    if (magnitude > over && magnitude < Infinity && magnitude > Math.abs(largest)) {
      largest = column[i];
    }
  }
  return largest;
}

/**
 * The range that a colour scale must cover, from a sample of the values: a statistic of a thousand tensors at ten thousand
 * steps is sampled, evenly.
 * @param {Float32Array[]} columns
 * @param {Scale} scale
 * @param {MapTransform} [transform] the scale's own if not given
 * @param {number} [target] the right value of a ratio
 * @param {number} [least] by which factor a logarithmic scale's ends differ at least, or noise would fill it
 * @returns {[number, number]} lowest and highest value; for a signed statistic on a logarithmic scale, of the magnitudes
 */
export function scaleRange(columns, scale, transform = NATURAL[scale], target = 1, least = 4) {
  const log = transform === "log";
  if (scale === "share" && !log) return [0, 1];
  const sample = sampleMagnitudes(columns);
  if (!sample.length) return scale === "signed" && !log ? [-1, 1] : log ? [0.1, 1] : [0, 1];
  const at = (/** @type {number} */ share) => sample[Math.floor(share * (sample.length - 1))];
  const [low, high] = [at(0.002), at(0.998)];
  if (scale === "share") return [Math.min(Math.max(low, 1e-8), 0.1), 1];
  if (scale === "ratio" && log) {
    // Symmetric in factors around the right value: by ten at least, or noise would look like a fault.
    const factor = Math.min(1e4, Math.max(10, target / low, high / target));
    return [target / factor, target * factor];
  }
  if (!log) return scale === "signed" ? [-high, high] : [0, high];
  // More than 10⁸ would leave no colours between.
  return [Math.min(Math.max(low, high * (scale === "signed" ? 1e-4 : 1e-8)), high / least), high];
}

/**
 * Magnitudes of the values that are neither 0 nor infinite, at most 50,000 or so of them, spread evenly: the plausible ones,
 * as long as there are any.
 * @param {Float32Array[]} columns
 * @returns {Float32Array} ascending
 */
function sampleMagnitudes(columns) {
  const plausible = sampleBelow(columns, MOST);
  return plausible.length ? plausible : sampleBelow(columns, Infinity);
}

/**
 * @param {Float32Array[]} columns
 * @param {number} most
 * @returns {Float32Array} ascending
 */
function sampleBelow(columns, most) {
  const total = columns.reduce((sum, { length }) => sum + length, 0);
  const every = Math.max(1, Math.floor(total / 50_000));
  const sample = new Float32Array(Math.ceil(total / every));
  let count = 0;
  let at = 0;
  for (const column of columns) {
    for (; at < column.length; at += every) {
      const magnitude = Math.abs(column[at]);
      if (magnitude > 0 && magnitude < most) sample[count++] = magnitude;
    }
    at -= column.length;
  }
  return sample.subarray(0, count).sort();
}
