/** Histograms of uneven bins brought onto even ones, so that they can be drawn and compared. */

/** @typedef {import("./payload.js").Histogram} Histogram */

/**
 * How a value axis maps values to positions: linearly, or by asinh(value / unit), which is linear near 0 and logarithmic
 * on both sides of it.
 * @typedef {{low: number, high: number, unit: number | null}} ValueAxis
 */

/**
 * A value's position on the axis, 0 at `low` and 1 at `high`.
 * @param {ValueAxis} axis
 * @param {number} value
 */
export function valueToPosition({ low, high, unit }, value) {
  if (unit === null) return (value - low) / (high - low);
  const from = Math.asinh(low / unit);
  return (Math.asinh(value / unit) - from) / (Math.asinh(high / unit) - from);
}

/**
 * The value at a position on the axis.
 * @param {ValueAxis} axis
 * @param {number} position
 */
export function positionToValue({ low, high, unit }, position) {
  if (unit === null) return low + position * (high - low);
  const from = Math.asinh(low / unit);
  return unit * Math.sinh(from + position * (Math.asinh(high / unit) - from));
}

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
 * Values below which the given fractions of the elements lie.
 * @param {Histogram} histogram
 * @param {number[]} fractions 0 to 1
 * @returns {number[]} NaN for a histogram without elements
 */
export function quantiles({ lower, upper, counts, total }, fractions) {
  return fractions.map((fraction) => {
    const rank = fraction * total;
    let before = 0;
    for (let i = 0; i < counts.length; i++) {
      if (before + counts[i] >= rank || i === counts.length - 1) {
        const within = Math.min(1, Math.max(0, (rank - before) / counts[i]));
        return lower[i] + within * (upper[i] - lower[i]);
      }
      before += counts[i];
    }
    return NaN;
  });
}

/**
 * The range from the lowest of some low quantiles to the highest of some high ones: of all steps, so that a picture's
 * scale stays while the steps change.
 * @param {(Histogram | null)[]} histograms
 * @param {number} low a fraction
 * @param {number} high a fraction
 * @returns {[number, number] | null} null where there is no element at all
 */
export function rangeOverSteps(histograms, low, high) {
  let from = Infinity;
  let to = -Infinity;
  for (const histogram of histograms) {
    if (!histogram?.total) continue;
    const [a, b] = quantiles(histogram, [low, high]);
    from = Math.min(from, a);
    to = Math.max(to, b);
  }
  return from <= to ? [from, to] : null;
}

/**
 * A value axis for a range: never of width 0, 0 kept at the edge where all is on one side and near it.
 * @param {[number, number]} range
 * @param {boolean} logarithmic
 * @returns {ValueAxis}
 */
export function makeValueAxis([low, high], logarithmic) {
  if (low > 0 && low < 0.3 * high) low = 0;
  if (high < 0 && high > 0.3 * low) high = 0;
  if (!(high > low)) {
    const margin = Math.abs(low) * 0.05 || 1;
    low -= margin;
    high += margin;
  }
  const largest = Math.max(Math.abs(low), Math.abs(high));
  return { low, high, unit: logarithmic ? largest * 1e-4 : null };
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
