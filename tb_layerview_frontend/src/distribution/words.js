/** What a point of a distribution says. */

import { formatCount, formatExact, formatShare, formatValue } from "../kit/format.js";
import { binAt, quantiles, shareBelow } from "./histogram.js";

/** @typedef {import("../data/payload.js").Histogram} Histogram */
/** @typedef {import("../kit/value_axis.js").ValueAxis} ValueAxis */

/**
 * How many elements lie at a value: those of the kept bin that it falls into, exactly.
 * @param {Histogram} histogram
 * @param {number} value
 * @param {number} slack see `binAt`
 */
export function countAt(histogram, value, slack) {
  const bin = binAt(histogram, value, slack);
  if (bin < 0) return `no element near ${formatValue(value)}`;
  const { lower, upper, counts, total } = histogram;
  const where =
    lower[bin] === upper[bin]
      ? `exactly ${formatExact(lower[bin])}`
      : `${formatExact(lower[bin])} to ${formatExact(upper[bin])}`;
  return `${where}: ${formatCount(counts[bin])} of ${formatCount(total)} elements (${formatShare(counts[bin] / total)})`;
}

/**
 * @param {Histogram} histogram
 * @param {number} value
 */
export function belowInWords(histogram, value) {
  return `${formatShare(shareBelow(histogram, value))} lie below ${formatValue(value)}`;
}

/**
 * The elements that bars do not show.
 * @param {{below: number, above: number, zeros: number}} left from `rebin`
 * @param {ValueAxis} axis
 * @param {Histogram} histogram
 * @returns {string[]}
 */
export function notShown({ below, above, zeros }, axis, histogram) {
  const words = zeros > 0 ? [`${formatShare(zeros)} are exactly 0`] : [];
  let beyond = below + above;
  if (axis.spacing === "log") {
    const negative = shareBelow(histogram, 0);
    if (negative > 0) words.push(`${formatShare(negative)} are below 0`);
    beyond -= negative;
  }
  if (beyond > 0.0005) words.push(`${formatShare(beyond)} lie beyond`);
  return words;
}

/**
 * What each bar of a histogram's count axis is a share of.
 * @param {ValueAxis} axis
 * @param {number} bars
 */
export function perBar({ spacing, low, high }, bars) {
  if (spacing === "linear") return `share per bar, ${formatValue((high - low) / bars)} wide`;
  if (spacing === "symlog") return "share per bar";
  const decades = Math.log10(high / low);
  return `share per bar, ${formatValue(Number((bars / decades).toPrecision(2)))} a decade`;
}

/** Of what the table of a history tells. */
export const TOLD = /** @type {const} */ ([
  ["p5", 0.05],
  ["p25", 0.25],
  ["p50", 0.5],
  ["p75", 0.75],
  ["p95", 0.95],
]);

/**
 * @param {Histogram} histogram
 * @returns {number[]} of `TOLD`
 */
export function toldQuantiles(histogram) {
  return quantiles(
    histogram,
    TOLD.map(([, fraction]) => fraction),
  );
}

/**
 * Some of many, evenly, the first and the last among them.
 * @template T
 * @param {T[]} all
 * @param {number} most
 */
export function spread(all, most) {
  if (all.length <= most) return all;
  return Array.from(
    { length: most },
    (_, i) => all[Math.round((i * (all.length - 1)) / (most - 1))],
  );
}
