/** The network as it is taken along: all its lanes, what is written in them, and the line of the loss below. */

import { cursorAt } from "../kit/axis.js";
import { formatCount, formatValue } from "../kit/format.js";
import { imageSheet, widthOf } from "../kit/sheet.js";
import { flowX } from "./draw_columns.js";
import { drawNetwork } from "./draw_network.js";
import { drawTimeline, TIMELINE_HEIGHT } from "./draw_timeline.js";
import { factsOf } from "./lane_words.js";
import { valueAt } from "./loss.js";

/** @typedef {import("../kit/sheet.js").Piece} Piece */
/** @typedef {import("../kit/sheet.js").Sheet} Sheet */
/** @typedef {import("./draw_network.js").Scene} Scene */

const HEADS = 34;
const NAME = 14;
const SMALL = 12;
/** What is left and right of the line of the loss. */
const [BEFORE, AFTER] = [96, 142];

/**
 * @param {Scene} scene
 * @param {object} of
 * @param {import("../data/run.js").Run} of.run
 * @param {{top: number, height: number}} of.part of the lanes, CSS pixels
 * @param {number} of.example
 * @param {number} of.ratio pixels to a CSS pixel
 * @returns {Sheet}
 */
export function networkSheet(scene, { run, part, example, ratio }) {
  const { layout, entries } = scene;
  const canvas = document.createElement("canvas");
  canvas.width = Math.ceil(layout.width * ratio);
  canvas.height = Math.ceil(part.height * ratio);
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  drawNetwork(context, ratio, scene, part);
  const pieces = headPieces(scene, run, example);
  for (const piece of imageSheet(canvas, ratio).pieces) pieces.push({ ...piece, y: HEADS });
  const line = /** @type {const} */ ({ kind: "box", x: 0, width: layout.width, height: 1 });
  pieces.push({ ...line, y: HEADS - 1, colour: "--lv-border" });
  for (const entry of entries) {
    if (entry.top < part.top || entry.top + entry.height > part.top + part.height) continue;
    const top = HEADS + entry.top - part.top;
    pieces.push({ ...line, y: top + entry.height - 1, colour: "--lv-track" });
    pieces.push(...namePieces(entry, scene, run, top));
  }
  return { width: layout.width, height: HEADS + part.height, pieces };
}

/**
 * @param {import("./lanes.js").Entry} entry
 * @param {Scene} scene
 * @param {import("../data/run.js").Run} run
 * @param {number} top
 * @returns {Piece[]}
 */
function namePieces({ part, open, depth, height }, { layout }, run, top) {
  const x = layout.names.x + 10 * depth;
  const room = layout.names.width - 10 * depth;
  const middle = top + height / 2;
  const sign = "parts" in part ? (open ? "▾ " : "▸ ") : "";
  const name = /** @type {const} */ ({ kind: "text", x, size: NAME, colour: "--lv-text" });
  if (open) return [{ ...name, text: cut(sign + part.name, room, NAME), y: middle + 5 }];
  return [
    { ...name, text: cut(sign + part.name, room, NAME), y: middle - 2 },
    {
      ...name,
      text: cut(factsOf(run, part), room, SMALL),
      y: middle + 13,
      size: SMALL,
      colour: "--lv-secondary",
    },
  ];
}

/**
 * @param {string} text
 * @param {number} room CSS pixels
 * @param {number} size of the letters
 */
function cut(text, room, size) {
  if (widthOf(text, size) <= room) return text;
  let end = text.length - 1;
  while (end > 1 && widthOf(`${text.slice(0, end)}…`, size) > room) end--;
  return `${text.slice(0, end)}…`;
}

/**
 * What the columns are, and the axis of the gradient flow.
 * @param {Scene} scene
 * @param {import("../data/run.js").Run} run
 * @param {number} example
 * @returns {Piece[]}
 */
function headPieces({ layout, flow, beside, step }, { history: { steps } }, example) {
  const head = /** @type {const} */ ({
    kind: "text",
    y: 12,
    size: SMALL,
    colour: "--lv-secondary",
  });
  /** @type {Piece[]} */
  const pieces = [
    { ...head, text: "layer", x: layout.names.x },
    {
      ...head,
      text: beside
        ? `${beside.names[0]}, step ${formatCount(step)}`
        : `what it gives for example ${example}`,
      x: layout.pictures.x,
    },
  ];
  if (beside?.shown && layout.others) {
    const text = `${beside.names[1]}, step ${formatCount(beside.shown.step)}`;
    pieces.push({ ...head, text, x: layout.others.x });
  }
  if (layout.ridges) {
    const text = `distribution, step ${formatCount(steps[0])} to ${formatCount(steps.at(-1) ?? 0)}`;
    pieces.push({ ...head, text: cut(text, layout.ridges.width, SMALL), x: layout.ridges.x });
  }
  if (!layout.flow || !flow) return pieces;
  let { x } = layout.flow;
  for (const [text, colour] of /** @type {const} */ ([
    ["gradient flow", "--lv-secondary"],
    ["● start", "--lv-flow-first"],
    ["● now", "--lv-curve-1"],
    ["◆ update", "--lv-curve-3"],
  ])) {
    const across = widthOf(text, SMALL);
    if (x + across > layout.width) break;
    pieces.push({ ...head, text, x, colour });
    x += across + 8;
  }
  const [low, high] = flow.range;
  for (const power of [low, high]) {
    const text = `1e${String(power).replace("-", "−")}`;
    const anchor = power === low ? "start" : "end";
    pieces.push({
      ...head,
      text,
      x: flowX(layout.flow, flow.range, power),
      y: 28,
      size: 11,
      anchor,
    });
  }
  return pieces;
}

/**
 * The line of the loss with the cursor at a step.
 * @param {object} of
 * @param {number} of.width CSS pixels
 * @param {import("../data/run.js").Run} of.run
 * @param {number} of.index of the step
 * @param {import("../kit/axis.js").StepAxis} of.axis
 * @param {Parameters<typeof drawTimeline>[2]["loss"]} of.loss
 * @param {number} of.ratio pixels to a CSS pixel
 * @returns {Sheet}
 */
export function timelineSheet({ width, run, index, axis, loss, ratio }) {
  const across = width - BEFORE - AFTER;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [Math.ceil(across * ratio), Math.ceil(TIMELINE_HEIGHT * ratio)];
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  drawTimeline(context, ratio, { axis, loss, width: across });
  const step = run.history.steps[index];
  const value = valueAt(loss, index);
  const text = /** @type {const} */ ({ kind: "text", colour: "--lv-text" });
  /** @type {Piece[]} */
  const pieces = imageSheet(canvas, ratio).pieces.map((piece) => ({ ...piece, x: BEFORE }));
  pieces.push(
    { ...text, text: loss?.curve.label ?? "steps", x: 0, y: 20, size: 13, weight: 500 },
    { ...text, text: value === undefined ? "" : formatValue(value), x: 0, y: 38, size: 13 },
    { ...text, text: `step ${formatCount(step)}`, x: width, y: 30, size: 16, anchor: "end" },
    {
      kind: "box",
      x: BEFORE + cursorAt(axis, step, across) - 1.5,
      y: 0,
      width: 3,
      height: TIMELINE_HEIGHT,
      colour: "--lv-accent",
    },
  );
  return { width, height: TIMELINE_HEIGHT, pieces };
}
