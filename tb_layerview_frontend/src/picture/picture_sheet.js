/** A picture as it is taken along: sharper than on the screen, with its panels' names as text, beside its input. */

import { theme } from "../kit/host.js";
import { besideEachOther, imageSheet, widthOf } from "../kit/sheet.js";
import { picturePalette } from "./colours.js";
import { drawPicture, NAME_SIZE, placedNames } from "./draw.js";
import { drawExample, exampleSize, SIDE } from "./example_canvas.js";
import { sharper } from "./layout.js";
import { panelNames } from "./panel_names.js";
import { project } from "./screen.js";

/** @typedef {import("../kit/sheet.js").Sheet} Sheet */
/** @typedef {import("./use_picture.js").PictureModel} PictureModel */

/** How wide the frame around a panel is, pixels. */
const FRAME = 1;

/**
 * @param {PictureModel} picture
 * @param {import("./use_screen.js").Screen} screen
 * @param {number} factor pixels for each of the screen's, whole
 * @returns {Sheet}
 */
export function pictureSheet(picture, screen, factor) {
  const ratio = screen.space.ratio * factor;
  // The frames of the outermost panels lie around them.
  const [width, height] = [screen.width * factor + 2 * FRAME, screen.height * factor + 2 * FRAME];
  const grid = sharper(screen.grid, factor);
  const { scale, x, y } = screen.transform;
  const transform = { scale, x: x * factor + FRAME, y: y * factor + FRAME };
  const { nan, posInf, negInf } = picture.marks;
  /** @type {import("./draw.js").Scene} */
  const scene = {
    ...picture,
    grid,
    transform,
    projection: project(grid, transform, width, height),
    marked: nan + posInf + negInf > 0,
    ratio,
    nameOf: null,
  };
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  drawPicture(/** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d")), scene);
  const nameOf = (/** @type {number} */ panel) => panelNames(picture, grid, panel);
  const named = placedNames({ ...scene, nameOf }, (text) => widthOf(text, NAME_SIZE) * ratio);
  const sheet = imageSheet(canvas, ratio);
  for (const { text, x: left, y: foot } of named) {
    sheet.pieces.push({
      kind: "text",
      text,
      x: left / ratio,
      // Where the letters stand, above where their tails end.
      y: foot / ratio - 2,
      size: NAME_SIZE,
      colour: "--lv-secondary",
    });
  }
  return sheet;
}

/**
 * What went into the model, under its name.
 * @param {import("./example_canvas.js").ExamplePicture} example
 * @param {number} index of the example
 * @param {number} ratio pixels to a CSS pixel
 * @returns {Sheet}
 */
export function exampleSheet(example, index, ratio) {
  const { width, height } = exampleSize(example);
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
  drawExample(
    /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d")),
    example,
    picturePalette("grey", theme.value, false),
  );
  const text = `input, example ${index}`;
  return {
    width: Math.max(SIDE, Math.ceil(widthOf(text, 11))),
    height: height + 18,
    pieces: [
      { kind: "text", text, x: 0, y: 11, size: 11, colour: "--lv-secondary" },
      { kind: "image", canvas, x: 0, y: 18, width, height },
    ],
  };
}

/**
 * The picture, and at its left what went into the model, if that is a picture.
 * @param {PictureModel} picture
 * @param {import("./use_screen.js").Screen} screen
 * @param {{example: import("./example_canvas.js").ExamplePicture, index: number} | null} input
 * @param {number} factor pixels for each of the screen's, whole
 */
export function besideItsInput(picture, screen, input, factor) {
  const own = pictureSheet(picture, screen, factor);
  if (!input) return own;
  const ratio = screen.space.ratio * factor;
  return besideEachOther([exampleSheet(input.example, input.index, ratio), own]);
}

/**
 * The step of a film, and how far that is.
 * @param {string} text
 * @param {number} share of the film, 0 to 1
 * @param {number} width CSS pixels
 * @returns {Sheet}
 */
export function stepSheet(text, share, width) {
  const track = /** @type {const} */ ({ kind: "box", x: 0, y: 22, height: 3 });
  return {
    width,
    height: 25,
    pieces: [
      { kind: "text", text, x: 0, y: 15, size: 14, weight: 500, colour: "--lv-text" },
      { ...track, width, colour: "--lv-border" },
      { ...track, width: share * width, colour: "--lv-accent" },
    ],
  };
}
