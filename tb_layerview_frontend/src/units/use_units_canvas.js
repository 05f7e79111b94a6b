/** Drawing the map of units: a colour for each unit at each step, and what is silent or not finite. */

import { useMemo } from "preact/hooks";

import { columnSteps } from "../kit/axis.js";
import { LEVELS, levelOf, OVER, palette, TROUBLE } from "../kit/colour.js";
import { drawHoles } from "../kit/holes.js";
import { cssVariable, hatching, useCanvas } from "../kit/hooks.js";
import { theme } from "../kit/host.js";
import { BROKEN, PARTLY_SILENT, SILENT, toPixels } from "./units.js";

/** @typedef {import("./units.js").UnitsShown} UnitsShown */

/**
 * @param {UnitsShown} shown
 * @param {import("../kit/axis.js").StepAxis} axis
 * @param {import("../kit/colour.js").ColourScale} scale
 * @param {number} width
 * @param {number} height
 */
export function useUnitsCanvas({ column, peaks, rows }, axis, scale, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const across = Math.max(1, Math.round(width * ratio));
  // Few units need no more rows of pixels than there are of them.
  const down = Math.max(1, Math.min(column.units, Math.round(height * ratio)));
  const pixels = useMemo(
    () => toPixels(column, peaks, rows, down, columnSteps(axis, across)),
    [column, peaks, rows, down, axis, across],
  );
  return useCanvas(
    width,
    height,
    (context) => {
      drawHoles(context, axis, ratio);
      const { values, marks } = pixels;
      const colours = palette(theme.value, scale.diverging);
      const silent = packed("--lv-silent");
      const image = new ImageData(across, down);
      const bits = new Uint32Array(image.data.buffer);
      for (let i = 0; i < bits.length; i++) {
        const level = levelOf(scale, values[i]);
        const own = level < LEVELS || level === OVER ? colours[level] : 0;
        if (marks[i] === SILENT) bits[i] = silent;
        else if (marks[i] === PARTLY_SILENT) bits[i] = halfWay(own, silent);
        else bits[i] = own;
      }
      const small = document.createElement("canvas");
      small.width = across;
      small.height = down;
      /** @type {CanvasRenderingContext2D} */ (small.getContext("2d")).putImageData(image, 0, 0);
      const { width: w, height: h } = context.canvas;
      context.imageSmoothingEnabled = false;
      context.drawImage(small, 0, 0, across, down, 0, 0, w, h);
      drawBroken(context, marks, across, down, ratio);
    },
    [pixels, axis, scale, theme.value],
  );
}

/**
 * What is not finite is hatched, and never thinner than can be seen.
 * @param {CanvasRenderingContext2D} context
 * @param {Uint8Array} marks
 * @param {number} across
 * @param {number} down
 * @param {number} ratio
 */
function drawBroken(context, marks, across, down, ratio) {
  if (!marks.includes(BROKEN)) return;
  const { nan } = TROUBLE[theme.value];
  context.fillStyle = hatching(context, nan, cssVariable("--lv-surface"), ratio);
  const tall = Math.max(2 * ratio, context.canvas.height / down);
  for (let y = 0; y < down; y++) {
    for (let x = 0; x < across; x++) {
      if (marks[y * across + x] !== BROKEN) continue;
      let end = x + 1;
      while (end < across && marks[y * across + end] === BROKEN) end++;
      const top = (y / down) * context.canvas.height;
      context.fillRect(x, top, Math.max(2 * ratio, end - x), tall);
      x = end;
    }
  }
}

/** A colour of the style sheet as the bits of an ImageData. @param {string} name */
function packed(name) {
  const hex = cssVariable(name);
  const [r, g, b] = [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));
  return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
}

/**
 * @param {number} a
 * @param {number} b
 */
function halfWay(a, b) {
  if (!a) return b;
  let mixed = 0xff000000;
  for (const shift of [0, 8, 16]) {
    mixed += ((((a >>> shift) & 255) + ((b >>> shift) & 255)) >> 1) << shift;
  }
  return mixed >>> 0;
}
