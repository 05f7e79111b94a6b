/** The plot of a course: what a rule judges over the steps, what it is held against, and where the rule holds. */

import { columnSteps, isBeforeHole, stretches } from "../kit/axis.js";
import { isWide, makeValueAxis, valueToPosition } from "../kit/value_axis.js";

/** @typedef {import("../data/types.js").Course} Course */
/** @typedef {import("../kit/axis.js").StepAxis} StepAxis */
/** @typedef {import("../kit/value_axis.js").ValueAxis} ValueAxis */

/**
 * The axis that all lines of a course fit on.
 * @param {Course} course
 * @param {boolean} share whether what is judged is a share, from 0 to 1
 * @returns {ValueAxis}
 */
export function courseAxis({ values, compared }, share) {
  if (share) return makeValueAxis([0, 1], "linear");
  let [low, high, positive] = [Infinity, -Infinity, Infinity];
  for (const line of [values, ...Object.values(compared)]) {
    for (const value of line) {
      if (!Number.isFinite(value)) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
      if (value > 0) positive = Math.min(positive, value);
    }
  }
  if (low > high || (low === 0 && high === 0)) return makeValueAxis([0, 1], "linear");
  // Zeros stand at the foot of a logarithmic axis; where they are all there is beside one size, a linear one says more.
  if (low >= 0 && isWide(positive, high)) return makeValueAxis([positive / 1.5, high * 1.5], "log");
  return makeValueAxis([low, high + 0.05 * (high - low)], "linear");
}

/**
 * One line as an SVG path: through the lowest and the highest of the steps that share a pixel column.
 * @param {ArrayLike<number>} values by step; where one is not finite the line ends
 * @param {StepAxis} axis
 * @param {ValueAxis} heights
 * @param {{width: number, height: number}} size CSS pixels
 */
export function linePath(values, axis, heights, { width, height }) {
  const y = (/** @type {number} */ value) => {
    const up = Math.min(1, Math.max(0, valueToPosition(heights, value)));
    return (height * (1 - up)).toFixed(1);
  };
  /** @type {string[]} */
  const path = [];
  let pen = "M";
  /** @param {number} x @param {number} value */
  const to = (x, value) => {
    path.push(`${pen}${x.toFixed(1)} ${y(value)}`);
    pen = "L";
  };
  const count = axis.positions.length;
  if (count <= width) {
    const ends = isBeforeHole(axis);
    for (let i = 0; i < count; i++) {
      if (Number.isFinite(values[i])) {
        to(axis.positions[i] * width, values[i]);
        // A step between two holes is a line without length, which its round ends make a dot.
        if (ends[i] && pen === "L") path.push("h0");
      }
      if (ends[i] || !Number.isFinite(values[i])) pen = "M";
    }
    return path.join("");
  }
  const { first, last } = columnSteps(axis, Math.max(1, Math.floor(width)));
  first.forEach((from, column) => {
    const own = Array.from(values)
      .slice(from, last[column] + 1)
      .filter(Number.isFinite);
    if (!own.length) pen = "M";
    else
      for (const value of new Set([
        own[0],
        Math.min(...own),
        Math.max(...own),
        own[own.length - 1],
      ]))
        to(column + 0.5, value);
  });
  return path.join("");
}

/**
 * The stretches in which the rule holds.
 * @param {boolean[]} held
 * @param {StepAxis} axis
 * @returns {{from: number, to: number}[]} positions
 */
export function heldRuns(held, axis) {
  return stretches(axis, (i) => held[i]).map(([from, to]) => ({ from, to }));
}

/**
 * The course of a scalar, which no rule but that of NaN and infinities judges.
 * @param {import("../data/types.js").History} history
 * @param {string} name of the scalar
 * @returns {Course | null} null if there is no such scalar
 */
export function courseOfScalar({ steps, scalars, absent }, name) {
  const values = scalars[name];
  if (!values) return null;
  const logged = steps.flatMap((_, i) => (absent[name]?.[i] ? [] : [i]));
  return {
    steps: logged.map((i) => steps[i]),
    measure: name,
    values: logged.map((i) => values[i]),
    compared: {},
    held: logged.map((i) => !Number.isFinite(values[i])),
  };
}
