/** The line of the loss below the network, and the ticks of what is logged. */

import { isBeforeHole } from "../kit/axis.js";
import { drawHoles } from "../kit/holes.js";
import { cssVariable } from "../kit/hooks.js";
import { unitOn } from "../map/curves.js";

export const TIMELINE_HEIGHT = 52;
const TICKS_HEIGHT = 8;
const PADDING = 5;
/** Ticks nearer than this many pixels are one. */
const LEAST_TICK_GAP = 2;

/**
 * @param {CanvasRenderingContext2D} context in device pixels
 * @param {number} ratio device pixels to a CSS pixel
 * @param {object} what
 * @param {import("../kit/axis.js").StepAxis} what.axis
 * @param {{curve: import("../map/curves.js").Curve, scale: import("../map/curves.js").CurveScale} | null} what.loss
 * @param {number} what.width CSS pixels
 */
export function drawTimeline(context, ratio, { axis, loss, width }) {
  drawHoles(context, axis, ratio);
  context.save();
  context.scale(ratio, ratio);
  const bottom = TIMELINE_HEIGHT - TICKS_HEIGHT - 2;
  drawTicks(context, axis, width);
  if (loss?.scale.known) {
    const { values, absent } = loss.curve;
    context.strokeStyle = cssVariable("--lv-curve-1");
    context.lineWidth = 1.6;
    context.lineJoin = "round";
    context.beginPath();
    let isDown = false;
    const endsAt = isBeforeHole(axis);
    values.forEach((value, i) => {
      if (absent[i] || !Number.isFinite(value)) {
        isDown = isDown && Boolean(absent[i]);
        return;
      }
      const x = axis.positions[i] * width;
      const y = PADDING + (1 - unitOn(loss.scale, value)) * (bottom - 2 * PADDING);
      context[isDown ? "lineTo" : "moveTo"](x, y);
      // What lies in a hole is not known: no line reaches over it.
      isDown = !endsAt[i];
    });
    context.stroke();
  }
  context.restore();
}

/**
 * @param {CanvasRenderingContext2D} context in CSS pixels
 * @param {import("../kit/axis.js").StepAxis} axis
 * @param {number} width CSS pixels
 */
function drawTicks(context, { positions }, width) {
  context.strokeStyle = cssVariable("--lv-faint");
  context.lineWidth = 1;
  context.beginPath();
  let before = -Infinity;
  for (const position of positions) {
    const x = Math.round(position * width) + 0.5;
    if (x - before < LEAST_TICK_GAP) continue;
    before = x;
    context.moveTo(x, TIMELINE_HEIGHT - TICKS_HEIGHT);
    context.lineTo(x, TIMELINE_HEIGHT);
  }
  context.stroke();
}
