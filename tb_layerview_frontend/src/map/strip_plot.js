/** The plot of the curves above the map: how uPlot is told to draw it, and what is drawn over it. */

import { isBeforeHole, stretches } from "../kit/axis.js";
import { drawHoles } from "../kit/holes.js";
import { cssVariable, hatching } from "../kit/hooks.js";
import { unitOn } from "./curves.js";

/** @typedef {import("uplot")} uPlot */
/** @typedef {import("../kit/axis.js").StepAxis} StepAxis */
/** @typedef {import("./curves.js").Curve} Curve */
/** @typedef {import("./curves.js").CurveScale} CurveScale */

export const STRIP_HEIGHT = 88;
/** Room above and below the curves. */
export const [TOP, BOTTOM] = [17, 4];

/**
 * What the plot asks for when it draws, as it is by then.
 * @typedef {{scales: CurveScale[], broken: [number, number][], curves: Curve[], axis: StepAxis}} Drawn
 */

/**
 * @param {Drawn} now
 * @param {{current: Drawn}} latest
 * @param {number} width CSS pixels
 * @returns {import("uplot").Options}
 */
export function stripOptions({ scales, curves }, latest, width) {
  return {
    width,
    height: STRIP_HEIGHT,
    padding: [TOP, 0, BOTTOM, 0],
    legend: { show: false },
    cursor: { show: false },
    select: { show: false, left: 0, top: 0, width: 0, height: 0 },
    axes: [{ show: false }, { show: false }],
    scales: {
      x: { time: false, range: [0, 1] },
      ...Object.fromEntries(
        scales.map(({ group, log, low, high }) => [
          group,
          {
            distr: log ? /** @type {const} */ (3) : /** @type {const} */ (1),
            /** @returns {[number, number]} */
            range: () => {
              const own = latest.current.scales.find((scale) => scale.group === group);
              return own ? [own.low, own.high] : [low, high];
            },
          },
        ]),
      ),
    },
    series: [
      {},
      ...curves.map(({ label, colour, group, dashed }) => ({
        label,
        scale: group,
        stroke: cssVariable(colour),
        width: 1.5,
        dash: dashed ? [5, 3] : undefined,
        // Over what a curve lacks its line goes on, over what was not logged it breaks.
        spanGaps: false,
        gaps: (/** @type {uPlot} */ chart) => gapsOf(chart, latest.current.axis),
        points: {
          show: true,
          size: 4,
          fill: cssVariable(colour),
          filter: (/** @type {uPlot} */ chart, /** @type {number} */ series) =>
            lonePoints(chart, series, latest.current.axis),
        },
      })),
    ],
    hooks: {
      drawClear: [(chart) => drawHoles(chart.ctx, latest.current.axis, devicePixelRatio || 1)],
      draw: [
        (chart) => {
          drawPoints(chart, latest.current);
          drawBroken(chart, latest.current.broken);
        },
      ],
    },
  };
}

/**
 * The curves as uPlot takes them.
 * @param {StepAxis} axis
 * @param {Curve[]} curves
 */
export function stripData(axis, curves) {
  return /** @type {import("uplot").AlignedData} */ ([
    Array.from(axis.positions),
    ...curves.map(({ values, absent, held }) =>
      Array.from(values, (value, i) =>
        absent[i] || held?.[i] || !Number.isFinite(value) ? null : value,
      ),
    ),
  ]);
}

/** Of a name at the end of a line. */
const NAME_HEIGHT = 12;

/**
 * Where the names stand at the ends of their lines, none over another.
 * @param {Curve[]} curves
 * @param {CurveScale[]} scales
 * @returns {{curve: Curve, at: number}[]} CSS pixels from above to the name's middle
 */
export function endsOf(curves, scales) {
  const room = STRIP_HEIGHT - TOP - BOTTOM;
  const ends = curves.flatMap((curve) => {
    const scale = scales.find(({ group }) => group === curve.group);
    let last = curve.values.length - 1;
    while (last >= 0 && (curve.absent[last] || !Number.isFinite(curve.values[last]))) last--;
    if (!scale || last < 0) return [];
    return [{ curve, at: TOP + (1 - unitOn(scale, curve.values[last])) * room }];
  });
  ends.sort((a, b) => a.at - b.at);
  // From below, so that the last one keeps its place within the strip, and then from above.
  let below = STRIP_HEIGHT + NAME_HEIGHT / 2;
  for (const end of [...ends].reverse()) below = end.at = Math.min(end.at, below - NAME_HEIGHT);
  let above = -NAME_HEIGHT / 2;
  for (const end of ends) above = end.at = Math.max(end.at, above + NAME_HEIGHT);
  return ends.filter(({ at }) => at < STRIP_HEIGHT);
}

/**
 * Where lines break.
 * @param {uPlot} chart
 * @param {StepAxis} axis
 * @returns {[number, number][]} pixels
 */
function gapsOf({ bbox }, { positions, holes, steps }) {
  const ends = isBeforeHole({ holes, steps });
  const at = (/** @type {number} */ index) => bbox.left + positions[index] * bbox.width;
  return [...positions.keys()]
    .filter((i) => ends[i])
    .map((i) => [Math.ceil(at(i)), Math.floor(at(i + 1))]);
}

/**
 * The values that no line leads to or from, as those between two holes.
 * @param {uPlot} chart
 * @param {number} series
 * @param {StepAxis} axis
 * @returns {number[]} indices
 */
function lonePoints({ data }, series, axis) {
  return alone(data[series], isBeforeHole(axis));
}

/**
 * @param {ArrayLike<number | null | undefined>} values
 * @param {boolean[]} ends whether a line breaks after each
 * @returns {number[]} the indices of those that stand alone
 */
export function alone(values, ends) {
  /** @type {number[][]} by stretch */
  const stretches = [[]];
  ends.forEach((isEnd, i) => {
    if (values[i] != null) stretches[stretches.length - 1].push(i);
    if (isEnd) stretches.push([]);
  });
  return stretches.flatMap((own) => (own.length === 1 ? own : []));
}

/**
 * The values of an evaluation, as points of the colour of their curve.
 * @param {uPlot} chart
 * @param {{curves: Curve[], axis: StepAxis}} what
 */
function drawPoints(chart, { curves, axis }) {
  const { ctx: context, bbox } = chart;
  const ratio = devicePixelRatio || 1;
  const ground = cssVariable("--lv-surface");
  context.save();
  context.lineWidth = 1.5 * ratio;
  context.fillStyle = ground;
  for (const { points, group, colour } of curves) {
    context.strokeStyle = cssVariable(colour);
    for (const { step, value } of points) {
      const x = bbox.left + axis.positionOf(step) * bbox.width;
      const y = chart.valToPos(value, group, true);
      context.beginPath();
      context.arc(x, y, 3 * ratio, 0, 2 * Math.PI);
      context.fill();
      context.stroke();
    }
  }
  context.restore();
}

/**
 * The stretches of the axis in which some curve has no finite value.
 * @param {StepAxis} axis
 * @param {Curve[]} curves
 * @returns {[number, number][]} positions from, to
 */
export function brokenRuns(axis, curves) {
  const broken = Array.from(axis.steps, (_, i) =>
    curves.some(({ values, absent }) => !absent[i] && !Number.isFinite(values[i])),
  );
  return stretches(axis, (i) => broken[i]);
}

/**
 * Marks where a curve has no finite value: hatched, with a cross where it begins.
 * @param {uPlot} chart
 * @param {[number, number][]} runs
 */
function drawBroken(chart, runs) {
  if (!runs.length) return;
  const { ctx: context, bbox } = chart;
  const ratio = devicePixelRatio || 1;
  const colour = cssVariable("--lv-bad");
  context.save();
  context.strokeStyle = colour;
  context.lineWidth = 1.5 * ratio;
  for (const [from, to] of runs) {
    const left = bbox.left + from * bbox.width;
    const wide = Math.max(3 * ratio, (to - from) * bbox.width);
    context.globalAlpha = 0.35;
    context.fillStyle = hatching(context, "transparent", colour, ratio);
    context.fillRect(left, 0, wide, STRIP_HEIGHT * ratio);
    context.globalAlpha = 1;
    const x = Math.max(4 * ratio, left);
    const y = 7 * ratio;
    const size = 3.5 * ratio;
    context.beginPath();
    context.moveTo(x - size, y - size);
    context.lineTo(x + size, y + size);
    context.moveTo(x + size, y - size);
    context.lineTo(x - size, y + size);
    context.stroke();
  }
  context.restore();
}
