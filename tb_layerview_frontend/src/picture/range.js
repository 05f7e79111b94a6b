/** What the colours of a picture reach over. */

import { rangeOverSteps } from "../distribution/histogram.js";
import { isPlausible, MOST } from "../kit/plausible.js";

/** @typedef {import("../data/payload.js").Histogram} Histogram */
/** @typedef {[number, number]} Range */

/**
 * Lowest and highest plausible value of the data; of the finite ones where none is plausible; [0, 0] where none is finite.
 * @param {ArrayLike<number>} data
 * @param {number} [most] from which magnitude on values are not plausible
 * @returns {Range}
 */
export function finiteRange(data, most = MOST) {
  return rangesAlong(data, 1, data.length || 1, most)[0];
}

/**
 * The same for each index of an axis.
 * @param {ArrayLike<number>} data
 * @param {number} count of the axis
 * @param {number} stride of the axis
 * @param {number} [most] from which magnitude on values are not plausible
 * @returns {Range[]}
 */
export function rangesAlong(data, count, stride, most = MOST) {
  const [plausible, finite] = [emptyRanges(count), emptyRanges(count)];
  for (let i = 0; i < data.length; i++) {
    const value = data[i];
    if (!Number.isFinite(value)) continue;
    const { low, high } = isPlausible(value, most) ? plausible : finite;
    const at = Math.floor(i / stride) % count;
    if (value < low[at]) low[at] = value;
    if (value > high[at]) high[at] = value;
  }
  return Array.from({ length: count }, (_, at) => {
    const { low, high } = plausible.low[at] <= plausible.high[at] ? plausible : finite;
    return low[at] <= high[at] ? [low[at], high[at]] : [0, 0];
  });
}

/** @param {number} count */
function emptyRanges(count) {
  return {
    low: new Float64Array(count).fill(Infinity),
    high: new Float64Array(count).fill(-Infinity),
  };
}

/**
 * The 1st to 99th percentile over all steps, so that moving through the steps shows growth; the shown values' own range
 * where there is nothing else, or all that matters lies beyond the percentiles (a layer of which 99 % is zero). A percentile
 * lies somewhere in its bin: it goes no further than there are elements.
 * @param {(Histogram | null)[] | null} histograms of all steps, null if there are none
 * @param {Range} own
 * @param {Range} [extremes] the smallest and the largest element of all steps
 * @param {number} [most] from which magnitude on values are not plausible
 * @param {number} [healthy] how many steps lie before numbers break: the range is of these, if anything is known of them
 * @returns {Range}
 */
export function rangeOverAllSteps(
  histograms,
  own,
  extremes = [-Infinity, Infinity],
  most = MOST,
  healthy = Infinity,
) {
  const past = histograms?.slice(0, healthy);
  const known = past?.some((histogram) => histogram?.total) ? past : histograms;
  const overall = known && rangeOverSteps(known, 0.01, 0.99, most);
  if (!overall) return own;
  const [low, high] = [Math.max(overall[0], extremes[0]), Math.min(overall[1], extremes[1])];
  return low < high ? [low, high] : own;
}

/**
 * A range that a person has typed: two numbers, the lower one first.
 * @param {string} low
 * @param {string} high
 * @returns {{range: Range} | {problem: string}}
 */
export function rangeByHand(low, high) {
  const [from, to] = [low, high].map((text) => Number(text.trim().replace("−", "-") || NaN));
  for (const [number, text] of /** @type {const} */ ([
    [from, low],
    [to, high],
  ])) {
    if (!Number.isFinite(number)) return { problem: `“${text}” is no number.` };
  }
  return from < to
    ? { range: [from, to] }
    : { problem: `The lower end, ${low.trim()}, must lie below the upper one, ${high.trim()}.` };
}
