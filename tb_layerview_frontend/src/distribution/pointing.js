/** What the pointer is at over the charts of a distribution. */

import { positionToValue } from "../kit/value_axis.js";

/** A logged step (null over the histogram), a value, and how near to it is at it. @typedef {{index: number | null, value: number, slack: number}} Pointed */

/** How near to a single value, in pixels, is at it. */
const SLACK = 3;

/**
 * @param {import("../kit/value_axis.js").ValueAxis} axis from the chart's foot to its top
 * @param {number} height of the chart, CSS pixels
 * @param {number} y from its top
 * @param {number | null} index of the step
 * @returns {Pointed}
 */
export function pointAt(axis, height, y, index) {
  const value = (/** @type {number} */ down) => positionToValue(axis, 1 - down / height);
  return {
    index,
    value: value(y),
    slack: Math.abs(value(y - SLACK) - value(y + SLACK)) / 2,
  };
}
