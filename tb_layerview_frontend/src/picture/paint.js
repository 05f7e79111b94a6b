/** From values to pixels: levels of a palette for each element, and the picture that they make on the screen. */

import { EMPTY, LEVELS, NAN, NEG_INF, POS_INF, toUnit } from "../kit/colour.js";
import { formatCount } from "../kit/format.js";
import { offsetOfCell } from "./screen.js";

/** @typedef {import("../kit/colour.js").ColourScale} ColourScale */
/** @typedef {import("../kit/colour.js").Counts} Counts */
/** @typedef {import("./layout.js").Grid} Grid */
/** @typedef {import("./screen.js").Projection} Projection */

/** Marks an element beyond an end of the scale, in the second byte of its level. */
export const BELOW = 1 << 12;
export const ABOVE = 1 << 13;
const LEVEL = (1 << 12) - 1;

/** A hair beyond an end is within what float16 rounds. */
const SLACK = 1e-3;

/**
 * The level of each element, with `BELOW` or `ABOVE` where it lies beyond its scale.
 * @param {ArrayLike<number>} data
 * @param {ColourScale[]} scales one for all, or one for each index of an axis
 * @param {number} stride of that axis
 * @returns {Uint16Array}
 */
export function levelsOf(data, scales, stride) {
  const levels = new Uint16Array(data.length);
  const [only] = scales;
  const single = scales.length === 1 && only.transform === "linear";
  const factor = single ? 1 / (only.high - only.low) : 0;
  for (let i = 0; i < data.length; i++) {
    const value = data[i];
    if (value !== value) levels[i] = NAN;
    else if (value === Infinity) levels[i] = POS_INF;
    else if (value === -Infinity) levels[i] = NEG_INF;
    else {
      const unit = single
        ? (value - only.low) * factor
        : toUnit(scales[Math.floor(i / stride) % scales.length], value);
      if (unit < 0) levels[i] = unit < -SLACK ? BELOW : 0;
      else if (unit > 1) levels[i] = (LEVELS - 1) | (unit > 1 + SLACK ? ABOVE : 0);
      else levels[i] = Math.round(unit * (LEVELS - 1));
    }
  }
  return levels;
}

/**
 * Counts what needs a mark among some elements.
 * @param {Uint16Array} levels
 * @param {Iterable<number>} offsets places in the data
 * @returns {Counts}
 */
export function countMarks(levels, offsets) {
  const found = { nan: 0, posInf: 0, negInf: 0, low: 0, high: 0 };
  for (const offset of offsets) {
    const level = levels[offset];
    if (level < LEVELS) continue;
    if (level === NAN) found.nan++;
    else if (level === POS_INF) found.posInf++;
    else if (level === NEG_INF) found.negInf++;
    else if (level & BELOW) found.low++;
    else found.high++;
  }
  return found;
}

/**
 * What needs a mark, in words and with its sign.
 * @param {Counts} counts
 * @returns {string[]} one line, or none
 */
export function marksInWords({ nan, posInf, negInf, low, high }) {
  const words = [
    low + high ? `${formatCount(low + high)} elements beyond the colours` : "",
    nan ? `${formatCount(nan)} NaN (×)` : "",
    posInf ? `${formatCount(posInf)} +inf (+)` : "",
    negInf ? `${formatCount(negInf)} −inf (−)` : "",
  ].filter(Boolean);
  return words.length ? [words.join(", ")] : [];
}

/**
 * Paints what is on the screen: one 32-bit colour a device pixel, transparent where nothing is. What is no number is
 * striped, each in its own direction, so that it needs no colour to be seen.
 * @param {Uint32Array} pixels [height, width]
 * @param {Grid} grid
 * @param {Projection} projection
 * @param {Uint16Array} levels
 * @param {number} base where the chosen indices begin in the data
 * @param {Uint32Array} palette
 * @param {number} stripe width of the stripes in device pixels; 0 where every element is a number
 */
export function paint(pixels, grid, { columnAt, rowAt }, levels, base, palette, stripe) {
  const width = columnAt.length;
  for (let y = 0; y < rowAt.length; y++) {
    const line = y * width;
    const row = rowAt[y];
    if (row < 0) continue;
    // Lines of the same row of cells are the same.
    if (!stripe && y > 0 && row === rowAt[y - 1]) {
      pixels.copyWithin(line, line - width, line);
      continue;
    }
    let column = -1;
    let level = -1;
    for (let x = 0; x < width; x++) {
      if (columnAt[x] < 0) continue;
      if (columnAt[x] !== column) {
        column = columnAt[x];
        const offset = offsetOfCell(grid, column, row);
        level = offset < 0 ? -1 : levels[base + offset] & LEVEL;
      }
      if (level < 0) continue;
      pixels[line + x] = palette[level >= LEVELS && isStripe(level, x, y, stripe) ? EMPTY : level];
    }
  }
}

/**
 * @param {number} level
 * @param {number} x
 * @param {number} y
 * @param {number} stripe
 */
function isStripe(level, x, y, stripe) {
  if (!stripe) return false;
  const at = level === NAN ? x + y : level === POS_INF ? x : y;
  return Math.floor(at / stripe) % 3 === 0;
}
