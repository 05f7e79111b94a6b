/** What a downloaded picture is put together of, with what the page sets beside its canvases: axes, keys, tables. */

import { cssColour, LEVELS, palette as paletteOf, scaleTicks, toUnit } from "./colour.js";
import { formatValue } from "./format.js";
import { cssVariable } from "./hooks.js";
import { theme } from "./host.js";

/** @typedef {{at: number, text: string}} Tick `at` is 0 at the left or the top, 1 at the right or the bottom */

/**
 * @typedef {object} Chart
 * @property {HTMLCanvasElement} canvas
 * @property {Axis} [left]
 * @property {Axis} [right]
 * @property {Axis} [bottom]
 */

/** @typedef {{name: string, ticks: Tick[]}} Axis */

const LEFT = 64;
const BOTTOM = 34;
const TOP = 18;
const GAP = 14;

/**
 * A canvas of its own, drawn at once.
 * @param {number} width CSS pixels
 * @param {number} height CSS pixels
 * @param {(context: CanvasRenderingContext2D, ratio: number) => void} draw in device pixels
 */
export function drawn(width, height, draw) {
  return drawnAt(width, height, window.devicePixelRatio || 1, draw);
}

/**
 * The same with so many pixels to a CSS pixel.
 * @param {number} width CSS pixels
 * @param {number} height CSS pixels
 * @param {number} ratio
 * @param {(context: CanvasRenderingContext2D, ratio: number) => void} draw in device pixels
 */
export function drawnAt(width, height, ratio, draw) {
  const canvas = document.createElement("canvas");
  canvas.width = Math.ceil(width * ratio);
  canvas.height = Math.ceil(height * ratio);
  draw(/** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d")), ratio);
  return canvas;
}

/** @param {number} size CSS pixels @param {400 | 500} [weight] */
const font = (size, weight = 400) =>
  `${weight} ${size}px ${cssVariable("--lv-font") || "sans-serif"}`;

/**
 * How wide the widest text is, in CSS pixels.
 * @param {string[]} texts
 * @param {number} [size] of the letters
 */
function widest(texts, size = 11) {
  const context = /** @type {CanvasRenderingContext2D} */ (
    document.createElement("canvas").getContext("2d")
  );
  context.font = font(size);
  return Math.max(0, ...texts.map((text) => context.measureText(text).width));
}

/**
 * Charts side by side, each with its axes.
 * @param {Chart[]} charts
 * @returns {HTMLCanvasElement}
 */
export function withAxes(charts) {
  const ratio = window.devicePixelRatio || 1;
  const room = charts.map(({ left, right }) => ({
    left: left ? LEFT * ratio : 0,
    right: right ? (LEFT / 2) * ratio : 0,
  }));
  const made = document.createElement("canvas");
  made.width = Math.ceil(
    charts.reduce(
      (sum, { canvas }, i) => sum + canvas.width + room[i].left + room[i].right + GAP * ratio,
      0,
    ),
  );
  made.height = Math.ceil(
    Math.max(...charts.map(({ canvas }) => canvas.height)) + (TOP + BOTTOM) * ratio,
  );
  const context = /** @type {CanvasRenderingContext2D} */ (made.getContext("2d"));
  context.font = font(11 * ratio);
  context.fillStyle = cssVariable("--lv-secondary");
  const y = TOP * ratio;
  let x = 0;
  charts.forEach(({ canvas, left, right, bottom }, i) => {
    x += room[i].left;
    context.drawImage(canvas, x, y);
    const end = x + canvas.width + room[i].right;
    for (const [axis, at, align, outer, side] of /** @type {const} */ ([
      [left, x - 6 * ratio, "right", x - room[i].left, "left"],
      [right, x + canvas.width + 6 * ratio, "left", end, "right"],
    ])) {
      if (!axis) continue;
      context.textAlign = align;
      context.textBaseline = "middle";
      for (const tick of axis.ticks) context.fillText(tick.text, at, y + tick.at * canvas.height);
      // A long name has the room above the chart.
      context.textAlign = side;
      context.textBaseline = "top";
      context.fillText(axis.name, outer, 0);
    }
    if (bottom) {
      context.textBaseline = "top";
      for (const { at, text } of bottom.ticks) {
        context.textAlign = at < 0.06 ? "left" : at > 0.94 ? "right" : "center";
        context.fillText(text, x + at * canvas.width, y + canvas.height + 4 * ratio);
      }
      context.textAlign = "center";
      context.fillText(bottom.name, x + canvas.width / 2, y + canvas.height + 18 * ratio);
    }
    x += canvas.width + room[i].right + GAP * ratio;
  });
  return made;
}

/**
 * A colour scale with its numbers.
 * @param {object} what
 * @param {import("./colour.js").ColourScale} what.scale
 * @param {Uint32Array} [what.palette] the usual one of the scale if it is left out
 * @param {(value: number) => string} [what.format]
 * @param {string[]} [what.ends] what stands at its ends where they are no numbers
 * @param {string} [what.label] what the colours are
 * @param {import("./colour.js").ScaleMark} [what.mark] a value that is marked
 */
export function drawScale({ scale, palette, format = formatValue, ends, label = "", mark }) {
  const colours = palette ?? paletteOf(theme.value, scale.diverging);
  const ticks = ends
    ? ends.map((text, at) => ({ text, at }))
    : scaleTicks(scale)
        .filter((value) => !mark || value === scale.low || value === scale.high)
        .map((value) => ({ text: format(value), at: toUnit(scale, value) }));
  const marked = mark && mark.value < scale.high ? toUnit(scale, mark.value) : -1;
  if (mark && marked >= 0) ticks.push({ text: mark.text, at: marked });
  const top = label ? 18 : 0;
  return drawn(Math.max(260, widest([label])), top + 28, (context, ratio) => {
    const width = 260 * ratio;
    for (let x = 0; x < width; x++) {
      context.fillStyle = cssColour(colours, Math.round((x / (width - 1)) * (LEVELS - 1)));
      context.fillRect(x, top * ratio, 1, 12 * ratio);
    }
    context.fillStyle = cssVariable("--lv-text");
    if (marked >= 0) context.fillRect(marked * width - ratio, top * ratio, 2 * ratio, 13 * ratio);
    context.font = font(11 * ratio);
    context.textBaseline = "top";
    context.fillText(label, 0, 0);
    for (const { text, at } of ticks) {
      context.textAlign = at < 0.06 ? "left" : at > 0.94 ? "right" : "center";
      context.fillText(text, at * width, (top + 14) * ratio);
    }
  });
}

/**
 * What the lines of a chart are.
 * @param {{text: string, colour: string, dashed?: boolean}[]} lines `colour` is a custom property of the style sheet
 */
export function drawKey(lines) {
  return drawn(widest(lines.map(({ text }) => text)) + 28, 16 * lines.length, (context, ratio) => {
    context.font = font(11 * ratio);
    context.textBaseline = "middle";
    context.lineWidth = 2 * ratio;
    lines.forEach(({ text, colour, dashed }, i) => {
      const y = (16 * i + 8) * ratio;
      context.strokeStyle = cssVariable(colour);
      context.setLineDash(dashed ? [5 * ratio, 3 * ratio] : []);
      context.beginPath();
      context.moveTo(0, y);
      context.lineTo(18 * ratio, y);
      context.stroke();
      context.fillStyle = cssVariable("--lv-text");
      context.fillText(text, 24 * ratio, y);
    });
  });
}

const ROW = 20;
const COLUMN_GAP = 16;

/**
 * A table of texts: the first column and those that are named so begin at their left, the others end at their right.
 * @param {string[]} head
 * @param {string[][]} rows
 * @param {number[]} [words] further columns of words
 */
export function drawTable(head, rows, words = []) {
  const lines = [head, ...rows];
  const widths = head.map((_, column) =>
    widest(
      lines.map((line) => line[column]),
      12,
    ),
  );
  const lefts = widths.map((_, column) =>
    widths.slice(0, column).reduce((sum, width) => sum + width + COLUMN_GAP, 0),
  );
  const across = lefts[head.length - 1] + widths[head.length - 1];
  return drawn(across, ROW * lines.length, (context, ratio) => {
    context.font = font(12 * ratio);
    context.textBaseline = "middle";
    lines.forEach((line, row) => {
      context.fillStyle = cssVariable(row ? "--lv-text" : "--lv-secondary");
      line.forEach((text, column) => {
        const isWords = column === 0 || words.includes(column);
        context.textAlign = isWords ? "left" : "right";
        const x = lefts[column] + (isWords ? 0 : widths[column]);
        context.fillText(text, x * ratio, (row + 0.5) * ROW * ratio);
      });
      context.fillStyle = cssVariable("--lv-border");
      context.fillRect(0, ((row + 1) * ROW - 1) * ratio, across * ratio, ratio);
    });
  });
}

/** @typedef {{depth: number, node: {label: string, className: string}}} NamedRow */

/**
 * The names of a map's rows, as deep as they lie.
 * @param {NamedRow[]} rows
 * @param {number} rowHeight CSS pixels
 */
export function drawRowNames(rows, rowHeight) {
  const indent = (/** @type {NamedRow} */ { depth }) => 4 + 14 * depth;
  const names = widest(
    rows.map(({ node }) => node.label),
    12,
  );
  const deepest = Math.max(0, ...rows.map(indent));
  const width = deepest + names + 12 + widest(rows.map(({ node }) => node.className));
  return drawn(width, rowHeight * rows.length, (context, ratio) => {
    context.textBaseline = "middle";
    rows.forEach((row, i) => {
      const y = (i + 0.5) * rowHeight * ratio;
      context.textAlign = "left";
      context.font = font(12 * ratio);
      context.fillStyle = cssVariable("--lv-text");
      context.fillText(row.node.label, indent(row) * ratio, y);
      context.textAlign = "right";
      context.font = font(11 * ratio);
      context.fillStyle = cssVariable("--lv-secondary");
      context.fillText(row.node.className, width * ratio, y);
    });
  });
}
