/** Charts as one canvas, with the axes that the page sets beside them: what a downloaded picture shows. */

import { cssVariable } from "./hooks.js";

/** @typedef {{at: number, text: string}} Tick `at` is 0 at the left or the top, 1 at the right or the bottom */

/**
 * @typedef {object} Chart
 * @property {HTMLCanvasElement} canvas
 * @property {{name: string, ticks: Tick[]}} [left]
 * @property {{name: string, ticks: Tick[]}} [bottom]
 */

const LEFT = 64;
const BOTTOM = 34;
const TOP = 18;
const GAP = 14;

/**
 * Charts side by side, each with its axes.
 * @param {Chart[]} charts
 * @returns {HTMLCanvasElement}
 */
export function withAxes(charts) {
  const ratio = window.devicePixelRatio || 1;
  const lefts = charts.map(({ left }) => (left ? LEFT * ratio : 0));
  const made = document.createElement("canvas");
  made.width = Math.ceil(
    charts.reduce((sum, { canvas }, i) => sum + canvas.width + lefts[i] + GAP * ratio, 0),
  );
  made.height = Math.ceil(
    Math.max(...charts.map(({ canvas }) => canvas.height)) + (TOP + BOTTOM) * ratio,
  );
  const context = /** @type {CanvasRenderingContext2D} */ (made.getContext("2d"));
  context.font = `400 ${11 * ratio}px ${cssVariable("--lv-font") || "sans-serif"}`;
  context.fillStyle = cssVariable("--lv-secondary");
  let x = 0;
  charts.forEach(({ canvas, left, bottom }, i) => {
    x += lefts[i];
    const y = TOP * ratio;
    context.drawImage(canvas, x, y);
    if (left) {
      context.textAlign = "right";
      context.textBaseline = "middle";
      for (const { at, text } of left.ticks) {
        context.fillText(text, x - 6 * ratio, y + at * canvas.height);
      }
      context.textBaseline = "top";
      context.fillText(left.name, x - 6 * ratio, 0);
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
    x += canvas.width + GAP * ratio;
  });
  return made;
}
