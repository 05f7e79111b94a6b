import { useEffect, useMemo, useRef } from "preact/hooks";
import uPlot from "uplot";

import { indexAt, positionOf } from "../kit/axis.js";
import { formatCount, formatTicks } from "../kit/format.js";
import { cssVariable, hatching, pointIn, useSize } from "../kit/hooks.js";
import { theme } from "../kit/host.js";
import { curveScales, curveTicks, unitOn } from "./curves.js";

/** @typedef {import("../page/store.js").Store} Store */
/** @typedef {import("../kit/axis.js").StepAxis} StepAxis */
/** @typedef {import("./curves.js").Curve} Curve */
/** @typedef {import("./curves.js").CurveScale} CurveScale */

export const STRIP_HEIGHT = 84;
const [TOP, BOTTOM] = [6, 4];
/** Of a number beside the curves. */
const TICK_HEIGHT = 10;

/**
 * Loss, metrics and learning rate over the steps, on the same axis as the map below.
 * @param {object} props
 * @param {Store} props.store
 * @param {StepAxis} props.axis
 * @param {Curve[]} props.curves those that are drawn
 */
export function Strip({ store, axis, curves }) {
  const [ref, { width }] = /** @type {ReturnType<typeof useSize<HTMLDivElement>>} */ (useSize());
  const plot = useRef(/** @type {uPlot | null} */ (null));
  const scales = useMemo(() => curveScales(curves), [curves]);
  const data = useMemo(
    () =>
      /** @type {uPlot.AlignedData} */ ([
        Array.from(axis.positions),
        ...curves.map(({ values, absent, held }) =>
          Array.from(values, (value, i) =>
            absent[i] || held?.[i] || !Number.isFinite(value) ? null : value,
          ),
        ),
      ]),
    [axis, curves],
  );
  const broken = useMemo(() => brokenRuns(axis, curves), [axis, curves]);
  // What the plot asks for when it draws, as it is by then.
  const latest = useRef({ scales, broken, curves, axis });
  latest.current = { scales, broken, curves, axis };

  const shape = [
    ...curves.map(({ name, group }) => `${name} ${group}`),
    ...scales.map(({ log }) => log),
  ].join("\n");
  useEffect(() => {
    const place = ref.current;
    if (!place || width <= 0) return undefined;
    plot.current = new uPlot(
      {
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
            spanGaps: true,
            points: { show: axis.positions.length < 3, size: 5 },
          })),
        ],
        hooks: {
          draw: [
            (chart) => {
              drawPoints(chart, latest.current);
              drawBroken(chart, latest.current.broken);
            },
          ],
        },
      },
      data,
      place,
    );
    return () => {
      plot.current?.destroy();
      plot.current = null;
    };
  }, [width, shape, theme.value, axis.positions.length < 3]);
  useEffect(() => plot.current?.setData(data), [data]);

  const index = store.stepIndex.value;
  const position = axis.positions[index] ?? 0;
  const choose = (/** @type {PointerEvent} */ event) =>
    store.selectStep(indexAt(axis, pointIn(event).x / width));
  const [left, right] = labelledScales(scales);
  return (
    <div
      class="lv-strip"
      data-testid="loss-strip"
      role="img"
      aria-label={`${curves.map(({ label }) => label).join(", ")} over the steps${
        broken.length ? `; not finite at ${formatCount(broken.length)} steps` : ""
      }`}
      style={{ height: `${STRIP_HEIGHT}px` }}
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);
        choose(event);
      }}
      onPointerMove={(event) => {
        if (event.buttons & 1) choose(event);
      }}
    >
      <div class="lv-strip-plot" ref={ref} />
      {left && <Ticks scale={left} side="left" />}
      {right && <Ticks scale={right} side="right" />}
      {!curves.length && (
        <p class="lv-strip-none">
          No loss or metric is{" "}
          {store.view.curvesOff.value.length ? "drawn" : "logged with these steps"}.
        </p>
      )}
      <i class="lv-now" style={{ left: `${position * width}px` }} />
    </div>
  );
}

/**
 * The scales that have room for numbers: one at the left, one at the right.
 * @param {CurveScale[]} scales
 */
export function labelledScales(scales) {
  return scales.filter(({ group, known }) => known && group !== "learning rate").slice(0, 2);
}

/**
 * @param {CurveScale} scale
 * @returns {import("../kit/figure.js").Axis}
 */
export function stripAxis(scale) {
  const { group, log } = scale;
  const values = curveTicks(scale);
  const texts = formatTicks(values);
  return {
    name: `${group === "share" ? "accuracy and other shares" : group.replaceAll("_", " ")}${log ? ", logarithmic" : ""}`,
    ticks: values.map((value, i) => ({
      at: (TOP + (1 - unitOn(scale, value)) * (STRIP_HEIGHT - TOP - BOTTOM)) / STRIP_HEIGHT,
      text: texts[i],
    })),
  };
}

/** @param {{scale: CurveScale, side: "left" | "right"}} props */
function Ticks({ scale, side }) {
  const { name, ticks } = stripAxis(scale);
  return (
    <div class="lv-strip-ticks" data-side={side} title={name}>
      {ticks.map(({ at, text }) => (
        <span
          key={text}
          style={{ top: `${Math.min(at * STRIP_HEIGHT, STRIP_HEIGHT - TICK_HEIGHT / 2)}px` }}
        >
          {text}
        </span>
      ))}
    </div>
  );
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
      const x = bbox.left + positionOf(axis, step) * bbox.width;
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
function brokenRuns({ edges, positions }, curves) {
  /** @type {[number, number][]} */
  const runs = [];
  for (let i = 0; i < positions.length; i++) {
    if (!curves.some(({ values, absent }) => !absent[i] && !Number.isFinite(values[i]))) continue;
    const before = runs.at(-1);
    if (before && before[1] === edges[i]) before[1] = edges[i + 1];
    else runs.push([edges[i], edges[i + 1]]);
  }
  return runs;
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
