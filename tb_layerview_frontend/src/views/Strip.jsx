import { useEffect, useMemo, useRef } from "preact/hooks";
import uPlot from "uplot";

import { indexAt } from "../axis.js";
import { formatCount, formatValue } from "../format.js";
import { theme } from "../host.js";
import { cssVariable, hatching, pointIn, useSize } from "./hooks.js";

/** @typedef {import("../store.js").Store} Store */
/** @typedef {import("../axis.js").StepAxis} StepAxis */

export const STRIP_HEIGHT = 84;

/**
 * One curve of the strip. Each has a scale of its own: what matters is when it moves, its numbers stand beside it.
 * @typedef {{name: string, label: string, colour: string, values: Float64Array, absent: Uint8Array, logarithmic: boolean, scale?: string, dashed?: boolean, held?: Uint8Array}} Curve
 * `scale` names the curve whose scale it shares; `held` is 1 where a value is only carried on from the step before.
 */

// More curves could not be told apart in the room that the strip has.
const COLOURS = [1, 2, 3, 4, 5, 6].map((number) => `--lv-curve-${number}`);

/**
 * The curves of a run, the loss first.
 * @param {import("../api.js").History} history
 * @returns {Curve[]}
 */
export function curvesOf(history) {
  const order = (/** @type {string} */ name) =>
    name === "loss" ? 0 : name.includes("loss") ? 1 : name === "learning_rate" ? 2 : 3;
  const names = Object.keys(history.scalars);
  // Where not all are drawn, the last place says how many are not.
  const drawn = names.length > COLOURS.length ? COLOURS.length - 1 : COLOURS.length;
  return names
    .sort((a, b) => order(a) - order(b) || a.localeCompare(b))
    .slice(0, drawn)
    .map((name, index) => {
      const values = history.scalars[name];
      return {
        name,
        label: name.replaceAll("_", " "),
        colour: COLOURS[index],
        values,
        absent: history.absent[name],
        logarithmic: isWide(values),
      };
    });
}

/**
 * Whether values are all positive and span more than a factor of 20, so that a logarithm shows more of them.
 * @param {Float64Array} values
 */
function isWide(values) {
  let low = Infinity;
  let high = 0;
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    if (value <= 0) return false;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return high > 20 * low;
}

/**
 * The names of the curves with their values at the selected step.
 * @param {{curves: Curve[], index: number, scalars: string[]}} props
 */
export function StripLegend({ curves, index, scalars }) {
  const left = scalars.filter((scalar) => !curves.some(({ name }) => name === scalar));
  return (
    <dl class="lv-strip-legend" aria-label="Values at the selected step">
      {curves.map(({ name, label, colour, values, absent, logarithmic, dashed }) => {
        const value = values[index];
        const bad = !absent[index] && value !== undefined && !Number.isFinite(value);
        return (
          <div key={name} title={logarithmic ? `${label}, on a logarithmic scale` : label}>
            <dt>
              <i
                class={dashed ? "lv-dashed" : ""}
                style={{ color: `var(${colour})`, background: dashed ? "" : `var(${colour})` }}
              />
              {label}
            </dt>
            <dd class={bad ? "lv-bad" : ""}>
              {absent[index] || value === undefined ? "–" : formatValue(value)}
            </dd>
          </div>
        );
      })}
      {left.length > 0 && (
        <div title={left.join(", ")}>
          <dt>not drawn</dt>
          <dd>{left.length} more</dd>
        </div>
      )}
    </dl>
  );
}

/**
 * Loss, metrics and learning rate over the steps, on the same axis as the map below.
 * @param {object} props
 * @param {Store} props.store
 * @param {StepAxis} props.axis
 * @param {Curve[]} props.curves
 */
export function Strip({ store, axis, curves }) {
  const [ref, { width }] = /** @type {ReturnType<typeof useSize<HTMLDivElement>>} */ (useSize());
  const plot = useRef(/** @type {uPlot | null} */ (null));
  const names = curves.map(({ name, logarithmic }) => `${name} ${logarithmic}`).join("\n");
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
  const marks = useRef(broken);
  marks.current = broken;

  useEffect(() => {
    const place = ref.current;
    if (!place || width <= 0) return undefined;
    plot.current = new uPlot(
      {
        width,
        height: STRIP_HEIGHT,
        padding: [6, 0, 4, 0],
        legend: { show: false },
        cursor: { show: false },
        select: { show: false, left: 0, top: 0, width: 0, height: 0 },
        axes: [{ show: false }, { show: false }],
        scales: {
          x: { time: false, range: [0, 1] },
          ...Object.fromEntries(
            curves.map(({ name, scale, logarithmic }) => [
              scale ?? name,
              logarithmic
                ? { distr: /** @type {const} */ (3), range: logarithmicRange }
                : { range: linearRange },
            ]),
          ),
        },
        series: [
          {},
          ...curves.map(({ name, label, colour, scale, dashed }) => ({
            label,
            scale: scale ?? name,
            stroke: cssVariable(colour),
            width: 1.5,
            dash: dashed ? [5, 3] : undefined,
            spanGaps: true,
            points: { show: axis.positions.length < 3, size: 5 },
          })),
        ],
        hooks: { draw: [(chart) => drawBroken(chart, marks.current)] },
      },
      data,
      place,
    );
    return () => {
      plot.current?.destroy();
      plot.current = null;
    };
  }, [width, names, theme.value, axis.positions.length < 3]);
  useEffect(() => plot.current?.setData(data), [data]);

  const index = store.stepIndex.value;
  const position = axis.positions[index] ?? 0;
  const choose = (/** @type {PointerEvent} */ event) =>
    store.selectStep(indexAt(axis, pointIn(event).x / width));
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
      {!curves.length && <p class="lv-strip-none">No loss or metric is logged with these steps.</p>}
      <i class="lv-now" style={{ left: `${position * width}px` }} />
    </div>
  );
}

/**
 * @param {uPlot} _
 * @param {number} low
 * @param {number} high
 * @returns {[number, number]}
 */
function linearRange(_, low, high) {
  const margin = (high - low) * 0.06 || Math.abs(high) * 0.5 || 1;
  return [low - margin, high + margin];
}

/**
 * @param {uPlot} _
 * @param {number} low
 * @param {number} high
 * @returns {[number, number]}
 */
function logarithmicRange(_, low, high) {
  const margin = (high / low) ** 0.06;
  return [low / margin, high * margin];
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
