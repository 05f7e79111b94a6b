/** Drawing of ridges: numbers in, pixels of a canvas out. */

import { cssColour, palette } from "../kit/colour.js";
import { hatching } from "../kit/hooks.js";
import { heightOf } from "./ridges.js";

/** @typedef {import("./ridges.js").Ridge} Ridge */
/** @typedef {import("./ridges.js").RidgeLayout} RidgeLayout */

/** Levels of the ramp of the first and of the last step. */
const [EARLY, LATE] = [78, 236];

/**
 * What is drawn. Lengths are in device pixels.
 * @typedef {object} RidgeScene
 * @property {(Ridge | null)[]} ridges by place; null where nothing is finite
 * @property {boolean[]} broken whether a step has elements that are no numbers
 * @property {RidgeLayout} layout
 * @property {number} most see `highestShare`
 * @property {number} left where the value axis begins
 * @property {number} right where it ends
 * @property {number | null} zeros middle of the spikes of exact zeros; null: there are none
 * @property {number | null} zero where 0 lies within the axis
 * @property {number} ratio
 * @property {import("../kit/colour.js").Theme} theme
 * @property {{surface: string, text: string, faint: string, chosen: string, nan: string}} colours
 */

/** A ridge that stands out: where, and which. @typedef {{place: number, ridge: Ridge | null}} Outstanding */

/**
 * @param {CanvasRenderingContext2D} context
 * @param {RidgeScene} scene
 * @param {{chosen: Outstanding | null, ghost: Outstanding | null, pointed: Outstanding | null}} outstanding
 */
export function drawRidges(context, scene, { chosen, ghost, pointed }) {
  const { ridges, layout, zero, ratio, colours } = scene;
  if (zero !== null) {
    context.fillStyle = colours.faint;
    context.globalAlpha = 0.45;
    const thick = Math.max(1, ratio);
    context.fillRect(Math.round(zero - thick / 2), 0, thick, layout.foot(ridges.length - 1));
    context.globalAlpha = 1;
  }
  ridges.forEach((ridge, place) => drawRidge(context, scene, ridge, place));
  if (pointed) outline(context, scene, pointed, colours.text, 1.5);
  if (chosen) {
    fill(context, scene, chosen, colours.chosen, 0.35);
    outline(context, scene, chosen, colours.chosen, 2.25);
  }
  if (ghost) outline(context, scene, ghost, colours.text, 1.25, [4 * ratio, 3 * ratio]);
}

/**
 * The colour of a place: early ones light, late ones dark (in the dark theme the other way round).
 * @param {RidgeScene} scene
 * @param {number} place
 */
function colourOf({ ridges, theme }, place) {
  const level = EARLY + ((LATE - EARLY) * place) / Math.max(1, ridges.length - 1);
  return cssColour(palette(theme, false), Math.round(ridges.length > 1 ? level : LATE));
}

/**
 * The upper line of a ridge.
 * @param {RidgeScene} scene
 * @param {Ridge} ridge
 * @param {number} place
 */
function pathOf({ layout, most, left, right }, { shares }, place) {
  const path = new Path2D();
  const foot = layout.foot(place);
  const piece = (right - left) / shares.length;
  const y = (/** @type {number} */ at) => foot - layout.rise * heightOf(shares[at], most);
  path.moveTo(left, foot);
  path.lineTo(left, y(0));
  for (let at = 0; at < shares.length; at++) path.lineTo(left + (at + 0.5) * piece, y(at));
  path.lineTo(right, y(shares.length - 1));
  path.lineTo(right, foot);
  return path;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {RidgeScene} scene
 * @param {Ridge | null} ridge
 * @param {number} place
 */
function drawRidge(context, scene, ridge, place) {
  const { layout, left, right, ratio, colours, broken } = scene;
  const foot = layout.foot(place);
  if (ridge) {
    const path = pathOf(scene, ridge, place);
    // What stands in front hides what is behind it.
    context.fillStyle = colours.surface;
    context.fill(path);
    context.fillStyle = context.strokeStyle = colourOf(scene, place);
    context.globalAlpha = 0.3;
    context.fill(path);
    context.globalAlpha = 1;
    context.lineWidth = 1.25 * ratio;
    context.lineJoin = "round";
    context.stroke(path);
    drawZeros(context, scene, ridge, place);
    drawBeyond(context, scene, ridge, place);
  }
  if (broken[place]) {
    context.fillStyle = hatching(context, colours.nan, colours.surface, ratio);
    context.fillRect(left, foot - 5 * ratio, right - left, 5 * ratio);
  }
}

/** How wide a spike of exact zeros is, CSS pixels. */
const SPIKE = 7;

/**
 * Exact zeros: a spike beside the axis, as high as a ridge where all elements are.
 * @param {CanvasRenderingContext2D} context
 * @param {RidgeScene} scene
 * @param {Ridge} ridge
 * @param {number} place
 */
function drawZeros(context, scene, { zeros: share }, place) {
  const { zeros, layout, ratio, colours } = scene;
  if (zeros === null || !(share > 0)) return;
  const high = Math.max(1.5 * ratio, layout.rise * share);
  const [x, y] = [zeros - (SPIKE / 2) * ratio, layout.foot(place) - high];
  context.fillStyle = colours.surface;
  context.fillRect(x - ratio, y - ratio, (SPIKE + 2) * ratio, high + ratio);
  context.fillStyle = colourOf(scene, place);
  context.fillRect(x, y, SPIKE * ratio, high);
}

/** From which share on what lies beyond an end has a mark. */
const MARKED = 0.02;

/**
 * A triangle at the end of the axis beyond which many elements lie.
 * @param {CanvasRenderingContext2D} context
 * @param {RidgeScene} scene
 * @param {Ridge} ridge
 * @param {number} place
 */
function drawBeyond(context, { left, right, layout, ratio, colours }, { below, above }, place) {
  const y = layout.foot(place) - 3 * ratio;
  for (const [share, x, out] of /** @type {const} */ ([
    [below, left, -1],
    [above, right, 1],
  ])) {
    if (share < MARKED) continue;
    context.fillStyle = colours.text;
    context.beginPath();
    context.moveTo(x - out * 4 * ratio, y - 3.5 * ratio);
    context.lineTo(x + out * ratio, y);
    context.lineTo(x - out * 4 * ratio, y + 3.5 * ratio);
    context.fill();
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {RidgeScene} scene
 * @param {Outstanding} which
 * @param {string} colour
 * @param {number} opacity
 */
function fill(context, scene, { ridge, place }, colour, opacity) {
  if (!ridge) return;
  context.fillStyle = colour;
  context.globalAlpha = opacity;
  context.fill(pathOf(scene, ridge, place));
  context.globalAlpha = 1;
}

/**
 * The line of a ridge over all others, and its spike of zeros.
 * @param {CanvasRenderingContext2D} context
 * @param {RidgeScene} scene
 * @param {Outstanding} which
 * @param {string} colour
 * @param {number} thick CSS pixels
 * @param {number[]} [dashes]
 */
function outline(context, scene, { ridge, place }, colour, thick, dashes = []) {
  const { left, right, layout, zeros, ratio } = scene;
  const foot = layout.foot(place);
  context.strokeStyle = colour;
  context.lineWidth = thick * ratio;
  context.lineJoin = "round";
  context.setLineDash(dashes);
  if (ridge) context.stroke(pathOf(scene, ridge, place));
  context.beginPath();
  context.moveTo(left, foot);
  context.lineTo(right, foot);
  if (!dashes.length) context.stroke();
  if (zeros !== null && ridge && ridge.zeros > 0) {
    const high = Math.max(1.5 * ratio, layout.rise * ridge.zeros);
    context.strokeRect(zeros - (SPIKE / 2) * ratio, foot - high, SPIKE * ratio, high);
  }
  context.setLineDash([]);
}
