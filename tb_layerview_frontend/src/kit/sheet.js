/** A picture that is taken along, before it is one: what stands where. It becomes pixels, or SVG with text as text. */

import { cssColour, LEVELS, palette as paletteOf, scaleTicks, toUnit } from "./colour.js";
import { formatValue } from "./format.js";
import { cssVariable } from "./hooks.js";
import { theme } from "./host.js";

/**
 * Lengths are CSS pixels; the `y` of a text is its baseline.
 * @typedef {{kind: "image", canvas: HTMLCanvasElement, x: number, y: number, width: number, height: number}
 *   | {kind: "text", text: string, x: number, y: number, size: number, colour: string, weight?: number, anchor?: Anchor}
 *   | {kind: "box", x: number, y: number, width: number, height: number, colour: string}} Piece
 */

/** @typedef {"start" | "middle" | "end"} Anchor */
/** @typedef {{width: number, height: number, pieces: Piece[]}} Sheet */
/** A sheet with words around it. @typedef {{title: string, lines: string[], sheets: Sheet[]}} Captioned */
/** @typedef {import("./figure.js").Axis} Axis */

const MARGIN = 12;
const LINE = 16;
const SMALL = 11;
const HEADING = 14;

/** How many pixels a taken picture has for each of the screen's. */
export const SHARPNESS = 2;

const fontFamily = () => cssVariable("--lv-font") || "sans-serif";
/** @param {number} size @param {number} [weight] */
const font = (size, weight = 400) => `${weight} ${size}px ${fontFamily()}`;

/** @type {CanvasRenderingContext2D | null} */
let ruler = null;

/**
 * How wide a text is, CSS pixels.
 * @param {string} text
 * @param {number} size of the letters
 * @param {number} [weight]
 */
export function widthOf(text, size, weight) {
  ruler ??= document.createElement("canvas").getContext("2d");
  if (!ruler) return 0.55 * size * text.length;
  ruler.font = font(size, weight);
  return ruler.measureText(text).width;
}

/**
 * A canvas as a sheet.
 * @param {HTMLCanvasElement} canvas
 * @param {number} ratio its pixels to a CSS pixel
 * @returns {Sheet}
 */
export function imageSheet(canvas, ratio) {
  const [width, height] = [canvas.width / ratio, canvas.height / ratio];
  return { width, height, pieces: [{ kind: "image", canvas, x: 0, y: 0, width, height }] };
}

/**
 * The pieces of a sheet, elsewhere.
 * @param {Sheet} sheet
 * @param {number} x
 * @param {number} y
 * @returns {Piece[]}
 */
const moved = ({ pieces }, x, y) =>
  pieces.map((piece) => ({ ...piece, x: piece.x + x, y: piece.y + y }));

/**
 * Sheets side by side, their upper edges at one height.
 * @param {Sheet[]} sheets
 * @param {number} [gap]
 * @returns {Sheet}
 */
export function besideEachOther(sheets, gap = MARGIN) {
  let x = 0;
  const pieces = sheets.flatMap((sheet) => {
    const own = moved(sheet, x, 0);
    x += sheet.width + gap;
    return own;
  });
  return {
    width: Math.max(0, x - gap),
    height: Math.max(0, ...sheets.map(({ height }) => height)),
    pieces,
  };
}

/**
 * Sheets one below the other, under a title and over lines of text.
 * @param {Captioned} what
 * @returns {Sheet}
 */
export function captioned({ title, lines, sheets }) {
  const widest = Math.max(0, ...sheets.map(({ width }) => width));
  const titles = wrap(title, Math.max(640, widest), HEADING, 500);
  const across = Math.ceil(
    Math.max(360, widest, ...titles.map((text) => widthOf(text, HEADING, 500))),
  );
  /** @type {Piece[]} */
  const pieces = [];
  let y = MARGIN;
  for (const text of titles) {
    const at = { x: MARGIN, y: y + HEADING };
    pieces.push({ kind: "text", text, ...at, size: HEADING, weight: 500, colour: "--lv-text" });
    y += 1.25 * LINE;
  }
  y += MARGIN / 2;
  for (const sheet of sheets) {
    pieces.push(...moved(sheet, MARGIN, y));
    y += sheet.height + MARGIN;
  }
  for (const text of lines.flatMap((line) => wrap(line, across, SMALL))) {
    const at = { x: MARGIN, y: y + SMALL };
    pieces.push({ kind: "text", text, ...at, size: SMALL, colour: "--lv-secondary" });
    y += LINE;
  }
  return { width: across + 2 * MARGIN, height: Math.ceil(y + MARGIN / 2), pieces };
}

/**
 * @param {string} text
 * @param {number} width
 * @param {number} size
 * @param {number} [weight]
 * @returns {string[]}
 */
function wrap(text, width, size, weight) {
  /** @type {string[]} */
  const lines = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    const joined = last === undefined ? word : `${last} ${word}`;
    if (last !== undefined && widthOf(joined, size, weight) <= width)
      lines[lines.length - 1] = joined;
    else lines.push(word);
  }
  return lines;
}

const BAR = 260;

/**
 * A colour scale with its numbers.
 * @param {object} what
 * @param {import("./colour.js").ColourScale} what.scale
 * @param {import("./colour.js").Palette} [what.palette] the usual one of the scale if it is left out
 * @param {string[]} [what.ends] what stands at its ends where they are no numbers
 * @param {import("./colour.js").ScaleMark} [what.mark] a value that is marked
 * @returns {Sheet}
 */
export function scaleSheet({ scale, palette, ends, mark }) {
  const colours = palette ?? paletteOf(theme.value, scale.diverging);
  const ramp = document.createElement("canvas");
  [ramp.width, ramp.height] = [LEVELS, 1];
  const context = /** @type {CanvasRenderingContext2D} */ (ramp.getContext("2d"));
  for (let level = 0; level < LEVELS; level++) {
    context.fillStyle = cssColour(colours, level);
    context.fillRect(level, 0, 1, 1);
  }
  const ticks = ends
    ? ends.map((text, at) => ({ text, at }))
    : scaleTicks(scale)
        // The mark takes the place of what lies between the ends.
        .filter((value) => !mark || value === scale.low || value === scale.high)
        .map((value) => ({ text: formatValue(value), at: toUnit(scale, value) }));
  const marked = mark && mark.value < scale.high ? toUnit(scale, mark.value) : -1;
  if (mark && marked >= 0) ticks.push({ text: mark.text, at: marked });
  return {
    width: BAR,
    height: 30,
    pieces: [
      { kind: "image", canvas: ramp, x: 0, y: 0, width: BAR, height: 12 },
      ...(marked < 0
        ? []
        : [
            /** @type {const} */ ({
              kind: "box",
              x: marked * BAR - 1,
              y: 0,
              width: 2,
              height: 13,
              colour: "--lv-now",
            }),
          ]),
      ...ticks.map(({ text, at }) => tick(text, at * BAR, 25, at)),
    ],
  };
}

/**
 * @param {string} text
 * @param {number} x
 * @param {number} y
 * @param {number} at 0 to 1 along the axis: at its ends a text does not reach beyond
 * @returns {Piece}
 */
function tick(text, x, y, at) {
  const anchor = at < 0.06 ? "start" : at > 0.94 ? "end" : "middle";
  return { kind: "text", text, x, y, size: SMALL, colour: "--lv-secondary", anchor };
}

/**
 * A chart with its axes: values left of it, values below it.
 * @param {object} chart
 * @param {Sheet} chart.chart
 * @param {Axis} [chart.left]
 * @param {Axis} [chart.bottom]
 * @returns {Sheet}
 */
export function withAxesAround({ chart, left, bottom }) {
  const [beside, above] = [left ? 64 : 0, left ? 18 : 0];
  /** @type {Piece[]} */
  const pieces = moved(chart, beside, above);
  const common = /** @type {const} */ ({ kind: "text", size: SMALL, colour: "--lv-secondary" });
  if (left) {
    pieces.push({ ...common, text: left.name, x: 0, y: SMALL });
    for (const { text, at } of left.ticks) {
      const y = above + at * chart.height + 4;
      pieces.push({ ...common, text, x: beside - 6, y, anchor: "end" });
    }
  }
  if (bottom) {
    const foot = above + chart.height;
    for (const { text, at } of bottom.ticks) {
      pieces.push(tick(text, beside + at * chart.width, foot + 14, at));
    }
    const x = beside + chart.width / 2;
    pieces.push({ ...common, text: bottom.name, x, y: foot + 28, anchor: "middle" });
  }
  return { width: beside + chart.width, height: above + chart.height + (bottom ? 34 : 0), pieces };
}

/**
 * A sheet as pixels, on the tab's own ground.
 * @param {Sheet} sheet
 * @param {number} ratio pixels to a CSS pixel
 */
export function sheetCanvas({ width, height, pieces }, ratio) {
  const canvas = document.createElement("canvas");
  canvas.width = Math.ceil(width * ratio);
  canvas.height = Math.ceil(height * ratio);
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.fillStyle = cssVariable("--lv-surface");
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingEnabled = false;
  for (const piece of pieces) {
    const [x, y] = [Math.round(piece.x * ratio), Math.round(piece.y * ratio)];
    if (piece.kind === "image") {
      const [across, down] = [piece.width * ratio, piece.height * ratio].map(Math.round);
      context.drawImage(piece.canvas, x, y, across, down);
    } else if (piece.kind === "box") {
      context.fillStyle = cssVariable(piece.colour);
      context.fillRect(x, y, Math.round(piece.width * ratio), Math.round(piece.height * ratio));
    } else {
      context.font = font(piece.size * ratio, piece.weight);
      context.fillStyle = cssVariable(piece.colour);
      context.textAlign = /** @type {const} */ ({ start: "left", middle: "center", end: "right" })[
        piece.anchor ?? "start"
      ];
      context.fillText(piece.text, x, y);
    }
  }
  return canvas;
}

/**
 * A sheet as SVG: its pictures as pixels, its words as text.
 * @param {Sheet} sheet
 * @param {string} title
 * @returns {string}
 */
export function sheetSvg({ width, height, pieces }, title) {
  const size = `width="${width}" height="${height}"`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" ${size} viewBox="0 0 ${width} ${height}" font-family="${escapeXml(fontFamily())}">`,
    `<title>${escapeXml(title)}</title>`,
    `<rect ${size} fill="${cssVariable("--lv-surface")}"/>`,
    ...pieces.map(svgOf),
    "</svg>\n",
  ].join("\n");
}

/** @param {Piece} piece */
function svgOf(piece) {
  const at = `x="${round(piece.x)}" y="${round(piece.y)}"`;
  if (piece.kind === "text") {
    const colour = cssVariable(piece.colour);
    const weight = piece.weight ? ` font-weight="${piece.weight}"` : "";
    const anchor = piece.anchor ? ` text-anchor="${piece.anchor}"` : "";
    return `<text ${at} font-size="${piece.size}"${weight}${anchor} fill="${colour}">${escapeXml(piece.text)}</text>`;
  }
  const size = `width="${round(piece.width)}" height="${round(piece.height)}"`;
  if (piece.kind === "box") return `<rect ${at} ${size} fill="${cssVariable(piece.colour)}"/>`;
  const data = piece.canvas.toDataURL("image/png");
  return `<image ${at} ${size} preserveAspectRatio="none" style="image-rendering:pixelated" href="${data}"/>`;
}

/** @param {number} length */
const round = (length) => Math.round(length * 100) / 100;

/**
 * Text as it may stand in XML: names come from a log, and may hold anything. What XML has no place for becomes "�".
 * @param {string} text
 */
export function escapeXml(text) {
  const named = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  // Halves of a surrogate pair that stand alone are such, too.
  return text
    .replace(/[^\t\n\r\x20-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, "\ufffd")
    .replace(/[&<>"']/g, (sign) => named[/** @type {keyof typeof named} */ (sign)]);
}
