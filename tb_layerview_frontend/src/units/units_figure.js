/** What the map of units and its picture in a file have in common: which rows are labelled. */

import { makeStepAxis, stepTicks } from "../kit/axis.js";
import { withAxes } from "../kit/figure.js";
import { formatCount } from "../kit/format.js";

/** @typedef {import("./units.js").UnitsShown} UnitsShown */
/** @typedef {import("../kit/axis.js").Spacing} Spacing */

export const LABEL_HEIGHT = 14;

/**
 * The rows that have room for a label.
 * @param {Uint32Array} rows
 * @param {number} height
 */
export function labelled(rows, height) {
  const fit = Math.max(1, Math.floor(height / LABEL_HEIGHT));
  const every =
    [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000].find((n) => rows.length / n <= fit) ??
    rows.length;
  const found = [];
  for (let row = 0; row < rows.length; row += every) {
    const at = (row + 0.5) / rows.length;
    if (at * height >= LABEL_HEIGHT / 3) found.push({ row, at });
  }
  return found;
}

/**
 * The map with its axes, for a file.
 * @param {HTMLCanvasElement} canvas
 * @param {UnitsShown} shown
 * @param {Spacing} spacing
 * @param {number[]} logged steps of the run
 */
export function unitsFigure(canvas, { rows, steps, unit }, spacing, logged) {
  const height = canvas.height / (window.devicePixelRatio || 1);
  return withAxes([
    {
      canvas,
      left: {
        name: unit,
        ticks: labelled(rows, height).map(({ row, at }) => ({ at, text: String(rows[row]) })),
      },
      bottom: {
        name: "step",
        ticks: stepTicks(makeStepAxis(steps, spacing, logged), 6).map(({ step, position }) => ({
          at: position,
          text: formatCount(step),
        })),
      },
    },
  ]);
}
