/** Distributions one above the other, a ridge for each of some steps: which steps, which values, how high, and where. */

import { isPlausible } from "../kit/plausible.js";
import { histogramRange } from "./histogram_axis.js";
import { quantiles, rebin } from "./histogram.js";

/** @typedef {import("../data/payload.js").Histogram} Histogram */
/** @typedef {import("../kit/value_axis.js").ValueAxis} ValueAxis */
/** @typedef {import("../kit/value_axis.js").ValueSpacing} ValueSpacing */

/** More ridges than this hide each other. */
export const MOST_RIDGES = 40;

/** The part of a step's elements that the axis must hold: what is further out than one in two hundred is clipped. */
const [LOWEST, HIGHEST] = [0.005, 0.995];

/** A step whose values are so many times those of the next smaller one is apart, and no reason to press the others flat. */
const JUMP = 10;
/** Nor is one whose values are so many times those of the middle step. */
const MOST_GROWTH = 100;

/**
 * One distribution on a value axis.
 * @typedef {object} Ridge
 * @property {Float64Array} shares of all elements, in even pieces of the axis
 * @property {number} zeros share of the elements that are exactly 0; they are in no piece
 * @property {number} below share of those below the axis
 * @property {number} above share of those above it
 */

/**
 * A distribution, brought onto an axis: shares, zeros, below and above add up to 1.
 * @param {Histogram} histogram with elements
 * @param {ValueAxis} axis
 * @param {number} pieces
 * @returns {Ridge}
 */
export function ridgeOf(histogram, axis, pieces) {
  const { shares, ...outside } = rebin(histogram, axis, pieces, false);
  return { shares: smooth(shares), ...outside };
}

/**
 * Takes the edges off that the kept bins have: each piece gives a quarter to either neighbour, at the ends to itself, so
 * that nothing is lost.
 * @param {Float64Array} shares
 */
function smooth(shares) {
  const last = shares.length - 1;
  return shares.map(
    (share, at) => share / 2 + shares[Math.max(0, at - 1)] / 4 + shares[Math.min(last, at + 1)] / 4,
  );
}

/**
 * Which of the kept steps have a ridge: all of few; of many some that lie evenly among them, the first and the last too.
 * @param {number} count of the kept steps
 * @param {number} [most]
 * @returns {number[]} places among the kept steps, ascending
 */
export function chooseRidges(count, most = MOST_RIDGES) {
  const chosen = Math.min(count, most);
  return Array.from({ length: chosen }, (_, i) =>
    chosen < 2 ? 0 : Math.round((i * (count - 1)) / (chosen - 1)),
  );
}

/**
 * Without its exact zeros, of which a ridge says the share apart.
 * @param {Histogram} histogram
 * @returns {Histogram}
 */
function withoutZeros(histogram) {
  const { lower, upper, counts, total } = histogram;
  const zero = lower.findIndex((low, bin) => low === 0 && upper[bin] === 0);
  if (zero < 0) return histogram;
  const others = (/** @type {Float64Array} */ all) => all.filter((_, bin) => bin !== zero);
  return {
    lower: others(lower),
    upper: others(upper),
    counts: others(counts),
    total: total - counts[zero],
  };
}

/**
 * The steps that say how far the axis reaches: those with values alone that a training works with, of a size that the
 * others come near to.
 * @param {(Histogram | null)[]} histograms by step
 * @param {ArrayLike<number> | null} broken share of non-finite elements by step
 * @returns {Histogram[]} without their exact zeros
 */
export function healthySteps(histograms, broken) {
  const found = histograms.flatMap((histogram, step) => {
    if (!histogram?.total || (broken?.[step] ?? 0) > 0) return [];
    const own = withoutZeros(histogram);
    if (!own.total) return [];
    const [low, high] = quantiles(own, [LOWEST, HIGHEST]);
    if (!isPlausible(low) || !isPlausible(high)) return [];
    return [{ own, size: Math.max(Math.abs(low), Math.abs(high)) }];
  });
  const sizes = found.map(({ size }) => size).sort((a, b) => a - b);
  const middle = sizes.length >> 1;
  let most = sizes[middle] ?? 0;
  for (const size of sizes.slice(middle)) {
    if (size > JUMP * most || size > MOST_GROWTH * sizes[middle]) break;
    most = size;
  }
  return found.filter(({ size }) => size <= most).map(({ own }) => own);
}

/**
 * From which value to which the ridges reach: on a linear axis from the lowest 0.5th to the highest 99.5th percentile of
 * the healthy steps.
 * @param {(Histogram | null)[]} histograms by step
 * @param {ArrayLike<number> | null} broken share of non-finite elements by step
 * @param {ValueSpacing} spacing
 * @returns {[number, number] | null} null where there is nothing that the axis has a place for
 */
export function ridgeRange(histograms, broken, spacing) {
  const healthy = healthySteps(histograms, broken);
  if (!healthy.length) return histogramRange(histograms, spacing);
  if (spacing !== "linear") return histogramRange(healthy, spacing);
  const ends = healthy.map((own) => quantiles(own, [LOWEST, HIGHEST]));
  const low = Math.min(...ends.map(([from]) => from));
  const high = Math.max(...ends.map(([, to]) => to));
  const margin = 0.03 * (high - low);
  // A side on which nothing lies gets none.
  return [
    low >= 0 ? Math.max(0, low - margin) : low - margin,
    high <= 0 ? Math.min(0, high + margin) : high + margin,
  ];
}

/**
 * Which share per piece is as high as a ridge may be: one for all, so that areas are shares of the elements. A few needles
 * have less than is theirs, or the others would be flat.
 * @param {Ridge[]} ridges
 */
export function highestShare(ridges) {
  const peaks = ridges
    .map(({ shares }) => shares.reduce((most, share) => Math.max(most, share), 0))
    .filter((peak) => peak > 0)
    .sort((a, b) => a - b);
  if (!peaks.length) return 1;
  return Math.min(peaks[peaks.length - 1], 3 * peaks[peaks.length >> 1]);
}

/** From this height on a needle is pressed together rather than cut. */
const FREE = 0.85;

/**
 * How high a ridge is where it has a share, 0 to 1.
 * @param {number} share
 * @param {number} most from `highestShare`
 */
export function heightOf(share, most) {
  const height = share / most;
  if (!(height > FREE)) return height || 0;
  return FREE + (1 - FREE) * Math.tanh((height - FREE) / (1 - FREE));
}

/**
 * Where ridges stand, in a room of some height: the first one at the back, at the top, the last one in front.
 * @typedef {object} RidgeLayout
 * @property {number} rise how high a ridge is at most
 * @property {number} gap between two feet
 * @property {(place: number) => number} foot of the ridge at a place, which may lie between two
 */

/**
 * @param {number} count
 * @param {number} height
 * @returns {RidgeLayout}
 */
export function layOutRidges(count, height) {
  // Few ridges need not overlap; many do, or they would be flat.
  const overlap = Math.min(4, 0.9 + count / 9);
  const gap = height / (Math.max(0, count - 1) + overlap);
  const rise = count > 1 ? overlap * gap : height;
  return { rise, gap, foot: (place) => rise + place * gap };
}

/**
 * The place of a step among ridges, between two of them where it has none of its own.
 * @param {number[]} ridges indices of steps, ascending
 * @param {number} index of the step
 */
export function placeOf(ridges, index) {
  const last = ridges.length - 1;
  if (last < 0 || index <= ridges[0]) return 0;
  if (index >= ridges[last]) return last;
  let before = 0;
  while (ridges[before + 1] <= index) before++;
  return before + (index - ridges[before]) / (ridges[before + 1] - ridges[before]);
}

/**
 * The ridge at a height: the foremost one that covers the point, else the one whose foot is the next below.
 * @param {RidgeLayout} layout
 * @param {Ridge[]} ridges
 * @param {number} most from `highestShare`
 * @param {number} x 0 to 1 on the axis
 * @param {number} y from the top
 * @returns {number} its place
 */
export function ridgeUnder({ rise, foot }, ridges, most, x, y) {
  for (let place = ridges.length - 1; place >= 0; place--) {
    const { shares } = ridges[place];
    const piece = Math.max(0, Math.min(shares.length - 1, Math.floor(x * shares.length)));
    const high = rise * heightOf(shares[piece], most);
    if (y <= foot(place) && y >= foot(place) - high) return place;
  }
  const below = ridges.findIndex((_, place) => foot(place) >= y);
  return below < 0 ? ridges.length - 1 : below;
}

/**
 * How much of the elements lies beyond the axis: of all steps together, and at the step with the most.
 * @param {Ridge[]} ridges
 * @returns {{mean: number, most: number, place: number}} `place` of the ridge with the most
 */
export function beyondAxis(ridges) {
  const beyond = ridges.map(({ below, above }) => below + above);
  const most = Math.max(0, ...beyond);
  const mean = beyond.reduce((sum, one) => sum + one, 0) / Math.max(1, beyond.length);
  return { mean, most, place: beyond.indexOf(most) };
}
