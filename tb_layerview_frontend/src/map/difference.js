/** How far two runs are apart: numbers for the difference map, and where they part first. */

import { statisticScale } from "../kit/colour.js";

/** @typedef {import("../data/statistics.js").Statistic} Statistic */
/** @typedef {import("./aggregate.js").Series} Series */

/**
 * How two values of a statistic are compared: sizes by the logarithm of their ratio, what has a sign or is a share by
 * their difference.
 * @typedef {"ratio" | "difference"} Measure
 */

/**
 * @param {Statistic["scale"]} scale
 * @returns {Measure}
 */
export function measureOf(scale) {
  return scale === "signed" || scale === "share" ? "difference" : "ratio";
}

/**
 * log2(B / A), or B − A.
 * @param {Measure} measure
 * @param {number} a
 * @param {number} b
 * @returns {number} NaN where either is unknown; 0 where both are 0; infinite where only one of a ratio's two sides is 0
 */
export function differ(measure, a, b) {
  if (measure === "difference") return b - a;
  return a === 0 && b === 0 ? 0 : Math.log2(b / a);
}

/**
 * The difference of one tensor at each step of A.
 * @param {Measure} measure
 * @param {Series} a by step of A
 * @param {Series} b by step of B
 * @param {Int32Array} matched by step of A, the step of B that it is compared with; -1 for none
 * @param {boolean} [flip] whether it is how far A is from B
 * @returns {Series} `nonFinite` is the larger one of both runs
 */
export function differenceSeries(measure, a, b, matched, flip = false) {
  const steps = Math.min(a.values.length, matched.length);
  const values = new Float32Array(steps).fill(NaN);
  const nonFinite = new Float32Array(steps).fill(NaN);
  for (let i = 0; i < steps; i++) {
    const at = matched[i];
    if (at < 0 || at >= b.values.length) continue;
    const [now, then] = [a.values[i], b.values[at]];
    values[i] = flip ? differ(measure, then, now) : differ(measure, now, then);
    const [own, other] = [a.nonFinite[i], b.nonFinite[at]];
    if (!Number.isNaN(own) && !Number.isNaN(other)) nonFinite[i] = Math.max(own, other);
  }
  return { values, nonFinite };
}

/** A ratio of 1.19: well above what the order of sums in float32 does, well below what can be seen in a loss. */
export const RATIO_THRESHOLD = 0.25;
/** A twentieth of all elements. */
export const SHARE_THRESHOLD = 0.05;
/** Of the largest magnitude that the tensor's statistic has in A. */
export const SIGNED_THRESHOLD = 0.1;
/** Of the steps from the parting on; one step that comes near again is not a return. */
export const STAYING_SHARE = 0.9;

/**
 * From which difference on two runs are apart.
 * @param {Statistic["scale"]} scale
 * @param {Float32Array} a the statistic in A, by step
 */
export function thresholdOf(scale, a) {
  if (measureOf(scale) === "ratio") return RATIO_THRESHOLD;
  if (scale === "share") return SHARE_THRESHOLD;
  let most = 0;
  for (const value of a)
    if (Math.abs(value) > most && Number.isFinite(value)) most = Math.abs(value);
  return SIGNED_THRESHOLD * most;
}

/**
 * The threshold in words, for the screen.
 * @param {Statistic["scale"]} scale
 */
export function thresholdInWords(scale) {
  const stay = `there and at ${Math.round(100 * STAYING_SHARE)} % of the later steps`;
  if (measureOf(scale) === "ratio") {
    return `|log2(B / A)| is above ${RATIO_THRESHOLD} (a factor of ${(2 ** RATIO_THRESHOLD).toFixed(2)}) ${stay}`;
  }
  if (scale === "share")
    return `|B − A| is above ${100 * SHARE_THRESHOLD} % of the elements ${stay}`;
  return `|B − A| is above ${100 * SIGNED_THRESHOLD} % of A's largest magnitude over the steps ${stay}`;
}

/**
 * Where two runs part: the first step from which on they stay further apart than the threshold.
 * @param {Float32Array} differences by step, NaN where unknown
 * @param {number} threshold
 * @returns {number} index of the step; -1 if they do not part
 */
export function partingStep(differences, threshold) {
  let beyond = 0;
  let known = 0;
  let first = -1;
  for (let i = differences.length - 1; i >= 0; i--) {
    const value = Math.abs(differences[i]);
    if (Number.isNaN(value)) continue;
    known++;
    if (!(value > threshold)) continue;
    beyond++;
    if (beyond >= STAYING_SHARE * known) first = i;
  }
  return first;
}

/**
 * @typedef {object} Parting
 * @property {number} step index of the step at which they part; -1 if they do not
 * @property {number} most the largest finite magnitude of the difference over all steps, in thresholds
 */

/**
 * @param {Float32Array} differences by step
 * @param {number} threshold
 * @returns {Parting}
 */
export function partingOf(differences, threshold) {
  let most = 0;
  for (const value of differences) {
    const magnitude = Math.abs(value);
    if (magnitude > most) most = magnitude;
  }
  return {
    step: partingStep(differences, threshold),
    most: threshold > 0 ? most / threshold : most,
  };
}

/**
 * The order of what parts first: by step, ties by magnitude; what does not part comes after, what is unknown last.
 * @param {(Parting | null)[]} partings null where there is nothing to compare
 * @returns {number[]} places in `partings`
 */
export function rankPartings(partings) {
  const at = (/** @type {Parting} */ { step }) => (step < 0 ? Infinity : step);
  return partings
    .map((_, place) => place)
    .sort((i, j) => {
      const [a, b] = [partings[i], partings[j]];
      if (!a || !b) return (a ? 0 : 1) - (b ? 0 : 1) || i - j;
      const [x, y] = [at(a), at(b)];
      return x === y ? b.most - a.most || i - j : x - y;
    });
}

/** Below this range a map of two equal runs would blow up rounding to full colours. */
const LEAST_RANGE = { ratio: 0.5, difference: 0.01 };

/** How the colours of a difference map are unless somebody asks otherwise: log2 of a ratio is a logarithm already. */
export const DIFFERENCE_TRANSFORM = "linear";

/** The share of the differences that the colours reach over; the few beyond have the end's colour. */
const REACH = 0.99;

/** The part of its range within which a logarithmic scale is linear around 0: at least and at most. */
const [LEAST_KNEE, MOST_KNEE] = [1e-4, 1 / 4];

/**
 * The colours of a difference map: around 0, linear or logarithmic to both sides.
 * @param {Measure} measure
 * @param {Float32Array[]} columns
 * @param {import("../kit/colour.js").MapTransform} [transform]
 * @param {number} [least] how far it reaches at least
 * @returns {import("../kit/colour.js").ColourScale}
 */
export function differenceScale(
  measure,
  columns,
  transform = DIFFERENCE_TRANSFORM,
  least = LEAST_RANGE[measure],
) {
  const total = columns.reduce((sum, column) => sum + column.length, 0);
  const every = Math.max(1, Math.floor(total / 50_000));
  /** @type {number[]} */
  const sample = [];
  let at = 0;
  for (const column of columns) {
    for (; at < column.length; at += every) {
      const magnitude = Math.abs(column[at]);
      if (magnitude < Infinity) sample.push(magnitude);
    }
    at -= column.length;
  }
  sample.sort((a, b) => a - b);
  const wanted = sample[Math.floor(REACH * (sample.length - 1))] ?? 0;
  const most = roundUp(Math.max(least, wanted));
  const smallest = sample.find((magnitude) => magnitude > 0) ?? 0;
  const knee = Math.min(Math.max(smallest, LEAST_KNEE * most), MOST_KNEE * most);
  return statisticScale("signed", [transform === "log" ? knee : -most, most], transform);
}

/**
 * The colours of a difference map in words, for the screen.
 * @param {import("../kit/colour.js").MapTransform} transform
 * @param {boolean} rowScales
 */
export function differenceScaleInWords(transform, rowScales) {
  const how = transform === "log" ? "logarithmic around 0" : "linear around 0";
  return `Colours ${how}, ${rowScales ? "a range for each row" : "one range"}, ${100 * REACH} % within it.`;
}

/** @param {number} value above 0 */
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return (
    [1, 2, 5].map((factor) => factor * power).find((one) => one >= value * (1 - 1e-9)) ?? 10 * power
  );
}
