/** What is drawn over a picture's pixels: panels' frames and names, marks, and numbers in cells. */

import { LEVELS } from "../kit/colour.js";
import { formatValue } from "../kit/format.js";
import { cssVariable } from "../kit/hooks.js";
import { ABOVE, BELOW, paint } from "./paint.js";
import { trueIndex } from "./plan.js";
import { cellRect, panelRect, visibleCells } from "./screen.js";

/** @typedef {import("./layout.js").Grid} Grid */
/** @typedef {import("./screen.js").Transform} Transform */
/** @typedef {import("./screen.js").Projection} Projection */

/**
 * @typedef {object} Scene
 * @property {Grid} grid
 * @property {Transform} transform
 * @property {Projection} projection
 * @property {import("../data/payload.js").Values} values
 * @property {Uint16Array} levels
 * @property {Uint32Array} palette
 * @property {import("../kit/colour.js").ColourScale} scale
 * @property {import("../kit/colour.js").ColourScale[] | null} perUnit
 * @property {number} base
 * @property {boolean} marked whether some elements are no numbers
 * @property {((panel: number) => string[]) | null} nameOf a panel, the longest text first; null: without names
 * @property {number} ratio
 */

const NUMBER_WIDTH = 38;
const NUMBER_HEIGHT = 14;
const MARK = 11;

/**
 * Draws all of a picture.
 * @param {CanvasRenderingContext2D} context
 * @param {Scene} scene
 */
export function drawPicture(context, scene) {
  const { grid, projection, levels, base, palette, ratio, marked } = scene;
  const image = new ImageData(projection.columnAt.length, projection.rowAt.length);
  const pixels = new Uint32Array(image.data.buffer);
  paint(pixels, grid, projection, levels, base, palette, marked ? Math.round(2 * ratio) : 0);
  if (grid.bars) cutBars(pixels, scene);
  context.putImageData(image, 0, 0);
  drawFrames(context, scene);
  drawNames(context, scene);
  drawInCells(context, scene);
  if (grid.foot) drawIndices(context, scene);
}

/**
 * Leaves of each column only the bar from 0 to its value.
 * @param {Uint32Array} pixels
 * @param {Scene} scene
 */
function cutBars(pixels, { grid, projection: { columnAt, rowAt }, values, base, scale }) {
  const width = columnAt.length;
  const { top, zero } = barScale(grid, scale);
  for (let x = 0; x < width; x++) {
    if (columnAt[x] < 0) continue;
    const value = values.data[base + grid.columnOffsets[columnAt[x]]];
    // What is no number fills its place.
    const at = Number.isFinite(value) ? top(value) : 0;
    const end = Number.isFinite(value) ? zero : grid.panelHeight;
    const [from, to] = at < end ? [at, end] : [end, at];
    // A thin gap between bars that are wide enough for one.
    const isEdge = columnAt[x + 2] !== columnAt[x] && columnAt[x - 5] === columnAt[x];
    for (let y = 0; y < rowAt.length; y++) {
      if (
        isEdge ||
        y >= grid.panelHeight - grid.foot ||
        y < Math.min(from, end - 1) ||
        y > Math.max(to, end)
      )
        pixels[y * width + x] = 0;
    }
  }
}

/**
 * Where a value's end of a bar lies.
 * @param {Grid} grid
 * @param {import("../kit/colour.js").ColourScale} scale
 */
function barScale(grid, { low, high }) {
  const least = Math.min(0, low);
  const most = Math.max(0, high);
  const top = (/** @type {number} */ value) =>
    Math.round(
      (grid.panelHeight - grid.foot - 1) *
        (1 - (Math.min(most, Math.max(least, value)) - least) / (most - least)),
    );
  return { top, zero: top(0) };
}

/**
 * Colours the gaps between panels, so that two dark neighbours are two.
 * @param {CanvasRenderingContext2D} context
 * @param {Scene} scene
 */
function drawFrames(context, { grid, transform }) {
  if (!grid.gap) return;
  const { gap } = grid;
  context.save();
  context.globalCompositeOperation = "destination-over";
  context.fillStyle = cssVariable("--lv-gap");
  for (let panel = 0; panel < grid.panels; panel++) {
    const { x, y, width, height } = panelRect(grid, transform, panel);
    if (x + width < 0 || y + height < 0 || x > context.canvas.width || y > context.canvas.height)
      continue;
    if (grid.head) context.fillRect(x - 1, y - 1, width + 2, height + 2);
    else context.fillRect(x - gap, y - gap, width + 2 * gap, height + 2 * gap);
  }
  context.restore();
}

/** Size of a panel's name, CSS pixels. */
export const NAME_SIZE = 10;

/**
 * The names of the panels that are on the screen, and where the left end of each one's foot is.
 * @param {Scene} scene
 * @param {(text: string) => number} widthOf a text, device pixels
 * @returns {{text: string, x: number, y: number}[]} device pixels; none where there is no room for them
 */
export function placedNames({ grid, transform, projection, nameOf, ratio }, widthOf) {
  if (!grid.head || !nameOf) return [];
  // All of them in the same words: the longest that the last one, with the largest number, has room for.
  const room = transform.scale * grid.panelWidth;
  const length = nameOf(grid.panels - 1).findIndex((text) => widthOf(text) <= room);
  if (length < 0) return [];
  const [across, down] = [projection.columnAt.length, projection.rowAt.length];
  return Array.from({ length: grid.panels }).flatMap((_, panel) => {
    const { x, y, width } = panelRect(grid, transform, panel);
    if (x + width < 0 || y < 0 || x > across || y > down + 20) return [];
    return [{ text: nameOf(panel)[length], x: Math.max(x, 1), y: y - ratio }];
  });
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Scene} scene
 */
function drawNames(context, scene) {
  context.font = `${NAME_SIZE * scene.ratio}px ${cssVariable("--lv-font")}`;
  context.fillStyle = cssVariable("--lv-secondary");
  context.textBaseline = "bottom";
  context.textAlign = "left";
  for (const { text, x, y } of placedNames(scene, (one) => context.measureText(one).width)) {
    context.fillText(text, x, y);
  }
}

/**
 * The index of each bar, below it.
 * @param {CanvasRenderingContext2D} context
 * @param {Scene} scene
 */
function drawIndices(context, { grid, transform, projection, values, base, ratio }) {
  context.font = `${10 * ratio}px ${cssVariable("--lv-font")}`;
  context.fillStyle = cssVariable("--lv-secondary");
  context.textBaseline = "bottom";
  context.textAlign = "center";
  for (const { column, row, offset } of visibleCells(grid, projection)) {
    const { x, y, width, height } = cellRect(grid, transform, column, row);
    const text = String(trueIndex(values.axes, base + offset).at(-1));
    if (context.measureText(text).width <= width) context.fillText(text, x + width / 2, y + height);
  }
}

/**
 * Marks of what is no number or clipped, and numbers, in the cells that have room for them.
 * @param {CanvasRenderingContext2D} context
 * @param {Scene} scene
 */
function drawInCells(
  context,
  { grid, transform, projection, values, levels, palette, base, ratio },
) {
  const any = cellRect(grid, transform, 0, 0);
  const hasMarks = Math.min(any.width, any.height) >= MARK * ratio;
  const hasNumbers = any.width >= NUMBER_WIDTH * ratio && any.height >= NUMBER_HEIGHT * ratio;
  if (!hasMarks && !hasNumbers) return;
  context.font = `${11 * ratio}px ${cssVariable("--lv-font")}`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  const [light, dark, text] = ["#ffffff", "#000000", cssVariable("--lv-text")];
  for (const { column, row, offset } of visibleCells(grid, projection)) {
    const level = levels[base + offset];
    const rect = cellRect(grid, transform, column, row);
    const value = values.data[base + offset];
    const ink = grid.bars ? text : isDark(palette, level) ? light : dark;
    if (hasMarks && level >= LEVELS) drawMark(context, rect, level, value, ink, ratio);
    if (hasNumbers && Number.isFinite(value)) {
      context.fillStyle = ink;
      const y = grid.bars ? rect.y + rect.height - grid.foot - 8 * ratio : rect.y + rect.height / 2;
      if (grid.bars) {
        context.lineWidth = 3 * ratio;
        context.strokeStyle = cssVariable("--lv-surface");
        context.strokeText(formatValue(value), rect.x + rect.width / 2, y);
      }
      context.fillText(formatValue(value), rect.x + rect.width / 2, y);
    }
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {import("./screen.js").Rect} rect
 * @param {number} level
 * @param {number} value
 * @param {string} ink
 * @param {number} ratio
 */
function drawMark(context, { x, y, width, height }, level, value, ink, ratio) {
  if (level & (BELOW | ABOVE)) {
    // A corner, lower or upper: beyond this end of the colours.
    const size = Math.min(7 * ratio, width / 3, height / 3);
    const edge = level & ABOVE ? y : y + height;
    context.fillStyle = ink;
    context.beginPath();
    context.moveTo(x + width, edge);
    context.lineTo(x + width - size, edge);
    context.lineTo(x + width, edge + (level & ABOVE ? size : -size));
    context.fill();
    return;
  }
  const sign = Number.isNaN(value) ? "×" : value > 0 ? "+" : "−";
  const size = Math.min(width, height, 18 * ratio) / 2;
  const [middleX, middleY] = [x + width / 2, y + height / 2];
  context.fillStyle = "#ffffff";
  context.beginPath();
  context.arc(middleX, middleY, size * 0.8, 0, 2 * Math.PI);
  context.fill();
  context.strokeStyle = "#000000";
  context.lineWidth = Math.max(1, size * 0.28);
  const arm = size * 0.45;
  context.beginPath();
  if (sign === "×") {
    context.moveTo(middleX - arm, middleY - arm);
    context.lineTo(middleX + arm, middleY + arm);
    context.moveTo(middleX + arm, middleY - arm);
    context.lineTo(middleX - arm, middleY + arm);
  } else {
    context.moveTo(middleX - arm, middleY);
    context.lineTo(middleX + arm, middleY);
    if (sign === "+") {
      context.moveTo(middleX, middleY - arm);
      context.lineTo(middleX, middleY + arm);
    }
  }
  context.stroke();
}

/**
 * @typedef {object} Outlines
 * @property {import("./screen.js").Rect[]} units where the chosen unit lies
 * @property {import("./screen.js").Rect | null} cursor the element that is pointed out
 * @property {import("./screen.js").Rect | null} pointed the element under the pointer
 */

/**
 * Frames what is chosen and pointed at. An element smaller than the frame around it is still seen.
 * @param {CanvasRenderingContext2D} context
 * @param {Outlines} outlines
 * @param {number} ratio
 */
export function drawOutlines(context, { units, cursor, pointed }, ratio) {
  const outline = (
    /** @type {import("./screen.js").Rect} */ { x, y, width, height },
    /** @type {string} */ colour,
    thickness = 1.5,
  ) => {
    for (const [style, line] of /** @type {const} */ ([
      [cssVariable("--lv-surface"), thickness + 2],
      [cssVariable(colour), thickness],
    ])) {
      context.strokeStyle = style;
      context.lineWidth = line * ratio;
      context.strokeRect(x, y, Math.max(2, width), Math.max(2, height));
    }
  };
  for (const rect of units) outline(rect, "--lv-accent", 2);
  if (cursor) outline(cursor, "--lv-accent");
  if (pointed) outline(pointed, "--lv-now");
}

/**
 * @param {Uint32Array} palette
 * @param {number} level
 */
function isDark(palette, level) {
  const bits = palette[level & (BELOW - 1)];
  return 0.299 * (bits & 255) + 0.587 * ((bits >> 8) & 255) + 0.114 * ((bits >> 16) & 255) < 140;
}
