import { partnersOf, tensorTitle } from "../data/matching.js";
import { statisticOf } from "../data/statistics.js";
import { StepField } from "../kit/StepField.jsx";
import { formatCount } from "../kit/format.js";
import {
  DIFFERENCE_TRANSFORM,
  differenceScaleInWords,
  thresholdInWords,
} from "../map/difference.js";
import { inputsDiffer } from "./same_start.js";

/** @typedef {import("../kit/core.js").Core} Core */
/** @typedef {import("./comparison.js").Comparison} Comparison */
/** @typedef {import("../data/run.js").Run} Run */

const DIFFERENT_INPUTS = "different inputs: compare distributions";

/** @param {string} run */
const runLabel = (run) => (run === "." ? "(log folder)" : run);

/**
 * With what the run is compared: another run, or another step of the same one.
 * @param {{core: Core, comparison: Comparison}} props
 */
export function ComparePicker({ core, comparison }) {
  const { view, runs } = core;
  const against = view.against.value;
  const { suggested, others } = partnersOf(
    runs.value.status === "ready" ? runs.value.value : [],
    view.run.value,
  );
  const missing = against && runs.value.status === "ready" && !comparison.listed.value;
  return (
    <span class="lv-compare-picker">
      <select
        data-testid="compare-picker"
        aria-label="Compare with"
        title="Compare with another run, or with another step of this one"
        value={against}
        onChange={(event) => comparison.compareWith(event.currentTarget.value)}
      >
        {!against && <option value="">+ compare</option>}
        <option value={view.run.value}>this run, another step</option>
        {missing && <option value={against}>{runLabel(against)} (missing)</option>}
        {suggested.length > 0 && (
          <optgroup label="The same model">
            {suggested.map((run) => (
              <option key={run} value={run}>
                {runLabel(run)} ({DIFFERENT_INPUTS})
              </option>
            ))}
          </optgroup>
        )}
        {others.length > 0 && (
          <optgroup label="Other runs">
            {others.map((run) => (
              <option key={run} value={run}>
                {runLabel(run)}
              </option>
            ))}
          </optgroup>
        )}
      </select>
      {against && (
        <button
          type="button"
          class="lv-icon-button"
          data-testid="compare-end"
          aria-label="Compare no more"
          title="Compare no more"
          onClick={() => comparison.compareWith("")}
        >
          ✕
        </button>
      )}
    </span>
  );
}

/**
 * What is compared with what, how, and what of it does not compare.
 * @param {{core: Core, comparison: Comparison}} props
 */
export function CompareBar({ core, comparison }) {
  const { view } = core;
  if (!comparison.on.value) return null;
  const [a, b] = [core.current.value, comparison.current.value];
  return (
    <section class="lv-compare" aria-label="Comparison" data-testid="compare-bar">
      <Sides core={core} comparison={comparison} />
      {a && b && comparison.matching.value?.pairs.length ? (
        !core.onNetwork.value && <Choices core={core} comparison={comparison} />
      ) : (
        <p class="lv-compare-state" role="status" data-testid="compare-state">
          {stateInWords(core, comparison)}
        </p>
      )}
      {a && b && <Facts core={core} comparison={comparison} a={a} b={b} />}
      {view.against.value && !comparison.listed.value && b && (
        <p class="lv-compare-fact" role="alert">
          TensorBoard no longer has the run “{view.against.value}”. What you see of B was read
          before.
        </p>
      )}
    </section>
  );
}

/**
 * Why nothing is compared, and what to do.
 * @param {Core} core
 * @param {Comparison} comparison
 */
function stateInWords({ view, runs, current }, comparison) {
  const name = runLabel(view.against.value);
  const b = comparison.run.value;
  if (!comparison.current.value && runs.value.status === "ready" && !comparison.listed.value) {
    return (
      `TensorBoard has no run “${name}”: it was removed or renamed, or is not written yet. ` +
      "Choose another one. If it appears, it is compared by itself."
    );
  }
  if (b.status === "error") {
    return `Run “${name}” could not be read: ${b.message} It is tried again when TensorBoard answers.`;
  }
  if (b.status === "loading" || !current.value) return `Loading ${name}…`;
  if (!b.value.history.steps.length) {
    return `No step of “${name}” is logged yet. The first one is compared by itself.`;
  }
  return (
    `“${name}” has no tensor in common with this run: none has the same layer path, kind, name and call. ` +
    "Choose a run of a model with the same layer names."
  );
}

/** @param {{core: Core, comparison: Comparison}} props */
function Sides({ core, comparison }) {
  const { view } = core;
  const { steps } = comparison;
  const shown = steps.value[comparison.stepIndex.value];
  const own = core.step.value;
  const ownStep = own !== undefined && <span class="lv-caption"> step {formatCount(own)}</span>;
  const sameRun = comparison.sameRun.value;
  return (
    <div class="lv-compare-sides">
      <span>
        <b class="lv-side">A</b> {!sameRun && runLabel(view.run.value)}
        {!sameRun && ownStep}
      </span>
      {sameRun && shown !== undefined && (
        <StepField
          caption="step"
          label="Step of A; the nearest logged one is taken"
          testId="compare-step"
          steps={steps.value}
          index={() => comparison.stepIndex.value}
          onIndex={(index) => {
            view.againstStep.value = steps.value[index] ?? null;
          }}
        />
      )}
      <button
        type="button"
        class="lv-icon-button"
        data-testid="compare-swap"
        aria-label="Swap A and B"
        title="Swap A and B"
        disabled={!comparison.current.value}
        onClick={() => comparison.swap()}
      >
        ⇄
      </button>
      <b class="lv-side lv-side-b">B</b>
      {sameRun && ownStep}
      <ComparePicker core={core} comparison={comparison} />
      {!sameRun && shown !== undefined && (
        <span class={shown === own ? "lv-caption" : "lv-other-step"} data-testid="compare-step-b">
          step {formatCount(shown)}
          {own !== undefined && shown < own && ", B's latest up to A's"}
          {own !== undefined && shown > own && ", B's first: none is earlier"}
        </span>
      )}
    </div>
  );
}

/** @param {{core: Core, comparison: Comparison}} props */
function Choices({ core, comparison }) {
  const { view } = core;
  const { scale } = statisticOf(view.statistic.value, core.kinds.value[0]);
  const isDifference = view.compareMap.value === "difference";
  return (
    <div class="lv-compare-choices">
      <label class="lv-select">
        <span class="lv-caption">Map</span>
        <select
          data-testid="compare-map"
          aria-label="What the map shows"
          value={view.compareMap.value}
          onChange={(event) => {
            view.compareMap.value = event.currentTarget.value;
          }}
        >
          <option value="difference">
            {scale === "signed" || scale === "share" ? "B − A" : "log2(B / A)"}
          </option>
          <option value="run">{comparison.sameRun.value ? "the run itself" : "A alone"}</option>
        </select>
      </label>
      {isDifference && (
        <span class="lv-caption" data-testid="compare-threshold">
          {comparison.sameRun.value ? "Rows part" : "Runs part"} where {thresholdInWords(scale)}.{" "}
          <span data-testid="compare-scale">
            {differenceScaleInWords(
              /** @type {import("../kit/colour.js").MapTransform} */ (
                view.transform.value || DIFFERENCE_TRANSFORM
              ),
              view.rowScales.value,
            )}
          </span>
        </span>
      )}
    </div>
  );
}

/**
 * What does not compare, each with its names.
 * @param {{core: Core, comparison: Comparison, a: Run, b: Run}} props
 */
function Facts({ core, comparison, a, b }) {
  const matching = comparison.matching.value;
  if (!matching) return null;
  const selected = a.info.tensors[core.tensor.value];
  const alone = matching.pairs.length > 0 && selected && comparison.tensor.value < 0;
  const [lastA, lastB] = [a, b].map(({ history }) => history.steps.at(-1) ?? 0);
  const ended =
    comparison.fixed.value < 0 && lastB < lastA && comparison.matched.value.at(-1) === -1;
  const inputs = comparison.sameRun.value ? "" : inputsDiffer(a.info, b.info);
  const lists = /** @type {[string, string[], string][]} */ ([
    ["without a partner in B", matching.onlyA, "only-a"],
    ["only in B", matching.onlyB, "only-b"],
    ["of other shapes: their statistics compare, pictures do not", matching.reshaped, "reshaped"],
  ]);
  return (
    <>
      {inputs && (
        <p class="lv-compare-fact" data-testid="compare-inputs">
          {inputs}
        </p>
      )}
      {alone && (
        <p class="lv-compare-fact" role="status" data-testid="compare-alone">
          <b>B has no {tensorTitle(a.info, selected)}.</b> Of this one A alone is shown.
        </p>
      )}
      {ended && (
        <p class="lv-compare-fact" data-testid="compare-ended">
          B ends at step {formatCount(lastB)}: later steps of A are not compared.
        </p>
      )}
      {lists.map(
        ([what, names, id]) =>
          names.length > 0 && (
            <details key={id} class="lv-compare-fact" data-testid={`compare-${id}`}>
              <summary>
                {formatCount(names.length)} {what}: {names.slice(0, 2).join(", ")}
                {names.length > 2 && ", …"}
              </summary>
              <ul>
                {names.map((name) => (
                  <li key={name}>{name}</li>
                ))}
              </ul>
            </details>
          ),
      )}
    </>
  );
}
