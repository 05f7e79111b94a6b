/** Histograms of uneven bins brought onto even ones, so that they can be drawn and compared. */

import { isPlausible, MOST } from "../kit/plausible.js";
import { valueToPosition } from "../kit/value_axis.js";

/** @typedef {import("../data/payload.js").Histogram} Histogram */
/** @typedef {import("../kit/value_axis.js").ValueAxis} ValueAxis */

/**
 * The share of the elements in each of `bins` even pieces of the axis. A bin that spans several pieces is spread evenly
 * over its width on the axis; what lies outside is not in any.
 * @param {Histogram} histogram
 * @param {ValueAxis} axis
 * @param {number} bins
 * @param {boolean} withZeros whether elements that are exactly 0 are in
 * @returns {{shares: Float64Array, below: number, above: number, zeros: number}} shares of all elements
 */
export function rebin(histogram, axis, bins, withZeros) {
  const shares = new Float64Array(bins);
  let below = 0;
  let above = 0;
  let zeros = 0;
  const { lower, upper, counts, total } = histogram;
  for (let i = 0; i < counts.length; i++) {
    const share = counts[i] / total;
    if (lower[i] === 0 && upper[i] === 0) {
      zeros += share;
      if (!withZeros) continue;
    }
    const from = valueToPosition(axis, lower[i]) * bins;
    const to = valueToPosition(axis, upper[i]) * bins;
    if (from === -Infinity) {
      // A logarithmic axis has no place for it.
      below += share;
      continue;
    }
    if (!(to > from)) {
      // A single value; one on the upper end belongs to the last piece.
      const bin = from === bins ? bins - 1 : Math.floor(from);
      if (bin < 0) below += share;
      else if (bin >= bins) above += share;
      else shares[bin] += share;
      continue;
    }
    const density = share / (to - from);
    if (from < 0) below += (Math.min(0, to) - from) * density;
    if (to > bins) above += (to - Math.max(bins, from)) * density;
    const first = Math.max(0, Math.floor(from));
    const last = Math.min(bins - 1, Math.ceil(to) - 1);
    for (let bin = first; bin <= last; bin++) {
      shares[bin] += (Math.min(to, bin + 1) - Math.max(from, bin)) * density;
    }
  }
  return { shares, below, above, zeros };
}

/**
 * Quantiles as numpy defines them, interpolated between the elements in order, as if those of a bin stood evenly in it:
 * what `LayerReader` says of the same histogram.
 * @param {Histogram} histogram
 * @param {number[]} fractions 0 to 1
 * @returns {number[]} NaN for a histogram without elements
 */
export function quantiles({ lower, upper, counts, total }, fractions) {
  if (!total) return fractions.map(() => NaN);
  /** @param {number} rank of the element, from 0 on */
  const element = (rank) => {
    let before = 0;
    let bin = 0;
    while (before + counts[bin] <= rank) before += counts[bin++];
    const within = (rank - before + 0.5) / counts[bin];
    return lower[bin] + within * (upper[bin] - lower[bin]);
  };
  return fractions.map((fraction) => {
    const position = fraction * (total - 1);
    const below = Math.floor(position);
    const low = element(below);
    if (below === position) return low;
    return low + (position - below) * (element(Math.min(below + 1, total - 1)) - low);
  });
}

/**
 * The bin that holds a value: exactly the elements that were counted there; -1 for a gap.
 * @param {Histogram} histogram
 * @param {number} value
 * @param {number} slack how far a bin of a single value may lie away and still be meant
 */
export function binAt({ lower, upper, counts }, value, slack = 0) {
  let nearest = -1;
  for (let bin = 0; bin < counts.length; bin++) {
    const single = lower[bin] === upper[bin];
    if (!single && value >= lower[bin] && value < upper[bin]) nearest = bin;
    // A single value has no width to be hit; beside a wide bin it is the one that is hard to point at.
    else if (single && Math.abs(value - lower[bin]) <= slack) return bin;
  }
  return nearest;
}

/**
 * The share of the elements that lie below a value, those of its bin in proportion.
 * @param {Histogram} histogram
 * @param {number} value
 */
export function shareBelow({ lower, upper, counts, total }, value) {
  let below = 0;
  for (let bin = 0; bin < counts.length; bin++) {
    if (upper[bin] <= value && lower[bin] < value) below += counts[bin];
    else if (lower[bin] < value) {
      below += (counts[bin] * (value - lower[bin])) / (upper[bin] - lower[bin]);
    }
  }
  return below / total;
}

/**
 * The range of what is above 0, over all steps, without the two in a thousand that are smallest.
 * @param {(Histogram | null)[]} histograms
 * @returns {[number, number] | null} null where nothing is
 */
export function positiveRange(histograms) {
  let from = Infinity;
  let to = 0;
  let beyond = 0;
  for (const histogram of histograms) {
    if (!histogram) continue;
    const { lower, upper, counts } = histogram;
    let positive = 0;
    for (let bin = 0; bin < counts.length; bin++) if (lower[bin] > 0) positive += counts[bin];
    if (!positive) continue;
    let before = 0;
    for (let bin = 0; bin < counts.length; bin++) {
      if (!(lower[bin] > 0)) continue;
      before += counts[bin];
      if (isPlausible(upper[bin])) to = Math.max(to, upper[bin]);
      else beyond = Math.max(beyond, upper[bin]);
      if (before > 0.002 * positive) from = Math.min(from, lower[bin]);
    }
  }
  const high = to || beyond;
  return high > 0 ? [Math.min(from, high), high] : null;
}

/**
 * The range from the lowest of some low quantiles to the highest of some high ones: of all steps, so that a picture's
 * scale stays while the steps change.
 * @param {(Histogram | null)[]} histograms
 * @param {number} low a fraction
 * @param {number} high a fraction
 * @param {number} [most] from which magnitude on values are not plausible: the range goes no further than what is, as long
 *   as anything is
 * @returns {[number, number] | null} null where there is no element at all
 */
export function rangeOverSteps(histograms, low, high, most = MOST) {
  let from = Infinity;
  let to = -Infinity;
  for (const histogram of histograms) {
    if (!histogram?.total) continue;
    const { lower, upper } = histogram;
    let [a, b] = quantiles(histogram, [low, high]);
    // The outermost elements lie somewhere in their bins: all of these is drawn.
    if (low === 0) a = lower[0];
    if (high === 1) b = upper[upper.length - 1];
    const [first, last] = plausibleBins(histogram, most);
    if (first > last) continue;
    if (!isPlausible(a, most)) a = lower[first];
    if (!isPlausible(b, most)) b = upper[last];
    from = Math.min(from, a);
    to = Math.max(to, b);
  }
  if (from <= to) return [from, to];
  return most < Infinity ? rangeOverSteps(histograms, low, high, Infinity) : null;
}

/**
 * The first and the last bin all of whose elements are plausible.
 * @param {Histogram} histogram
 * @param {number} most
 */
function plausibleBins({ lower, upper }, most) {
  let first = 0;
  let last = upper.length - 1;
  while (first <= last && !isPlausible(lower[first], most)) first++;
  while (last >= first && !isPlausible(upper[last], most)) last--;
  return [first, last];
}

/**
 * The shares of a whole history on one value axis, brought to `columns` columns by adding up the steps of each: nothing is
 * skipped. A column without a histogram holds NaN.
 * @param {(Histogram | null)[]} histograms by step
 * @param {Int32Array} firstOf the first step of each column, and one more entry for the end of the last
 * @param {Int32Array} lastOf the last step of each column, -1 for none
 * @param {ValueAxis} axis
 * @param {number} bins
 * @returns {Float32Array} [columns, bins], each column's shares add up to at most 1
 */
export function historyShares(histograms, firstOf, lastOf, axis, bins) {
  const columns = firstOf.length;
  const shares = new Float32Array(columns * bins).fill(NaN);
  /** @type {Map<number, Float64Array>} */
  const known = new Map();
  for (let column = 0; column < columns; column++) {
    let count = 0;
    const sum = new Float64Array(bins);
    for (let step = firstOf[column]; step <= lastOf[column]; step++) {
      const histogram = histograms[step];
      if (!histogram?.total) continue;
      // A step that is wider than a column is drawn in many: rebin it once.
      let own = known.get(step);
      if (!own) {
        // Exact zeros (half of what a ReLU passes) would outshine all else; alone they are all there is.
        own = rebin(histogram, axis, bins, false).shares;
        if (own.every((share) => share === 0)) own = rebin(histogram, axis, bins, true).shares;
        known.set(step, own);
      }
      for (let bin = 0; bin < bins; bin++) sum[bin] += own[bin];
      count++;
    }
    if (!count) continue;
    for (let bin = 0; bin < bins; bin++) shares[column * bins + bin] = sum[bin] / count;
  }
  return shares;
}
