/** Steps that were not logged: how they are drawn, and what is said of them. */

import { formatCount } from "./format.js";
import { cssVariable, hatching } from "./hooks.js";

/** @typedef {import("./axis.js").Hole} Hole */
/** @typedef {import("./axis.js").StepAxis} StepAxis */

/** What the hatching means, below a picture in a file. */
export const HATCHED_IN_WORDS = "Grey hatched, or a dotted line: steps that were not logged.";

/** Of the line where steps are missing between two that lie side by side, CSS pixels. */
export const BREAK_WIDTH = 3;

/**
 * Hatches what no step owns, as high as the canvas; where steps lie evenly a dotted line parts them.
 * @param {CanvasRenderingContext2D} context
 * @param {StepAxis} axis
 * @param {number} ratio
 */
export function drawHoles(context, { holes, spacing }, ratio) {
  const { width, height } = context.canvas;
  if (!holes.length) return;
  const [ground, stripe] = [cssVariable("--lv-sunken"), cssVariable("--lv-hole")];
  context.save();
  if (spacing === "even") {
    const thick = BREAK_WIDTH * ratio;
    for (const { from, to } of holes) {
      const x = Math.round(((from + to) / 2) * width - thick / 2);
      context.fillStyle = ground;
      context.fillRect(x, 0, thick, height);
      context.fillStyle = cssVariable("--lv-gap");
      for (let y = 0; y < height; y += 5 * ratio) context.fillRect(x + ratio, y, ratio, 3 * ratio);
    }
  } else {
    context.fillStyle = hatching(context, ground, stripe, ratio, true);
    for (const { from, to } of holes) {
      const left = Math.round(from * width);
      context.fillRect(left, 0, Math.max(ratio, Math.round(to * width) - left), height);
    }
  }
  context.restore();
}

/**
 * How many steps a hole leaves out, and which.
 * @param {Hole} hole
 * @param {string} [what] they are not
 */
export function holeInWords({ before, after }, what = "logged") {
  const [first, last] = [before + 1, after - 1];
  const count = last - first + 1;
  return count === 1
    ? `1 step is not ${what} (${formatCount(first)})`
    : `${formatCount(count)} steps are not ${what} (${formatCount(first)} to ${formatCount(last)})`;
}

/**
 * Why steps are left out, as far as the log says, and how to have them logged.
 * @param {Pick<import("../data/types.js").RunInfo, "schedule" | "cost">} info
 * @param {Pick<import("../data/types.js").History, "cost">} history
 * @returns {string[]} lines
 */
export function whyLeftOut(info, history) {
  const skipped = (history.cost ?? info.cost)?.skipped ?? 0;
  if (!info.schedule) return ["The log does not say why: what logs chose its steps."];
  const why =
    skipped > 0 ? "Left out to stay within the budget of time" : "Left out by the schedule";
  return [`${why}: ${info.schedule}.`, "To log all of them: schedule=1."];
}

/**
 * All that is said of a hole.
 * @param {Hole} hole
 * @param {import("../data/run.js").Run} run
 */
export function tellHole(hole, { info, history }) {
  return [holeInWords(hole), ...whyLeftOut(info, history)];
}
