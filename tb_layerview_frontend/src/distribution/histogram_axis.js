/** The part of a value axis on which histograms lie. */

import { positiveRange, quantiles, rangeOverSteps } from "./histogram.js";
import { spread } from "./words.js";

/** @typedef {import("../data/payload.js").Histogram} Histogram */

/**
 * From which value to which some histograms reach.
 * @param {(Histogram | null)[]} histograms
 * @param {import("../kit/value_axis.js").ValueSpacing} spacing
 */
export function histogramRange(histograms, spacing) {
  if (spacing === "log") return positiveRange(histograms);
  // A few outliers would press a linear axis flat; a logarithmic one has room for them.
  return spacing === "linear"
    ? rangeOverSteps(histograms, 0.002, 0.998)
    : rangeOverSteps(histograms, 0, 1);
}

/**
 * The middle half of some histograms' elements.
 * @param {(Histogram | null)[]} histograms
 */
export function middleOf(histograms) {
  const all = histograms.flatMap((one) => (one?.total ? [one] : []));
  const middles = spread(all, 50).map((one) => quantiles(one, [0.25, 0.75]));
  return { p25: middles.map(([low]) => low), p75: middles.map(([, high]) => high) };
}
