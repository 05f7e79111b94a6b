/** Drawing of distributions: numbers in, pixels of a canvas out. */

import { LEVELS, palette } from "../kit/colour.js";
import { linearTicks, valueToPosition } from "../kit/value_axis.js";
import { BANDS, extremes } from "./bands.js";

/** @typedef {import("../kit/value_axis.js").ValueAxis} ValueAxis */
/** @typedef {import("../kit/colour.js").Theme} Theme */

/**
 * The history as a heat map: each column's own peak is darkest, and the root lets thin tails be seen.
 * @param {CanvasRenderingContext2D} context
 * @param {Float32Array} shares [columns, bins] from `historyShares`
 * @param {number} bins
 * @param {Theme} theme
 */
export function drawHeat(context, shares, bins, theme) {
  const across = shares.length / bins;
  const colours = palette(theme, false);
  const image = new ImageData(across, bins);
  const pixels = new Uint32Array(image.data.buffer);
  for (let x = 0; x < across; x++) {
    let most = 0;
    for (let bin = 0; bin < bins; bin++) most = Math.max(most, shares[x * bins + bin] || 0);
    if (!most) continue;
    for (let bin = 0; bin < bins; bin++) {
      const share = shares[x * bins + bin];
      const level = share > 0 ? 24 + Math.round((share / most) ** 0.4 * (LEVELS - 25)) : -1;
      if (level >= 0) pixels[(bins - 1 - bin) * across + x] = colours[level];
    }
  }
  const small = document.createElement("canvas");
  small.width = across;
  small.height = bins;
  /** @type {CanvasRenderingContext2D} */ (small.getContext("2d")).putImageData(image, 0, 0);
  const { width, height } = context.canvas;
  context.imageSmoothingEnabled = false;
  context.drawImage(small, 0, 0, across, bins, 0, 0, width, height);
}

/** How much of the colour each band has, the widest first. */
const OPACITIES = [0.2, 0.32, 0.5];

/**
 * The history as bands of quantiles, the median, and lines of the smallest and the largest element. A column of several
 * steps reaches over all of them.
 * @param {CanvasRenderingContext2D} context
 * @param {import("./bands.js").Bands} bands by kept step
 * @param {{first: Int32Array, last: Int32Array}} columns
 * @param {ValueAxis} axis
 * @param {{band: string, median: string, ends: string}} colours
 * @param {number} ratio
 */
export function drawBands(context, bands, { first, last }, axis, colours, ratio) {
  const { height } = context.canvas;
  const y = (/** @type {number} */ value) =>
    Math.min(height, Math.max(0, (1 - valueToPosition(axis, value)) * height));
  context.fillStyle = colours.band;
  BANDS.forEach(([from, to], i) => {
    const { low } = extremes(bands[from], first, last);
    const { high } = extremes(bands[to], first, last);
    context.globalAlpha = OPACITIES[i];
    for (let x = 0; x < first.length; x++) {
      if (!(low[x] <= high[x])) continue;
      const top = y(high[x]);
      context.fillRect(x, top, 1, Math.max(1, y(low[x]) - top));
    }
  });
  context.globalAlpha = 1;
  for (const name of /** @type {const} */ (["min", "max", "p50"])) {
    const { low, high } = extremes(bands[name], first, last);
    const thick = (name === "p50" ? 1.75 : 1) * ratio;
    context.fillStyle = name === "p50" ? colours.median : colours.ends;
    let before = NaN;
    for (let x = 0; x < first.length; x++) {
      if (!(low[x] <= high[x])) {
        before = NaN;
        continue;
      }
      // Dashes tell the ends from the median without colour.
      const dash = name !== "p50" && Math.floor(x / (3 * ratio)) % 2 === 1;
      let top = y(high[x]);
      let bottom = y(low[x]);
      if (!Number.isNaN(before)) {
        top = Math.min(top, before);
        bottom = Math.max(bottom, before);
      }
      before = (y(low[x]) + y(high[x])) / 2;
      const steep = bottom - top > 2 * ratio;
      if (!dash || steep) context.fillRect(x, top - thick / 2, 1, bottom - top + thick);
    }
  }
}

/**
 * Where a share lies on the count axis, 0 to 1.
 * @param {number} share
 * @param {{least: number, most: number, logarithmic: boolean}} axis
 */
export function shareToPosition(share, { least, most, logarithmic }) {
  if (!(share > 0)) return 0;
  if (!logarithmic) return share / most;
  return Math.max(0, Math.log(share / least) / Math.log(most / least));
}

/**
 * A histogram lying on its side.
 * @param {CanvasRenderingContext2D} context
 * @param {Float64Array | null} shares by bar, from below
 * @param {Float64Array | null} ghost
 * @param {Parameters<typeof shareToPosition>[1]} counts
 * @param {{bar: string, ghost: string}} colours
 * @param {number} ratio
 */
export function drawHistogram(context, shares, ghost, counts, colours, ratio) {
  const { width, height } = context.canvas;
  const length = (/** @type {number} */ share) => shareToPosition(share, counts) * width;
  if (shares) {
    const top = (/** @type {number} */ bin) => height - ((bin + 1) / shares.length) * height;
    context.fillStyle = colours.bar;
    shares.forEach((share, bin) => {
      const y = Math.round(top(bin));
      const thick = Math.max(1, Math.round(top(bin - 1)) - y);
      if (share > 0) context.fillRect(0, y, Math.max(ratio, length(share)), thick);
    });
  }
  if (ghost) {
    const top = (/** @type {number} */ bin) => height - ((bin + 1) / ghost.length) * height;
    context.strokeStyle = colours.ghost;
    context.lineWidth = 1.25 * ratio;
    context.beginPath();
    ghost.forEach((share, bin) => {
      const x = Math.max(0.5, length(share));
      if (bin === 0) context.moveTo(x, height);
      context.lineTo(x, top(bin - 1));
      context.lineTo(x, top(bin));
    });
    context.stroke();
  }
}

/**
 * The axis of shares per bar that holds the bars of both histograms.
 * @param {(Float64Array | null)[]} all
 * @param {boolean} logarithmic
 */
export function shareAxis(all, logarithmic) {
  let most = 0;
  let least = Infinity;
  for (const shares of all) {
    for (const share of shares ?? []) {
      if (share > most) most = share;
      if (share > 0 && share < least) least = share;
    }
  }
  if (!most) return { least: 0.01, most: 1, logarithmic };
  // Below a millionth of the largest bar there is nothing to compare; one bar alone still needs a width.
  least = Math.min(Math.max(least / 2, most * 1e-6), most / 10);
  return { least, most: most * 1.03, logarithmic };
}

/**
 * Shares to label.
 * @param {ReturnType<typeof shareAxis>} axis
 * @param {number} fit how many labels fit
 * @returns {number[]}
 */
export function shareTicks({ least, most, logarithmic }, fit) {
  if (logarithmic) {
    const top = Math.floor(Math.log10(most));
    const bottom = Math.ceil(Math.log10(least));
    const every = Math.max(1, Math.ceil((top - bottom + 1) / fit));
    const ticks = [];
    for (let power = top; power >= bottom; power -= every) ticks.unshift(Number(`1e${power}`));
    return ticks;
  }
  return linearTicks(0, most, Math.max(1, fit - 1));
}
