/** The other columns of the network, drawn: the rail, the ridges, and the gradient flow. */

import { cssVariable } from "../kit/hooks.js";
import { bowOf } from "./layout.js";

/** @typedef {import("../data/framed.js").Ridges} Ridges */
/** @typedef {import("./flow.js").FlowLine} FlowLine */
/** @typedef {import("./lanes.js").Entry} Entry */
/** @typedef {import("./layout.js").Column} Column */
/** @typedef {import("./rail.js").Edge} Edge */
/** @typedef {import("./verdict.js").Health} Health */

/** @type {Record<Health, string>} */
export const HEALTH_COLOURS = {
  error: "--lv-bad",
  warning: "--lv-warn",
  healthy: "--lv-good",
  unknown: "--lv-faint",
};
const DOT = 5.5;

/**
 * The connections, and a sign for each entry that says how it is by its shape as well as its colour.
 * @param {CanvasRenderingContext2D} context in CSS pixels
 * @param {{edges: Edge[], entries: Entry[], verdicts: import("./verdict.js").Verdict[], rail: number}} what
 */
export function drawRail(context, { edges, entries, verdicts, rail }) {
  const middle = (/** @type {number} */ index) => entries[index].top + entries[index].height / 2;
  context.lineWidth = 1.5;
  for (const { from, to, level } of edges) {
    const [y0, y1] = [middle(from), middle(to)];
    context.strokeStyle = cssVariable(level ? "--lv-curve-1" : "--lv-gap");
    context.globalAlpha = level ? 0.55 : 1;
    context.beginPath();
    context.moveTo(rail, y0);
    if (!level) context.lineTo(rail, y1);
    else {
      const x = rail - bowOf(level);
      const bend = Math.min(18, (y1 - y0) / 2);
      context.bezierCurveTo(rail - 2, y0 + bend / 2, x, y0 + bend / 2, x, y0 + bend);
      context.lineTo(x, y1 - bend);
      context.bezierCurveTo(x, y1 - bend / 2, rail - 2, y1 - bend / 2, rail, y1);
    }
    context.stroke();
  }
  context.globalAlpha = 1;
  entries.forEach(({ open }, index) => {
    if (!open) drawSign(context, verdicts[index], rail, middle(index));
  });
}

/**
 * A ring for what is well, a triangle for a warning, a crossed square for an error, a dotted ring for what is not known.
 * What only follows from another is hollow: the first cause stands out.
 * @param {CanvasRenderingContext2D} context in CSS pixels
 * @param {Pick<import("./verdict.js").Verdict, "health" | "isLed">} verdict
 * @param {number} x
 * @param {number} y
 */
export function drawSign(context, { health, isLed }, x, y) {
  const colour = cssVariable(HEALTH_COLOURS[health]);
  context.fillStyle = cssVariable("--lv-surface");
  context.strokeStyle = colour;
  context.lineWidth = isLed ? 1.4 : 2.2;
  context.setLineDash(health === "unknown" ? [2, 2] : []);
  context.beginPath();
  if (health === "error") context.rect(x - DOT, y - DOT, 2 * DOT, 2 * DOT);
  else if (health === "warning") {
    context.moveTo(x, y - DOT - 1.5);
    context.lineTo(x + DOT + 1.5, y + DOT);
    context.lineTo(x - DOT - 1.5, y + DOT);
    context.closePath();
  } else context.arc(x, y, DOT, 0, 2 * Math.PI);
  if (!isLed && (health === "error" || health === "warning")) context.fillStyle = colour;
  context.fill();
  context.stroke();
  context.setLineDash([]);
  if (health !== "error") return;
  if (!isLed) context.strokeStyle = cssVariable("--lv-surface");
  context.lineWidth = 1.8;
  context.beginPath();
  const arm = DOT - 2.5;
  context.moveTo(x - arm, y - arm);
  context.lineTo(x + arm, y + arm);
  context.moveTo(x + arm, y - arm);
  context.lineTo(x - arm, y + arm);
  context.stroke();
}

/**
 * A small joy plot: early steps behind and light, late ones in front and dark, the shown one outlined.
 * @param {CanvasRenderingContext2D} context in CSS pixels
 * @param {Ridges} ridges
 * @param {number} step that is shown
 * @param {{x: number, y: number, width: number, height: number}} place
 * @param {string[]} shades from early to late
 */
export function drawRidges(context, ridges, step, { x, y, width, height }, shades) {
  const { steps, bins, heights, zero, low, high } = ridges;
  const count = steps.length;
  if (!count) return;
  const tall = height * 0.5;
  const apart = count > 1 ? (height - tall - 2) / (count - 1) : 0;
  const current = nearestAtMost(steps, step);
  const outline = cssVariable("--lv-accent");
  const ground = cssVariable("--lv-surface");
  const at0 = low <= 0 && high >= 0 ? x + ((0 - low) / (high - low || 1)) * width : null;
  for (let ridge = 0; ridge < count; ridge++) {
    const base = y + tall + ridge * apart;
    const isCurrent = ridge === current;
    const highest = Math.max(...heights.subarray(ridge * bins, (ridge + 1) * bins)) / 255;
    // Of the highest a root: beside a start that is all but one value what is learned would be flat.
    const stretch = highest > 0 ? 1 / Math.sqrt(highest) : 0;
    context.beginPath();
    context.moveTo(x, base);
    for (let bin = 0; bin < bins; bin++) {
      const share = (heights[ridge * bins + bin] / 255) * stretch;
      context.lineTo(x + ((bin + 0.5) / bins) * width, base - share * tall);
    }
    context.lineTo(x + width, base);
    context.fillStyle = shades[Math.round((ridge / Math.max(1, count - 1)) * (shades.length - 1))];
    context.fill();
    context.lineWidth = isCurrent ? 1.6 : 0.7;
    context.strokeStyle = isCurrent ? outline : ground;
    context.stroke();
    if (at0 !== null && zero[ridge] > 0.005) {
      // Exact zeros are no density: a bar as high as their share.
      context.lineWidth = 2;
      context.strokeStyle = isCurrent ? outline : context.fillStyle;
      context.beginPath();
      context.moveTo(at0, base);
      context.lineTo(at0, base - zero[ridge] * tall);
      context.stroke();
    }
  }
}

/**
 * @param {number[]} steps ascending
 * @param {number} step
 * @returns {number} the index of the latest up to it, else the first
 */
function nearestAtMost(steps, step) {
  let index = 0;
  while (index + 1 < steps.length && steps[index + 1] <= step) index++;
  return index;
}

/**
 * Where a value lies in the column of the gradient flow.
 * @param {Column} column
 * @param {[number, number]} range decimal logarithms
 * @param {number} power
 */
export function flowX({ x, width }, [low, high], power) {
  return x + Math.min(1, Math.max(0, (power - low) / (high - low))) * width;
}

/**
 * @typedef {object} Flow
 * @property {[number, number]} range of the axis, decimal logarithms
 * @property {FlowLine} first of the gradients, at the first step
 * @property {FlowLine} now at the shown one
 * @property {FlowLine | null} other that of the run, or the step, that is compared with; null where none is
 * @property {FlowLine} last at the last one
 * @property {FlowLine} updates at the shown one
 * @property {number} vanishing below which the shown step's gradients all but vanish, a decimal logarithm
 */

/**
 * @param {CanvasRenderingContext2D} context in CSS pixels
 * @param {Flow} flow
 * @param {Entry[]} entries
 * @param {Column} column
 * @param {{top: number, height: number}} seen the part of the column that is seen
 */
export function drawFlow(context, flow, entries, column, { top, height }) {
  const { range, vanishing } = flow;
  const at = (/** @type {number} */ power) => flowX(column, range, power);
  context.fillStyle = cssVariable("--lv-sunken");
  context.fillRect(column.x, top, column.width, height);
  if (vanishing > range[0]) {
    context.fillStyle = cssVariable("--lv-warning-ground");
    context.fillRect(column.x, top, at(vanishing) - column.x, height);
  }
  context.strokeStyle = cssVariable("--lv-border");
  context.lineWidth = 1;
  context.beginPath();
  for (let power = range[0]; power <= range[1]; power++) {
    const x = Math.round(at(power)) + 0.5;
    context.moveTo(x, top);
    context.lineTo(x, top + height);
  }
  context.stroke();
  const middle = (/** @type {number} */ index) => entries[index].top + entries[index].height / 2;
  /** @param {FlowLine} line @param {string} colour @param {number} wide @param {number[]} dash */
  const draw = (line, colour, wide, dash) => {
    context.strokeStyle = colour;
    context.lineWidth = wide;
    context.setLineDash(dash);
    context.beginPath();
    line.forEach(({ entry, middle: power }, i) => {
      context[i ? "lineTo" : "moveTo"](at(power), middle(entry));
    });
    context.stroke();
    context.setLineDash([]);
  };
  const faint = cssVariable("--lv-flow-first");
  const strong = cssVariable("--lv-curve-1");
  draw(flow.last, cssVariable("--lv-faint"), 1.2, [2, 3]);
  draw(flow.first, faint, 1.6, []);
  const second = cssVariable("--lv-curve-2");
  if (flow.other) draw(flow.other, second, 2, [6, 3]);
  draw(flow.now, strong, 2, []);
  dots(flow.first, faint, 3);
  if (flow.other) dots(flow.other, second, 4);
  dots(flow.now, strong, 4);
  context.fillStyle = cssVariable("--lv-curve-3");
  for (const { entry, all } of flow.updates) {
    for (const power of all) mark(diamond, power, middle(entry), 3.6);
  }

  /** @param {FlowLine} line @param {string} colour @param {number} radius */
  function dots(line, colour, radius) {
    context.fillStyle = colour;
    for (const { entry, all } of line) {
      const size = all.length > 1 ? 0.6 * radius : radius;
      for (const power of all) mark(dot, power, middle(entry), size);
    }
  }

  /**
   * A value by its shape, or an arrow at the end of the axis beyond which it lies.
   * @param {typeof dot} shape
   * @param {number} power
   * @param {number} y
   * @param {number} size
   */
  function mark(shape, power, y, size) {
    const beyond = beyondOf(power, range);
    if (beyond) arrow(context, at(power), y, 6 * beyond);
    else shape(context, at(power), y, size);
  }
}

/**
 * Which end of the axis a value lies beyond: -1, 1, or 0 for neither.
 * @param {number} power a decimal logarithm
 * @param {[number, number]} range
 */
const beyondOf = (power, [low, high]) => (power < low - 1e-6 ? -1 : power > high + 1e-6 ? 1 : 0);

/**
 * A value beyond the end of the axis, to which it points.
 * @param {CanvasRenderingContext2D} context
 * @param {number} x of the end
 * @param {number} y
 * @param {number} size negative: it points to the left
 */
function arrow(context, x, y, size) {
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(x - 1.5 * size, y - size);
  context.lineTo(x - 1.5 * size, y + size);
  context.closePath();
  context.fill();
}

/** @param {CanvasRenderingContext2D} context @param {number} x @param {number} y @param {number} radius */
function dot(context, x, y, radius) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fill();
}

/** @param {CanvasRenderingContext2D} context @param {number} x @param {number} y @param {number} size */
function diamond(context, x, y, size) {
  context.beginPath();
  context.moveTo(x, y - size);
  context.lineTo(x + size, y);
  context.lineTo(x, y + size);
  context.lineTo(x - size, y);
  context.closePath();
  context.fill();
}
