/** The curve that leads through a training. */

import { curveScales, curvesOf } from "../map/curves.js";

/**
 * The curve that leads: the loss, else the first there is.
 * @param {import("../data/types.js").History} history
 * @returns {{curve: import("../map/curves.js").Curve, scale: import("../map/curves.js").CurveScale} | null}
 */
export function lossOf(history) {
  const [curve] = curvesOf(history);
  if (!curve) return null;
  const [scale] = curveScales([curve]);
  return { curve, scale };
}

/**
 * @param {ReturnType<typeof lossOf>} loss
 * @param {number} index of the step
 * @returns {number | undefined} undefined where none was logged; NaN is one
 */
export function valueAt(loss, index) {
  return loss && !loss.curve.absent[index] ? loss.curve.values[index] : undefined;
}
