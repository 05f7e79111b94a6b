import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import uPlot from "uplot";

import { statisticOf } from "../data/statistics.js";
import { TakeAlong } from "../kit/TakeAlong.jsx";
import { nearestIndex, placeOfStep, stepAtPlace } from "../kit/axis.js";
import { drawKey } from "../kit/figure.js";
import { formatCount } from "../kit/format.js";
import { pointIn, useSize } from "../kit/hooks.js";
import { theme } from "../kit/host.js";
import { comparedFile } from "./compared_file.js";
import {
  curveData,
  curveInWords,
  curveOf,
  curveOptions,
  isLogarithmic,
  NO_CURVE,
} from "./curve_plot.js";

/** @typedef {import("../kit/core.js").Core} Core */
/** @typedef {import("../data/run.js").Run} Run */
/** @typedef {import("../data/statistics.js").Statistic} Statistic */
/** @typedef {import("./comparison.js").Comparison} Comparison */
/** @typedef {import("./curve_plot.js").Curve} Curve */

/**
 * The map's statistic of the selected tensor over the steps, in both runs.
 * @param {{core: Core, comparison: Comparison, run: Run, other: Run}} props
 */
export function ComparedCurves({ core, comparison, run, other }) {
  const revision = comparison.revision.value;
  const [index, indexB] = [core.tensor.value, comparison.tensor.value];
  const statistic = statisticOf(core.view.statistic.value, run.info.tensors[index].kind);
  const sameRun = comparison.sameRun.value;
  const curves = useMemo(() => {
    const own = curveOf(run, index, statistic.name);
    const others = sameRun ? NO_CURVE : curveOf(other, indexB, statistic.name);
    return own && others ? [own, others] : null;
  }, [run, other, index, indexB, statistic, revision, sameRun]);
  if (!curves) {
    const problem =
      core.columnProblems.value[run.info.tensors[index].kind] ??
      comparison.columnProblems.value[other.info.tensors[indexB].kind];
    return (
      <div class="lv-compare-chart lv-message" role={problem ? "alert" : "status"}>
        {problem ?? "Loading the statistics…"}
      </div>
    );
  }
  return <Curves core={core} comparison={comparison} curves={curves} statistic={statistic} />;
}

/** @param {{core: Core, comparison: Comparison, curves: Curve[], statistic: Statistic}} props `curves` of A and of B */
function Curves({ core, comparison, curves, statistic }) {
  const [own, others] = curves;
  const sameRun = comparison.sameRun.value;
  const isShare = statistic.scale === "share";
  const logSteps = core.spacing.value === "log";
  const stepA = core.step.value;
  const stepB = comparison.steps.value[comparison.stepIndex.value];
  const { place, plot, hover } = useCurvePlot(curves, {
    marks: sameRun ? [stepB, stepA] : [stepA],
    logSteps,
    isShare,
    sameRun,
  });
  const at = hover ?? stepA;
  const words = sameRun
    ? [curveInWords("A", own, stepB, isShare, at), curveInWords("B", own, at, isShare, at)]
    : [
        curveInWords("A", own, at, isShare, at),
        curveInWords("B", others, hover ?? stepB, isShare, at),
      ];
  const panel = comparedFile(core, comparison, statistic.label, {
    canvases: () => [
      /** @type {HTMLCanvasElement} */ (place.current?.querySelector("canvas")),
      drawKey([
        { text: sameRun ? "the run" : "A", colour: "--lv-side-a" },
        ...(sameRun ? [] : [{ text: "B", colour: "--lv-side-b", dashed: true }]),
      ]),
    ],
    table: () => ({
      head: ["side", "step", statistic.label],
      rows: curves.flatMap(({ steps, exact }, i) =>
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
        ref={place}
        data-testid="compare-plot"
        role="img"
        aria-label={`${statistic.label} over the steps: ${words.join("; ")}`}
        onClick={(event) => {
          const chart = plot.current;
          if (!chart) return;
          const chosen = chart.posToVal(pointIn(event).x - chart.over.offsetLeft, "x");
          core.selectStep(nearestIndex(core.steps.value, stepAtPlace(chosen, logSteps)));
        }}
      />
    </div>
  );
}

/**
 * Draws both curves.
 * @param {Curve[]} curves
 * @param {{marks: (number | undefined)[], logSteps: boolean, isShare: boolean, sameRun: boolean}} what `marks` are steps
 * @returns {{place: import("preact").RefObject<HTMLDivElement>, plot: {current: uPlot | null}, hover: number | null}} `hover`
 *   is the step under the pointer
 */
function useCurvePlot(curves, { marks: steps, logSteps, isShare, sameRun }) {
  const [place, { width, height }] = /** @type {ReturnType<typeof useSize<HTMLDivElement>>} */ (
    useSize()
  );
  const [hover, setHover] = useState(/** @type {number | null} */ (null));
  const plot = useRef(/** @type {uPlot | null} */ (null));
  const [own, others] = curves;
  const data = useMemo(() => curveData(curves, logSteps), [own, others, logSteps]);
  const logValues = useMemo(() => isLogarithmic(curves), [own, others]);
  const marks = useRef(/** @type {(number | undefined)[]} */ ([]));
  marks.current = steps.map((step) =>
    step === undefined ? undefined : placeOfStep(step, logSteps),
  );
  useEffect(() => {
    if (!place.current || width <= 0 || height <= 0) return undefined;
    const what = { curves, logSteps, logValues, isShare, marks, onHover: setHover };
    plot.current = new uPlot(curveOptions(what, { width, height }), data, place.current);
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
    isShare,
    sameRun,
  ]);
  useEffect(() => plot.current?.setData(data), [data]);
  useEffect(() => plot.current?.redraw(), steps);
  return { place, plot, hover };
}
