/** The colour maps that a picture can have. */

import { interpolateGreys, interpolatePuOr, interpolateRdBu, interpolateViridis, interpolateCividis } from "d3-scale-chromatic"; // prettier-ignore

import { makePalette, palette, pictureScale } from "../kit/colour.js";

/** @typedef {import("../kit/colour.js").ColourScale} ColourScale */
/** @typedef {import("../kit/colour.js").Theme} Theme */

/**
 * @typedef {object} ColourMap
 * @property {string} label
 * @property {boolean | null} diverging null: around 0 where something is negative, else not
 * @property {((unit: number) => string) | null} ramp null: the tab's own, which follows the theme
 */

/** All of them are told apart with every common colour blindness. @type {Record<string, ColourMap>} */
export const COLOUR_MAPS = {
  auto: { label: "by sign", diverging: null, ramp: null },
  "purple-green": { label: "purple – green", diverging: true, ramp: null },
  "purple-orange": {
    label: "purple – orange",
    diverging: true,
    ramp: (unit) => interpolatePuOr(1 - unit),
  },
  "blue-red": { label: "blue – red", diverging: true, ramp: (unit) => interpolateRdBu(1 - unit) },
  blue: { label: "blue", diverging: false, ramp: null },
  viridis: { label: "viridis", diverging: false, ramp: interpolateViridis },
  cividis: { label: "cividis", diverging: false, ramp: interpolateCividis },
  grey: { label: "grey", diverging: false, ramp: (unit) => interpolateGreys(1 - unit) },
};

/**
 * The scale of a range in a colour map: symmetric around 0 where the map diverges.
 * @param {[number, number]} range
 * @param {string} map
 * @param {boolean} exact whether the ends are as a person has typed them
 * @returns {ColourScale}
 */
export function scaleFor(range, map, exact) {
  const usual = pictureScale(range);
  const diverging = COLOUR_MAPS[map].diverging ?? usual.diverging;
  const [low, high] = range;
  if (diverging) {
    const most = Math.max(Math.abs(low), Math.abs(high)) || 1;
    return { transform: "linear", diverging, low: -most, high: most };
  }
  if (low < high && (exact || low < 0)) return { transform: "linear", diverging, low, high };
  if (low < 0) return { transform: "linear", diverging, low, high: 0 };
  return { ...usual, diverging };
}

/** @type {Map<string, Uint32Array>} */
const palettes = new Map();

/**
 * @param {string} map
 * @param {Theme} theme
 * @param {boolean} diverging
 */
export function picturePalette(map, theme, diverging) {
  const { ramp } = COLOUR_MAPS[map];
  if (!ramp) return palette(theme, diverging);
  const key = `${map} ${theme}`;
  const made = palettes.get(key) ?? makePalette(ramp, theme);
  palettes.set(key, made);
  return made;
}
