import { useEffect, useMemo, useRef } from "preact/hooks";
import uPlot from "uplot";

import { cursorAt, indexAt } from "../kit/axis.js";
import { formatCount, formatTicks } from "../kit/format.js";
import { pointIn, useSize } from "../kit/hooks.js";
import { theme } from "../kit/host.js";
import { curveScales, curveTicks, unitOn } from "./curves.js";
import {
  BOTTOM,
  brokenRuns,
  endsOf,
  STRIP_HEIGHT,
  stripData,
  stripOptions,
  TOP,
} from "./strip_plot.js";

/** @typedef {import("../kit/axis.js").StepAxis} StepAxis */
/** @typedef {import("./curves.js").Curve} Curve */
/** @typedef {import("./curves.js").CurveScale} CurveScale */

/** Of a number beside the curves. */
const TICK_HEIGHT = 10;

/**
 * Curves over the steps, with their names at their ends.
 * @param {object} props
 * @param {StepAxis} props.axis
 * @param {Curve[]} props.curves those that are drawn
 * @param {number} props.index of the selected step
 * @param {(index: number) => void} props.onStep
 */
export function Strip({ axis, curves, index, onStep }) {
  const [ref, { width }] = /** @type {ReturnType<typeof useSize<HTMLDivElement>>} */ (useSize());
  const plot = useRef(/** @type {uPlot | null} */ (null));
  const scales = useMemo(() => curveScales(curves), [curves]);
  const data = useMemo(() => stripData(axis, curves), [axis, curves]);
  const broken = useMemo(() => brokenRuns(axis, curves), [axis, curves]);
  const latest = useRef({ scales, broken, curves, axis });
  latest.current = { scales, broken, curves, axis };

  const shape = [
    ...curves.map(({ name, group }) => `${name} ${group}`),
    ...scales.map(({ log }) => log),
  ].join("\n");
  useEffect(() => {
    const place = ref.current;
    if (!place || width <= 0) return undefined;
    plot.current = new uPlot(stripOptions(latest.current, latest, width), data, place);
    return () => {
      plot.current?.destroy();
      plot.current = null;
    };
  }, [width, shape, theme.value]);
  useEffect(() => plot.current?.setData(data), [data]);

  const choose = (/** @type {PointerEvent} */ event) =>
    onStep(indexAt(axis, pointIn(event).x / width));
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
      {[left, right].map((scale, i) => scale && <Ticks key={scale.group} scale={scale} at={i} />)}
      <p class="lv-strip-axes">{axesInWords([right, left])}</p>
      {endsOf(curves, scales).map(({ curve: { name, label, colour }, at }) => (
        <span
          key={name}
          class="lv-strip-end"
          title={label}
          style={{ top: `${at}px`, color: `var(${colour})` }}
        >
          {label}
        </span>
      ))}
      {!curves.length && <p class="lv-strip-none">No loss or metric is logged with these steps.</p>}
      <i class="lv-now" style={{ left: `${cursorAt(axis, axis.steps[index], width)}px` }} />
    </div>
  );
}

/**
 * The scales that have room for numbers: two.
 * @param {CurveScale[]} scales
 */
export function labelledScales(scales) {
  return scales.filter(({ known }) => known).slice(0, 2);
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

/**
 * @param {(CurveScale | undefined)[]} scales in the order in which their numbers stand
 */
function axesInWords(scales) {
  const names = scales.flatMap((scale) => (scale ? stripAxis(scale).name : []));
  const isOne = names.length === 1;
  return isOne
    ? names[0]
    : names
        .map((name) => name.replace(/^.* (?=shares)/, "").replace(", logarithmic", " (log)"))
        .join(" · ");
}

/** @param {{scale: CurveScale, at: number}} props `at` counts the scales from the plot on */
function Ticks({ scale, at: place }) {
  const { name, ticks } = stripAxis(scale);
  return (
    <div class="lv-strip-ticks" style={{ right: `calc(100% + ${2 + 34 * place}px)` }} title={name}>
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
