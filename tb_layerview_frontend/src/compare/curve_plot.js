/** A statistic of both runs over the steps: the curves, how uPlot is told to draw them, and what they say. */

import uPlot from "uplot";

import { placeOfStep, stepAtPlace } from "../kit/axis.js";
import { formatCount, formatShare, formatValue } from "../kit/format.js";
import { cssVariable } from "../kit/hooks.js";
import { isWide } from "../kit/value_axis.js";

/**
 * The statistic of one tensor over its run's steps.
 * @typedef {object} Curve
 * @property {number[]} steps
 * @property {(number | null)[]} values to be drawn: null where none is finite
 * @property {ArrayLike<number>} exact as they were loaded
 */

/** @type {Curve} */
export const NO_CURVE = { steps: [], values: [], exact: [] };

/**
 * @param {import("../data/run.js").Run} run
 * @param {number} tensor
 * @param {string} statistic
 * @returns {Curve | null} null while it is not here
 */
export function curveOf(run, tensor, statistic) {
  const columns = run.columns.get(run.info.tensors[tensor]?.kind);
  if (!columns?.has(statistic)) return null;
  const values = columns.of(statistic, [tensor])[0];
  if (!values) return null;
  return {
    steps: run.history.steps.slice(0, values.length),
    values: Array.from(values, (value) => (Number.isFinite(value) ? value : null)),
    exact: values,
  };
}

/**
 * Both curves as uPlot takes them.
 * @param {Curve[]} curves
 * @param {boolean} logSteps
 */
export function curveData(curves, logSteps) {
  return uPlot.join(
    curves.map(({ steps, values }) => [steps.map((step) => placeOfStep(step, logSteps)), values]),
  );
}

/**
 * Whether both curves lie on a logarithmic axis.
 * @param {Curve[]} curves
 */
export function isLogarithmic(curves) {
  const values = curves.flatMap((curve) => curve.values.filter((value) => value !== null));
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return isWide(low, high);
}

/**
 * @param {object} what
 * @param {Curve[]} what.curves of A and of B
 * @param {boolean} what.logSteps
 * @param {boolean} what.logValues
 * @param {boolean} what.isShare
 * @param {{current: (number | undefined)[]}} what.marks places of the selected steps, as they are when it is drawn
 * @param {(step: number | null) => void} what.onHover
 * @param {{width: number, height: number}} size CSS pixels
 * @returns {uPlot.Options}
 */
export function curveOptions(what, { width, height }) {
  const { curves, logSteps, logValues, isShare, marks, onHover } = what;
  const [own, others] = curves;
  const [text, line] = [cssVariable("--lv-secondary"), cssVariable("--lv-track")];
  const axis = {
    stroke: text,
    font: `11px ${cssVariable("--lv-font")}`,
    grid: { stroke: line, width: 1 },
    ticks: { stroke: line, width: 1, size: 4 },
  };
  return {
    width,
    height,
    padding: [6, 14, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
    scales: {
      x: {
        time: false,
        // A single step has no range of its own.
        range: (_, low, high) => (low < high ? [low, high] : [low - 1, low + 1]),
      },
      y: logValues ? { distr: 3, log: 10 } : {},
    },
    axes: [
      {
        ...axis,
        size: 22,
        gap: 2,
        splits: logSteps ? (_, __, low, high) => powerPlaces(low, high) : undefined,
        values: (_, all) => all.map((one) => formatCount(stepAtPlace(one, logSteps))),
      },
      {
        ...axis,
        size: 50,
        gap: 2,
        values: (_, all) => all.map((one) => (one === null ? "" : tickOf(one, isShare))),
      },
    ],
    series: [
      {},
      {
        label: "A",
        stroke: cssVariable("--lv-side-a"),
        width: 1.5,
        points: { show: own.steps.length < 3 },
      },
      {
        label: "B",
        stroke: cssVariable("--lv-side-b"),
        width: 1.5,
        dash: [5, 3],
        spanGaps: true,
        points: { show: others.steps.length < 30, size: 5 },
      },
    ],
    hooks: {
      draw: [(chart) => drawSteps(chart, marks.current)],
      setCursor: [
        ({ cursor, data: [places] }) =>
          onHover(cursor.idx == null ? null : stepAtPlace(places[cursor.idx], logSteps)),
      ],
    },
  };
}

/**
 * @param {number} value
 * @param {boolean} isShare
 */
function tickOf(value, isShare) {
  return isShare ? `${formatValue(100 * value)} %` : formatValue(value);
}

/**
 * The places of step 0 and of the powers of ten.
 * @param {number} low
 * @param {number} high
 */
function powerPlaces(low, high) {
  const steps = [0];
  for (let step = 1; placeOfStep(step, true) <= high; step *= 10) steps.push(step);
  return steps.map((step) => placeOfStep(step, true)).filter((place) => place >= low);
}

/**
 * Lines at the selected steps, B's dashed.
 * @param {uPlot} chart
 * @param {(number | undefined)[]} places of A's step, and of B's where it is one of its own
 */
function drawSteps(chart, places) {
  const { ctx: context, bbox } = chart;
  const ratio = devicePixelRatio || 1;
  context.save();
  context.strokeStyle = cssVariable("--lv-now");
  context.lineWidth = ratio;
  places.forEach((place, i) => {
    if (place === undefined) return;
    const x = Math.round(chart.valToPos(place, "x", true)) + 0.5;
    context.setLineDash(i ? [4 * ratio, 3 * ratio] : []);
    context.beginPath();
    context.moveTo(x, bbox.top);
    context.lineTo(x, bbox.top + bbox.height);
    context.stroke();
  });
  context.restore();
}

/**
 * What a curve says at a step: the value there, or the latest one before.
 * @param {string} side
 * @param {Curve} curve
 * @param {number | undefined} step
 * @param {boolean} isShare
 * @param {number | undefined} expected the step that is said beside it already
 */
export function curveInWords(side, { steps, values }, step, isShare, expected) {
  if (step === undefined) return `${side} –`;
  let index = -1;
  for (let i = 0; i < steps.length && steps[i] <= step; i++) index = i;
  if (index < 0) return `${side} –`;
  const value = values[index];
  const shown =
    value === null ? "no finite value" : isShare ? formatShare(value) : formatValue(value);
  return steps[index] === expected
    ? `${side} ${shown}`
    : `${side} ${shown} (step ${formatCount(steps[index])})`;
}
