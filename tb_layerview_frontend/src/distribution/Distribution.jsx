import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import { Choice } from "../kit/Choice.jsx";
import { formatCount } from "../kit/format.js";
import { useSize } from "../kit/hooks.js";
import { makeValueAxis, VALUE_SPACINGS } from "../kit/value_axis.js";
import { DistributionDownload } from "./DistributionDownload.jsx";
import { DistributionHistory } from "./DistributionHistory.jsx";
import { HistogramView } from "./HistogramView.jsx";
import { RidgesView } from "./Ridges.jsx";
import { bandRange, bandsOf, fillBands, knownSteps, typicalMagnitude } from "./bands.js";
import { histogramRange, middleOf } from "./histogram_axis.js";
import { ridgeRange } from "./ridges.js";

/** @typedef {import("../kit/core.js").Core} Core */
/** @typedef {import("../data/run.js").Run} Run */
/** @typedef {import("../data/payload.js").Histogram} Histogram */
/** @typedef {import("./bands.js").Bands} Bands */
/** @typedef {import("../kit/value_axis.js").ValueSpacing} ValueSpacing */

/** @typedef {import("./pointing.js").Pointed} Pointed */

const HISTORY_SHARE = 0.62;
const VALUE_TICKS = 54;
const GAP = 14;

/**
 * The tensor's distribution over all steps, and beside it, on the same value axis, that of the selected step.
 * @param {{core: Core, bands: import("./band_data.js").BandState, run: Run}} props
 */
export function Distribution({ core, bands: state, run }) {
  const spacing = /** @type {ValueSpacing} */ (core.view.values.value);
  const { bySteps, bands, message, problem } = useDistribution(core, state, run);
  const asRidges = core.view.history.value === "ridges";
  const broken = useNonFinite(core);
  const axis = useMemo(() => {
    const range = bands
      ? bandRange(bands, spacing)
      : asRidges
        ? ridgeRange(bySteps, broken, spacing)
        : histogramRange(bySteps, spacing);
    const { p25, p75 } = bands ?? middleOf(bySteps);
    return range && makeValueAxis(range, spacing, typicalMagnitude(p25, p75));
  }, [bySteps, bands, spacing, asRidges, broken]);
  return (
    <section class="lv-distribution" aria-label="Distribution">
      {message ? (
        <div class="lv-message" role={problem ? "alert" : "status"}>
          <p class={problem ? "lv-error" : ""}>{message}</p>
        </div>
      ) : (
        <Charts
          core={core}
          run={run}
          bySteps={bySteps}
          bands={bands}
          axis={axis}
          broken={broken}
          problem={problem}
        />
      )}
    </section>
  );
}

/** @type {(Histogram | null)[]} */
const NONE = [];

/**
 * What is there to draw, or a message why nothing is.
 * @param {Core} core
 * @param {import("./band_data.js").BandState} state
 * @param {Run} run
 * @returns {{bySteps: (Histogram | null)[], bands: Bands | null, message: string, problem: string}}
 */
function useDistribution(core, state, run) {
  const loaded = core.selected.histograms.value;
  const bySteps = loaded.status === "ready" ? loaded.value.bySteps : NONE;
  const asBands = core.view.history.value === "bands";
  const sent = state.value;
  const index = core.tensor.value;
  const steps = run.history.steps.length;
  const bands = useMemo(() => {
    if (!asBands) return null;
    if (sent.status === "ready" && sent.value.tensor === index && sent.value.bands) {
      return fillBands(sent.value.bands, bySteps);
    }
    return sent.status === "loading" ? null : bandsOf(bySteps, steps);
  }, [asBands, sent, index, bySteps, steps]);
  let message = "";
  let problem = "";
  if (loaded.status === "error" && !bands) [message, problem] = [loaded.message, loaded.message];
  else if (asBands && sent.status === "loading") message = "Loading the quantiles…";
  else if (loaded.status === "loading" && !(bands && knownSteps(bands).length)) {
    message = "Loading the histograms…";
  } else if (asBands && sent.status === "error") {
    problem = `${sent.message} The bands are drawn from the histograms.`;
  } else if (loaded.status === "ready" && loaded.value.unreadable) {
    problem = `${formatCount(loaded.value.unreadable)} histograms could not be read`;
  }
  return { bySteps, bands, message, problem };
}

/**
 * @param {object} props
 * @param {Core} props.core
 * @param {Run} props.run
 * @param {(Histogram | null)[]} props.bySteps
 * @param {Bands | null} props.bands
 * @param {import("../kit/value_axis.js").ValueAxis | null} props.axis
 * @param {Float32Array | null} props.broken the share of non-finite elements by step
 * @param {string} props.problem
 */
function Charts({ core, run, bySteps, bands, axis, broken, problem }) {
  const [ref, size] = /** @type {ReturnType<typeof useSize<HTMLDivElement>>} */ (useSize());
  const [pointed, setPointed] = useState(/** @type {Pointed | null} */ (null));
  const place = useRef(/** @type {HTMLDivElement | null} */ (null));
  // Another tensor's values are elsewhere.
  useEffect(() => setPointed(null), [core.tensor.value]);
  const { steps } = run.history;
  const index = core.stepIndex.value;
  const kept = useMemo(
    () =>
      steps.flatMap((_, step) => {
        const known = bands ? !Number.isNaN(bands.p50[step] ?? NaN) : Boolean(bySteps[step]);
        // A step at which nothing is finite has no distribution, and that is what there is to see.
        return known || (broken?.[step] ?? 0) > 0 ? [step] : [];
      }),
    [bySteps, bands, steps, broken],
  );
  const shown = pointed?.index ?? index;
  const detail = core.selected.detail.value;
  const own =
    bySteps[shown] ??
    (detail.status === "ready" &&
    detail.value.step === steps[shown] &&
    detail.value.tensor === core.tensor.value
      ? detail.value.histogram
      : null);
  const ghostIndex = ghostOf(core, bySteps);
  const ghost = bySteps[ghostIndex] ?? null;
  const width = Math.max(0, size.width - VALUE_TICKS - GAP);
  const left = Math.floor(width * HISTORY_SHARE);
  const asRidges = core.view.history.value === "ridges";
  return (
    <div class="lv-distribution-body" ref={place}>
      <Toolbar core={core} ghostIndex={ghostIndex}>
        <DistributionDownload
          core={core}
          run={run}
          own={own}
          ghost={ghost}
          ghostStep={steps[ghostIndex]}
          bySteps={bySteps}
          bands={bands}
          kept={kept}
          broken={broken}
          axis={axis}
          place={place}
        />
      </Toolbar>
      {problem && (
        <p class="lv-error" role="alert">
          {problem}
        </p>
      )}
      <div class="lv-charts" ref={ref}>
        {!axis || !kept.length ? (
          <p class="lv-message">{nothing(core, kept.length)}</p>
        ) : size.width > 0 && asRidges ? (
          <RidgesView
            core={core}
            steps={steps}
            kept={kept}
            bySteps={bySteps}
            broken={broken}
            axis={axis}
            ghostIndex={ghostIndex}
            width={size.width}
            height={size.height}
            pointed={pointed}
            onPoint={setPointed}
          />
        ) : (
          size.width > 0 && (
            <>
              <DistributionHistory
                core={core}
                steps={steps}
                kept={kept}
                bySteps={bySteps}
                bands={bands}
                broken={broken}
                axis={axis}
                width={left}
                height={size.height}
                pointed={pointed}
                onPoint={setPointed}
              />
              <HistogramView
                histogram={own}
                ghost={ghost}
                axis={axis}
                logarithmic={core.view.counts.value === "log"}
                width={width - left}
                height={size.height}
                label={`step ${formatCount(steps[shown] ?? 0)}`}
                ghostLabel={ghostIndex < 0 ? "" : `step ${formatCount(steps[ghostIndex])}`}
                pointed={pointed}
                onPoint={setPointed}
              />
            </>
          )
        )}
      </div>
    </div>
  );
}

/**
 * The share of non-finite elements of the selected tensor by step, where it is known.
 * @param {Core} core
 */
function useNonFinite(core) {
  const revision = core.revision.value;
  const index = core.tensor.value;
  const run = core.current.value;
  return useMemo(() => {
    const columns = run?.columns.get(run.info.tensors[index]?.kind);
    return columns?.has("non_finite") ? (columns.of("non_finite", [index])[0] ?? null) : null;
  }, [revision, index, run]);
}

/**
 * Why there is nothing to draw.
 * @param {Core} core
 * @param {number} kept steps of which something is known
 */
function nothing(core, kept) {
  if (kept && core.view.values.value === "log") {
    return "Nothing of this tensor is above 0, and a logarithmic axis has no place for the rest. Choose “± log values”.";
  }
  return "No histogram of this tensor is kept: it has no finite element at any step, or histograms were left out when logging.";
}

/**
 * The step whose histogram is the ghost: the pinned one or the latest before it that is kept, else the first; -1 for none.
 * @param {Core} core
 * @param {(Histogram | null)[]} bySteps
 */
function ghostOf(core, bySteps) {
  const first = bySteps.findIndex((one) => one?.total);
  const pinned = core.view.ghost.value;
  if (pinned === null) return first;
  const { value: steps } = core.steps;
  for (let i = bySteps.length - 1; i > first; i--) {
    if (steps[i] <= pinned && bySteps[i]?.total) return i;
  }
  return first;
}

/**
 * @param {object} props
 * @param {Core} props.core
 * @param {number} props.ghostIndex
 * @param {import("preact").ComponentChildren} props.children
 */
function Toolbar({ core, ghostIndex, children }) {
  const { view } = core;
  const steps = core.steps.value;
  const now = steps[core.stepIndex.value];
  return (
    <div class="lv-panel-bar">
      <Choice
        field={view.history}
        label="The distribution over the steps"
        testid="history"
        options={{ ridges: "ridges", heat: "heat map", bands: "quantiles" }}
      />
      <Choice field={view.values} label="Value axis" testid="value-axis" options={VALUE_SPACINGS} />
      {view.history.value !== "ridges" && (
        <Choice
          field={view.counts}
          label="Axis of the histogram's counts"
          testid="count-axis"
          options={{ linear: "linear counts", log: "log counts" }}
        />
      )}
      <button
        type="button"
        class="lv-small-button"
        data-testid="pin-step"
        disabled={now === undefined || steps[ghostIndex] === now}
        title="Keep this step's histogram as an outline to compare other steps with"
        onClick={() => {
          view.ghost.value = now;
        }}
      >
        Pin this step
      </button>
      {view.ghost.value !== null && (
        <button
          type="button"
          class="lv-small-button"
          data-testid="unpin-step"
          title="Compare with the first step again"
          onClick={() => {
            view.ghost.value = null;
          }}
        >
          Unpin step {formatCount(view.ghost.value)}
        </button>
      )}
      {children}
    </div>
  );
}
