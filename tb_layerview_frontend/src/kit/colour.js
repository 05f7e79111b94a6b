/** Colour ramps as tables, and the scales that lead into them. */

import { rgb } from "d3-color";
import { interpolateLab, piecewise } from "d3-interpolate";

/** @typedef {"light" | "dark"} Theme */

/**
 * Stops from small to large. Hues are chosen away from red and amber, which mean trouble; purple and green are told apart
 * with every common colour blindness.
 */
const STOPS = {
  light: {
    size: ["#eef3f7", "#cfe1ee", "#9fc6e0", "#5f9fca", "#2f74ab", "#164c80", "#0a2a50"],
    negative: ["#f3f3f3", "#dcbfe3", "#ab74bb", "#70318a", "#3d1053"],
    positive: ["#f3f3f3", "#b9e0cb", "#60b28c", "#217c57", "#0a4930"],
  },
  dark: {
    size: ["#262b30", "#213f58", "#215f89", "#3085b8", "#5cadd8", "#9fd4f1", "#e6f6ff"],
    negative: ["#2a2d30", "#573a69", "#9159ac", "#c692dc", "#f3dcfc"],
    positive: ["#2a2d30", "#23503f", "#2f8a64", "#66c99d", "#cdf7e3"],
  },
};

/** What is not a number has colours of its own, and everywhere a second mark besides. */
export const TROUBLE = {
  light: {
    nan: "#d3202b",
    posInf: "#f29900",
    negInf: "#8a5200",
    empty: "#ffffff",
    over: "#c2188b",
  },
  dark: { nan: "#ff5a5a", posInf: "#ffb833", negInf: "#b97a1a", empty: "#303030", over: "#ff6ad0" },
};

export const LEVELS = 256;
/** Places in a table after the ramp's own colours. */
export const NAN = LEVELS;
export const POS_INF = LEVELS + 1;
export const NEG_INF = LEVELS + 2;
export const EMPTY = LEVELS + 3;
export const OVER = LEVELS + 4;

/**
 * A ramp of `LEVELS` colours and the five special ones, each as the 32 bits that an ImageData holds.
 * @typedef {Uint32Array} Palette
 */

/** @type {Map<string, Palette>} */
const palettes = new Map();

/**
 * @param {Theme} theme
 * @param {boolean} diverging
 * @returns {Palette}
 */
export function palette(theme, diverging) {
  const key = `${theme} ${diverging}`;
  const known = palettes.get(key);
  if (known) return known;
  const { size, negative, positive } = STOPS[theme];
  const ramp = diverging
    ? piecewise(interpolateLab, [...negative].reverse().concat(positive.slice(1)))
    : piecewise(interpolateLab, size);
  const made = makePalette(ramp, theme);
  palettes.set(key, made);
  return made;
}

/**
 * The palette of a ramp.
 * @param {(unit: number) => string} ramp
 * @param {Theme} theme whose special colours it has
 * @returns {Palette}
 */
export function makePalette(ramp, theme) {
  const made = new Uint32Array(LEVELS + 5);
  for (let i = 0; i < LEVELS; i++) made[i] = pack(ramp(i / (LEVELS - 1)));
  const { nan, posInf, negInf, empty, over } = TROUBLE[theme];
  made[NAN] = pack(nan);
  made[POS_INF] = pack(posInf);
  made[NEG_INF] = pack(negInf);
  made[EMPTY] = pack(empty);
  made[OVER] = pack(over);
  return made;
}

/** @param {string} colour */
function pack(colour) {
  const { r, g, b } = rgb(colour);
  return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
}

/**
 * A colour of a palette as CSS text.
 * @param {Palette} colours
 * @param {number} level
 */
export function cssColour(colours, level) {
  const bits = colours[level];
  return `rgb(${bits & 255} ${(bits >> 8) & 255} ${(bits >> 16) & 255})`;
}

/**
 * What the shown elements are besides their colours: how many of them are no numbers, and how many lie beyond the ends.
 * @typedef {{nan: number, posInf: number, negInf: number, low: number, high: number}} Counts
 */

/**
 * How values become levels of a palette. `symlog` is logarithmic to both sides of 0, and linear within its `knee`.
 * @typedef {object} ColourScale
 * @property {"log" | "linear" | "symlog"} transform
 * @property {boolean} diverging around what lies in the middle
 * @property {number} low
 * @property {number} high
 * @property {number} [over] above which magnitude a value has no colour of the ramp, but that of an overflow
 * @property {number} [knee] of `symlog`: about where it turns from linear to logarithmic
 */

/** A value that is marked on a scale. @typedef {{value: number, text: string, words: string}} ScaleMark */

/** @typedef {"log" | "linear"} MapTransform */

/** @type {Record<import("../data/statistics.js").Scale, MapTransform>} how each kind of statistic is shown unless somebody asks otherwise */
export const NATURAL = { size: "log", signed: "log", share: "linear", ratio: "log" };

/**
 * The scale of a statistic in the map.
 * @param {import("../data/statistics.js").Scale} kind
 * @param {[number, number]} range from `scaleRange`
 * @param {MapTransform} [transform] the kind's own if not given
 * @returns {ColourScale}
 */
export function statisticScale(kind, [low, high], transform = NATURAL[kind]) {
  if (kind === "signed") {
    return transform === "log"
      ? { transform: "symlog", diverging: true, low: -high, high, knee: low }
      : { transform, diverging: true, low, high };
  }
  // A ratio's right value is the middle of a logarithmic scale alone.
  return { transform, diverging: kind === "ratio" && transform === "log", low, high };
}

/**
 * The scale of a picture: diverging around 0, but sequential when nothing is negative (or nothing positive).
 * @param {[number, number]} range
 * @returns {ColourScale}
 */
export function pictureScale([low, high]) {
  if (low < 0) {
    const most = Math.max(-low, high);
    return { transform: "linear", diverging: true, low: -most, high: most };
  }
  if (high === low) return { transform: "linear", diverging: false, low: 0, high: high || 1 };
  // A tensor that lies far from 0 shows its differences, one that comes near it keeps 0 as its ground.
  return { transform: "linear", diverging: false, low: low < 0.5 * high ? 0 : low, high };
}

/**
 * Where a finite value lies on a scale, 0 to 1 within it.
 * @param {ColourScale} scale
 * @param {number} value
 */
export function toUnit({ transform, low, high, knee = high }, value) {
  if (transform === "log") return value > 0 ? Math.log(value / low) / Math.log(high / low) : 0;
  if (transform === "symlog") {
    const unit = Math.log1p(Math.abs(value) / knee) / Math.log1p(high / knee);
    return 0.5 + 0.5 * Math.sign(value) * unit;
  }
  return (value - low) / (high - low);
}

/**
 * The value at a place on a scale.
 * @param {ColourScale} scale
 * @param {number} unit 0 to 1
 */
export function fromUnit({ transform, low, high, knee = high }, unit) {
  if (transform === "log") return low * (high / low) ** unit;
  if (transform === "symlog") {
    const size = Math.expm1(Math.abs(2 * unit - 1) * Math.log1p(high / knee)) * knee;
    return Math.sign(unit - 0.5) * size;
  }
  return low + unit * (high - low);
}

/**
 * The palette's level for any value: non-finite ones have their own.
 * @param {ColourScale} scale
 * @param {number} value
 */
export function levelOf(scale, value) {
  if (value !== value) return NAN;
  if (value === Infinity) return POS_INF;
  if (value === -Infinity) return NEG_INF;
  if (scale.over !== undefined && Math.abs(value) > scale.over) return OVER;
  const unit = toUnit(scale, value);
  return unit <= 0 ? 0 : unit >= 1 ? LEVELS - 1 : Math.round(unit * (LEVELS - 1));
}

/**
 * Values to label on a colour bar.
 * @param {ColourScale} scale
 * @returns {number[]} ascending
 */
export function scaleTicks(scale) {
  const { transform, low, high } = scale;
  if (transform === "symlog") {
    // A round number about half way to the end.
    const half = Number(`1e${Math.round(Math.log10(fromUnit(scale, 0.75)))}`);
    return half < 0.7 * high ? [low, -half, 0, half, high] : [low, 0, high];
  }
  if (transform === "linear") return [low, (low + high) / 2, high];
  const from = Math.ceil(Math.log10(low) - 1e-9);
  const to = Math.floor(Math.log10(high) + 1e-9);
  const every = Math.max(1, Math.ceil((to - from) / 4));
  const powers = [];
  for (let power = to; power >= from; power -= every) powers.unshift(Number(`1e${power}`));
  if (powers.length >= 3) return powers;
  const finer = [];
  for (let power = from - 1; power <= to; power++) {
    for (const factor of [1, 2, 5]) finer.push(Number(`${factor}e${power}`));
  }
  const inside = finer.filter((value) => value >= low && value <= high);
  return inside.length >= 2 ? inside : [low, high];
}
