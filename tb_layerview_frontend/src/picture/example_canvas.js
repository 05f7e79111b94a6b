/** An example of what goes into a model, drawn. */

import { LEVELS } from "../kit/colour.js";

/** @typedef {Extract<import("./example.js").Example, {kind: "picture"}>} ExamplePicture */

/** Of the square that an example fits, CSS pixels. */
export const SIDE = 88;

/**
 * How large an example is beside a picture, CSS pixels.
 * @param {{rows: number, columns: number}} example
 */
export function exampleSize({ rows, columns }) {
  const scale = Math.min(SIDE / columns, SIDE / rows);
  return {
    width: Math.max(1, Math.round(columns * scale)),
    height: Math.max(1, Math.round(rows * scale)),
  };
}

/**
 * Draws an example over all of a canvas, each of its pixels as a block.
 * @param {CanvasRenderingContext2D} context
 * @param {ExamplePicture} example
 * @param {Uint32Array} grey the palette of what has no colours of its own
 */
export function drawExample(context, { rows, columns, colours, values }, grey) {
  const { width, height } = context.canvas;
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = Math.floor((y * rows) / height) * columns + Math.floor((x * columns) / width);
      pixels[y * width + x] = colours ? colours[at] : grey[Math.round(values[at] * (LEVELS - 1))];
    }
  }
  context.putImageData(image, 0, 0);
}
