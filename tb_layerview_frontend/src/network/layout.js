/** How the columns of the network share the width. */

import { MOST_LEVELS } from "./rail.js";

/**
 * A column's place, CSS pixels.
 * @typedef {{x: number, width: number}} Column
 */

/**
 * @typedef {object} Layout
 * @property {number} width of all of it, CSS pixels
 * @property {number} side of a picture
 * @property {number} tiles how many pictures stand beside each other
 * @property {number} lane height of one
 * @property {number} head height of an open block's line
 * @property {number} rail where the dots are
 * @property {Column} names
 * @property {Column} pictures
 * @property {Column | null} ridges null where there is no room
 * @property {Column | null} flow null where there is no room, or nothing flows
 */

export const TILE_GAP = 4;
const MOST_TILES = 9;
const MARGIN = 16;
const BOW = 7;
const RIDGES = { least: 120, most: 480, alone: 640 };
const FLOW = { least: 130, most: 640 };
/** Between the picture of one lane and that of the next. */
const LANE_GAP = 12;

/**
 * How large a picture is, CSS pixels: as large as the window is wide, where all lanes fit into its height.
 * @param {number} width CSS pixels
 * @param {number} height CSS pixels
 * @param {number} rows how many lanes there are at first
 */
export function sideOf(width, height, rows) {
  const sides =
    width < 1100 ? [40] : width < 1500 ? [56, 40] : width < 2000 ? [72, 56] : [96, 72, 56];
  return sides.find((side) => rows * (side + LANE_GAP) <= height) ?? sides[sides.length - 1];
}

/** How far a bow of a level lies from the dots. @param {number} level */
export const bowOf = (level) => (level ? 4 + BOW * level : 0);

/**
 * @param {number} width CSS pixels
 * @param {number} side of a picture
 * @param {{levels: number, flows: boolean, ridged: boolean}} needs how many levels of bows there are, whether there are
 *   gradients and distributions
 * @returns {Layout}
 */
export function layoutOf(width, side, { levels, flows, ridged }) {
  const lane = side + LANE_GAP;
  const rail = 12 + bowOf(Math.min(levels, MOST_LEVELS));
  const names = { x: rail + 14, width: width < 760 ? 112 : width < 1100 ? 150 : 190 };
  const start = names.x + names.width + 8;
  const room = width - start - MARGIN;
  const tilesIn = (/** @type {number} */ of) =>
    Math.max(2, Math.min(MOST_TILES, Math.floor((of + TILE_GAP) / (side + TILE_GAP))));
  const widthOf = (/** @type {number} */ tiles) => tiles * (side + TILE_GAP) - TILE_GAP;
  const least = widthOf(4);
  const hasFlow = flows && room - least >= FLOW.least + MARGIN;
  const besideFlow = room - (hasFlow ? FLOW.least + MARGIN : 0);
  const hasRidges = ridged && besideFlow - least >= RIDGES.least + MARGIN;
  const rest = besideFlow - (hasRidges ? RIDGES.least + MARGIN : 0);
  const tiles = tilesIn(rest);
  // What the pictures leave goes to the others in equal parts.
  let spare = Math.max(0, rest - widthOf(tiles));
  const ridgesWidth = hasRidges
    ? hasFlow
      ? Math.min(RIDGES.most, RIDGES.least + spare / 2)
      : Math.min(RIDGES.alone, RIDGES.least + spare)
    : 0;
  spare -= hasRidges ? ridgesWidth - RIDGES.least : 0;
  const flowWidth = hasFlow ? Math.min(FLOW.most, FLOW.least + spare) : 0;
  const pictures = { x: start, width: widthOf(tiles) };
  const ridges = hasRidges
    ? { x: pictures.x + pictures.width + MARGIN, width: Math.floor(ridgesWidth) }
    : null;
  const before = ridges ?? pictures;
  const flow = hasFlow
    ? { x: before.x + before.width + MARGIN, width: Math.floor(flowWidth) }
    : null;
  return { width, side, tiles, lane, head: 28, rail, names, pictures, ridges, flow };
}
