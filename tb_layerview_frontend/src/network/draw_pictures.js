/** Thumbnails, drawn. */

import { LAST_LEVEL, NEGATIVE_INFINITY, NO_ELEMENT, NOT_A_NUMBER, POSITIVE_INFINITY } from "../data/framed.js"; // prettier-ignore
import { EMPTY, LEVELS, NAN, NEG_INF, palette, POS_INF } from "../kit/colour.js";
import { TILE_GAP } from "./layout.js";

/** @typedef {import("../data/framed.js").Thumbnails} Thumbnails */
/** @typedef {import("../kit/colour.js").Theme} Theme */

/** @type {Map<string, Uint32Array>} */
const tables = new Map();

/**
 * The colour of each level, as the 32 bits that an ImageData holds.
 * @param {Theme} theme
 * @param {"diverging" | "size" | "grey"} ramp
 */
function colours(theme, ramp) {
  const key = `${theme} ${ramp}`;
  const known = tables.get(key);
  if (known) return known;
  const own = palette(theme, ramp === "diverging");
  const table = new Uint32Array(256).fill(own[EMPTY]);
  for (let level = 0; level <= LAST_LEVEL; level++) {
    const unit = level / LAST_LEVEL;
    const grey = Math.round(255 * unit);
    table[level] =
      ramp === "grey"
        ? ((255 << 24) | (grey << 16) | (grey << 8) | grey) >>> 0
        : own[Math.round(unit * (LEVELS - 1))];
  }
  table[NO_ELEMENT] = 0;
  table[NEGATIVE_INFINITY] = own[NEG_INF];
  table[POSITIVE_INFINITY] = own[POS_INF];
  table[NOT_A_NUMBER] = own[NAN];
  tables.set(key, table);
  return table;
}

/** @type {HTMLCanvasElement | null} */
let scratch = null;

/**
 * One picture in its own pixels.
 * @param {Thumbnails} of
 * @param {number} index of the picture
 * @param {Theme} theme
 * @param {boolean} isInput inputs are photographs: grey, or in their colours
 */
function rasterOf(of, index, theme, isInput) {
  const { width, height, levels, layout } = of;
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const size = width * height;
  if (layout === "rgb") {
    const [red, green, blue] = [0, 1, 2].map((plane) => (3 * index + plane) * size);
    const table = colours(theme, "grey");
    for (let i = 0; i < size; i++) {
      pixels[i] =
        ((255 << 24) |
          ((table[levels[blue + i]] & 255) << 16) |
          ((table[levels[green + i]] & 255) << 8) |
          (table[levels[red + i]] & 255)) >>>
        0;
      if (levels[red + i] === NOT_A_NUMBER) pixels[i] = table[NOT_A_NUMBER];
    }
  } else {
    const isGrey = isInput && layout === "tiles" && of.of === 1;
    const table = colours(theme, isGrey ? "grey" : of.diverging ? "diverging" : "size");
    for (let i = 0; i < size; i++) pixels[i] = table[levels[index * size + i]];
  }
  scratch ??= document.createElement("canvas");
  scratch.width = width;
  scratch.height = height;
  /** @type {CanvasRenderingContext2D} */ (scratch.getContext("2d")).putImageData(image, 0, 0);
  return scratch;
}

/** How many pictures there are to see. @param {Thumbnails} of */
export const picturesIn = ({ layout, count }) => (layout === "rgb" ? Math.floor(count / 3) : count);

/**
 * Draws an example into a square: a picture as large as it goes, numbers over all of it.
 * @param {CanvasRenderingContext2D} context in device pixels
 * @param {Thumbnails} of
 * @param {number} index of the example
 * @param {{x: number, y: number, width: number, height: number}} place device pixels
 * @param {Theme} theme
 */
export function drawExample(context, of, index, place, theme) {
  // A photograph has rows enough to be one.
  if (of.height > 4 && of.width > 4) drawPicture(context, of, index, place, theme, true);
  else stretch(context, of, index, place, theme);
}

/**
 * Draws a picture into a place, as large as it goes.
 * @param {CanvasRenderingContext2D} context in device pixels
 * @param {Thumbnails} of
 * @param {number} index of the picture
 * @param {{x: number, y: number, width: number, height: number}} place device pixels
 * @param {Theme} theme
 * @param {boolean} isInput
 * @returns {number} how wide it is drawn
 */
export function drawPicture(context, of, index, place, theme, isInput) {
  const scale = Math.min(place.width / of.width, place.height / of.height);
  const [across, down] = [of.width * scale, of.height * scale];
  context.imageSmoothingEnabled = false;
  const y = place.y + Math.round((place.height - down) / 2);
  context.drawImage(
    rasterOf(of, index, theme, isInput),
    Math.round(place.x),
    Math.round(y),
    Math.round(across),
    Math.round(down),
  );
  return across;
}

/**
 * Draws what a lane gives: as many of its pictures as fit.
 * @param {CanvasRenderingContext2D} context in device pixels
 * @param {Thumbnails} of
 * @param {{x: number, y: number, width: number, side: number, tiles: number, ratio: number}} place CSS pixels
 * @param {Theme} theme
 * @param {boolean} isInput
 */
export function drawLane(context, of, { x, y, width, side, tiles, ratio }, theme, isInput) {
  if (of.layout === "strip") {
    // One unit alone must not fill the lane.
    const most = Math.min(width, of.width * side * 0.6);
    const place = { x: x * ratio, y: y * ratio, width: most * ratio, height: side * ratio };
    const height = Math.min(side, Math.max(10, (of.height * most) / of.width));
    stretch(
      context,
      of,
      0,
      { ...place, y: place.y + ((side - height) / 2) * ratio, height: height * ratio },
      theme,
    );
    return;
  }
  for (let index = 0; index < Math.min(tiles, picturesIn(of)); index++) {
    const place = {
      x: (x + index * (side + TILE_GAP)) * ratio,
      y: y * ratio,
      width: side * ratio,
      height: side * ratio,
    };
    drawPicture(context, of, index, place, theme, isInput);
  }
}

/**
 * Draws a strip over all of a place: its cells need not be squares.
 * @param {CanvasRenderingContext2D} context in device pixels
 * @param {Thumbnails} of
 * @param {number} index of the picture
 * @param {{x: number, y: number, width: number, height: number}} place device pixels
 * @param {Theme} theme
 */
function stretch(context, of, index, place, theme) {
  context.imageSmoothingEnabled = false;
  context.drawImage(
    rasterOf(of, index, theme, false),
    Math.round(place.x),
    Math.round(place.y),
    Math.round(place.width),
    Math.round(place.height),
  );
}
