/** Quantiles over the steps, brought to pixel columns. */

import { isPlausible, MOST } from "../kit/plausible.js";
import { quantiles } from "./histogram.js";

/** @typedef {import("../data/payload.js").Histogram} Histogram */

/** The quantiles that the server has columns of. */
export const QUANTILES = /** @type {const} */ ({
  p1: 0.01,
  p5: 0.05,
  p25: 0.25,
  p50: 0.5,
  p75: 0.75,
  p95: 0.95,
  p99: 0.99,
});

export const BAND_STATISTICS = /** @type {const} */ ([
  "min",
  "p1",
  "p5",
  "p25",
  "p50",
  "p75",
  "p95",
  "p99",
  "max",
]);

/**
 * Each statistic by step; NaN where it is not known.
 * @typedef {Record<(typeof BAND_STATISTICS)[number], Float32Array>} Bands
 */

/** What is drawn: from which statistic up to which, the widest first. */
export const BANDS = /** @type {const} */ ([
  ["p1", "p99"],
  ["p5", "p95"],
  ["p25", "p75"],
]);

/**
 * Fills in the quantiles that a log does not have as columns from the histograms that are here.
 * @param {Bands} bands
 * @param {(Histogram | null)[]} histograms by step; may be shorter
 * @returns {Bands}
 */
export function fillBands(bands, histograms) {
  const names = /** @type {(keyof typeof QUANTILES)[]} */ (Object.keys(QUANTILES));
  const fractions = names.map((name) => QUANTILES[name]);
  const filled = { ...bands };
  for (const name of names) filled[name] = bands[name].slice();
  for (let step = 0; step < Math.min(histograms.length, bands.p50.length); step++) {
    const histogram = histograms[step];
    if (!Number.isNaN(bands.p50[step]) || !histogram?.total) continue;
    quantiles(histogram, fractions).forEach((value, i) => {
      filled[names[i]][step] = value;
    });
  }
  return filled;
}

/**
 * Quantiles of histograms alone; the lowest and highest edge stand for the smallest and largest element.
 * @param {(Histogram | null)[]} histograms by step
 * @param {number} steps
 * @returns {Bands}
 */
export function bandsOf(histograms, steps) {
  const bands = /** @type {Bands} */ (
    Object.fromEntries(BAND_STATISTICS.map((name) => [name, new Float32Array(steps).fill(NaN)]))
  );
  for (let step = 0; step < Math.min(steps, histograms.length); step++) {
    const histogram = histograms[step];
    if (!histogram?.total) continue;
    bands.min[step] = histogram.lower[0];
    bands.max[step] = histogram.upper[histogram.upper.length - 1];
  }
  return fillBands(bands, histograms);
}

/** Steps of which at least the median is known. @param {Bands} bands */
export function knownSteps({ p50 }) {
  const known = [];
  for (let step = 0; step < p50.length; step++) if (!Number.isNaN(p50[step])) known.push(step);
  return known;
}

/**
 * The lowest and the highest value of a statistic in each column's steps: nothing is skipped.
 * @param {Float32Array} values by step
 * @param {Int32Array} first step of each column
 * @param {Int32Array} last step of each column, included
 * @returns {{low: Float32Array, high: Float32Array}} NaN where nothing is known
 */
export function extremes(values, first, last) {
  const low = new Float32Array(first.length).fill(NaN);
  const high = new Float32Array(first.length).fill(NaN);
  for (let column = 0; column < first.length; column++) {
    for (let step = first[column]; step <= last[column]; step++) {
      const value = values[step];
      if (!(value >= low[column])) low[column] = Number.isNaN(value) ? low[column] : value;
      if (!(value <= high[column])) high[column] = Number.isNaN(value) ? high[column] : value;
    }
  }
  return { low, high };
}

/**
 * The range that an axis must cover: of what is plausible, as long as anything is.
 * @param {Bands} bands
 * @param {import("../kit/value_axis.js").ValueSpacing} spacing
 * @param {number} [most] from which magnitude on values are not plausible
 * @returns {[number, number] | null} null where nothing is known, or nothing lies above 0 on a logarithmic axis
 */
export function bandRange(bands, spacing, most = MOST) {
  const { min, p1, p99, max } = bands;
  // A few outliers would press a linear axis flat; a logarithmic one has room for them.
  const [lowest, highest] = spacing === "linear" ? [p1, p99] : [min, max];
  let low = Infinity;
  let high = -Infinity;
  for (let step = 0; step < p1.length; step++) {
    // Of what lies above 0 the smallest quantile that does says where it begins.
    const from = spacing === "log" ? smallestPositive(p1[step], p99[step]) : lowest[step];
    // A step with one end that is not plausible still has its other one, or what lies within.
    if (isPlausible(highest[step], most)) high = Math.max(high, highest[step]);
    else if (isPlausible(p99[step], most)) high = Math.max(high, p99[step]);
    if (isPlausible(from, most)) low = Math.min(low, from);
    else if (spacing !== "log" && isPlausible(p1[step], most)) low = Math.min(low, p1[step]);
  }
  if (!(low <= high)) return most < Infinity ? bandRange(bands, spacing, Infinity) : null;
  if (spacing === "linear" && high > low) {
    const margin = 0.04 * (high - low);
    return [low >= 0 ? low : low - margin, high <= 0 ? high : high + margin];
  }
  return [low, high];
}

/**
 * @param {number} low
 * @param {number} high
 */
function smallestPositive(low, high) {
  if (low > 0) return low;
  return high > 0 ? high * 1e-4 : NaN;
}

/**
 * All of one step.
 * @param {Bands} bands
 * @param {number} step its index
 * @returns {Record<string, number>}
 */
export function bandsAt(bands, step) {
  return Object.fromEntries(BAND_STATISTICS.map((name) => [name, bands[name][step]]));
}

/**
 * The magnitude of the middle half of the elements: the median over steps of that of its ends. 0 where all of it is 0.
 * @param {ArrayLike<number>} p25 by step, NaN where nothing is known
 * @param {ArrayLike<number>} p75
 */
export function typicalMagnitude(p25, p75) {
  const sizes = [];
  for (let step = 0; step < p25.length; step++) {
    const size = Math.max(Math.abs(p25[step]), Math.abs(p75[step]));
    if (size > 0) sizes.push(size);
  }
  sizes.sort((a, b) => a - b);
  return sizes[sizes.length >> 1] ?? 0;
}
