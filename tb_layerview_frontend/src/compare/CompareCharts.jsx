import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import uPlot from "uplot";

import { statisticOf } from "../data/statistics.js";
import { TakeAlong } from "../kit/TakeAlong.jsx";
import { nearestIndex } from "../kit/axis.js";
import { drawKey } from "../kit/figure.js";
import { formatCount, formatShare, formatValue } from "../kit/format.js";
import { cssVariable, pointIn, useSize } from "../kit/hooks.js";
import { theme } from "../kit/host.js";
import { ComparedHistograms } from "./ComparedHistograms.jsx";
import { comparedFile } from "./compared_file.js";

/** @typedef {import("../page/store.js").Store} Store */
/** @typedef {import("../data/run_data.js").Run} Run */
/** @typedef {import("../data/tensor_data.js").Detail} Detail */

/**
 * The statistic of both runs over the steps, and beside it both distributions at the selected step.
 * @param {{store: Store, run: Run, other: Run, a: Detail | null, b: Detail | null}} props
 */
export function CompareCharts({ store, run, other, a, b }) {
  return (
    <section
      class="lv-distribution lv-compare-charts"
      aria-label="Statistics and distributions of both runs"
    >
      <StatisticOverSteps store={store} run={run} other={other} />
      <ComparedHistograms store={store} a={a} b={b} />
    </section>
  );
}

/**
 * The statistic of one tensor over its run's steps.
 * @typedef {object} Course
 * @property {number[]} steps
 * @property {(number | null)[]} values to be drawn: null where none is finite
 * @property {ArrayLike<number>} exact as they were loaded
 */

/**
 * @param {Run} run
 * @param {number} tensor
 * @param {string} statistic
 * @returns {Course | null} null while it is not here
 */
function courseOf(run, tensor, statistic) {
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

/** @type {Course} */
const NO_COURSE = { steps: [], values: [], exact: [] };

/** @param {{store: Store, run: Run, other: Run}} props */
function StatisticOverSteps({ store, run, other }) {
  const { view, comparison } = store;
  const revision = comparison.revision.value;
  const [index, indexB] = [store.tensor.value, comparison.tensor.value];
  const statistic = statisticOf(view.statistic.value, run.info.tensors[index].kind);
  const sameRun = comparison.sameRun.value;
  const courses = useMemo(() => {
    const own = courseOf(run, index, statistic.name);
    const others = sameRun ? NO_COURSE : courseOf(other, indexB, statistic.name);
    return own && others ? { own, others } : null;
  }, [run, other, index, indexB, statistic, revision, sameRun]);
  if (!courses) {
    const problem =
      store.columnProblems.value[run.info.tensors[index].kind] ??
      comparison.columnProblems.value[other.info.tensors[indexB].kind];
    return (
      <div class="lv-compare-chart lv-message" role={problem ? "alert" : "status"}>
        {problem ?? "Loading the statistics…"}
      </div>
    );
  }
  return <Courses store={store} {...courses} statistic={statistic} sameRun={sameRun} />;
}

/**
 * @param {object} props
 * @param {Store} props.store
 * @param {Course} props.own
 * @param {Course} props.others
 * @param {import("../data/statistics.js").Statistic} props.statistic
 * @param {boolean} props.sameRun
 */
function Courses({ store, own, others, statistic, sameRun }) {
  const [ref, { width, height }] = /** @type {ReturnType<typeof useSize<HTMLDivElement>>} */ (
    useSize()
  );
  const [hover, setHover] = useState(/** @type {number | null} */ (null));
  const plot = useRef(/** @type {uPlot | null} */ (null));
  const logSteps = store.view.spacing.value === "log";
  const data = useMemo(() => {
    const place = (/** @type {number[]} */ steps) => steps.map((step) => toPlace(step, logSteps));
    return uPlot.join([
      [place(own.steps), own.values],
      [place(others.steps), others.values],
    ]);
  }, [own, others, logSteps]);
  const logValues = useMemo(() => isWide([...own.values, ...others.values]), [own, others]);
  const isShare = statistic.scale === "share";
  const show = isShare ? formatShare : formatValue;
  const stepA = store.steps.value[store.stepIndex.value];
  const stepB = store.comparison.steps.value[store.comparison.stepIndex.value];
  const marks = useRef(/** @type {(number | undefined)[]} */ ([]));
  marks.current = [stepA, sameRun ? stepB : undefined].map((step) =>
    step === undefined ? undefined : toPlace(step, logSteps),
  );
  useEffect(() => {
    const place = ref.current;
    if (!place || width <= 0 || height <= 0) return undefined;
    const [text, line] = [cssVariable("--lv-secondary"), cssVariable("--lv-track")];
    const axis = {
      stroke: text,
      font: `11px ${cssVariable("--lv-font")}`,
      grid: { stroke: line, width: 1 },
      ticks: { stroke: line, width: 1, size: 4 },
    };
    plot.current = new uPlot(
      {
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
            values: (_, all) => all.map((one) => formatCount(toStep(one, logSteps))),
          },
          {
            ...axis,
            size: 50,
            gap: 2,
            values: (_, all) =>
              all.map((one) =>
                one === null ? "" : isShare ? `${formatValue(100 * one)} %` : show(one),
              ),
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
              setHover(cursor.idx == null ? null : toStep(places[cursor.idx], logSteps)),
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
  }, [
    width,
    height,
    theme.value,
    logSteps,
    logValues,
    own.steps.length < 3,
    others.steps.length < 30,
    show,
    sameRun,
  ]);
  useEffect(() => plot.current?.setData(data), [data]);
  useEffect(() => plot.current?.redraw(), [stepA, stepB]);
  const at = hover ?? stepA;
  const words = [
    inWords("A", own, at, show, at),
    sameRun ? inWords("B", own, stepB, show, at) : inWords("B", others, hover ?? stepB, show, at),
  ];
  /** @type {import("../kit/TakeAlong.jsx").Panel} */
  const panel = comparedFile(store, statistic.label, {
    canvases: () => [
      /** @type {HTMLCanvasElement} */ (ref.current?.querySelector("canvas")),
      drawKey([
        { text: "A", colour: "--lv-side-a" },
        ...(sameRun ? [] : [{ text: "B", colour: "--lv-side-b", dashed: true }]),
      ]),
    ],
    table: () => ({
      head: ["side", "step", statistic.label],
      rows: [own, others].flatMap(({ steps, exact }, i) =>
        steps.map((step, index) => ["AB"[i], step, exact[index]]),
      ),
    }),
  });
  const title = `${statistic.label}${at === undefined ? "" : ` at step ${formatCount(at)}`}`;
  return (
    <div class="lv-compare-chart">
      <div class="lv-compare-legend">
        <p data-testid="compare-course" aria-live="polite">
          <span class="lv-caption">{title}</span>
          <span>
            <i class="lv-key-a" />
            {words[0]}
          </span>
          <span>
            <i class="lv-key-b" />
            {words[1]}
          </span>
        </p>
        <TakeAlong what="the courses" panels={[panel]} small />
      </div>
      <div
        class="lv-compare-plot"
        ref={ref}
        data-testid="compare-plot"
        role="img"
        aria-label={`${statistic.label} over the steps: ${words.join("; ")}`}
        onClick={(event) => {
          const chart = plot.current;
          if (!chart) return;
          const at = chart.posToVal(pointIn(event).x - chart.over.offsetLeft, "x");
          store.selectStep(nearestIndex(store.steps.value, toStep(at, logSteps)));
        }}
      />
    </div>
  );
}

/**
 * Where a step lies; step 0 has no logarithm, log(step + 1) keeps it on the axis.
 * @param {number} step
 * @param {boolean} logarithmic
 */
function toPlace(step, logarithmic) {
  return logarithmic ? Math.log2(Math.max(0, step) + 1) : step;
}

/**
 * @param {number} place
 * @param {boolean} logarithmic
 */
function toStep(place, logarithmic) {
  return Math.round(logarithmic ? 2 ** place - 1 : place);
}

/**
 * The places of step 0 and of the powers of ten.
 * @param {number} low
 * @param {number} high
 */
function powerPlaces(low, high) {
  const steps = [0];
  for (let step = 1; toPlace(step, true) <= high; step *= 10) steps.push(step);
  return steps.map((step) => toPlace(step, true)).filter((place) => place >= low);
}

/**
 * What a course says at a step: the value there, or the latest one before.
 * @param {string} side
 * @param {Course} course
 * @param {number | undefined} step
 * @param {(value: number) => string} show
 * @param {number | undefined} expected the step that is said beside it already
 */
function inWords(side, { steps, values }, step, show, expected) {
  if (step === undefined) return `${side} –`;
  let index = -1;
  for (let i = 0; i < steps.length && steps[i] <= step; i++) index = i;
  if (index < 0) return `${side} –`;
  const value = values[index];
  const shown = value === null ? "no finite value" : show(value);
  return steps[index] === expected
    ? `${side} ${shown}`
    : `${side} ${shown} (step ${formatCount(steps[index])})`;
}

/**
 * Whether values are all positive and span more than a factor of 20.
 * @param {(number | null)[]} values
 */
function isWide(values) {
  let low = Infinity;
  let high = 0;
  for (const value of values) {
    if (value === null) continue;
    if (value <= 0) return false;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return high > 20 * low;
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
