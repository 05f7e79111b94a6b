import { sourceOf } from "../data/source.js";
import { formatCount } from "../kit/format.js";
import { FindingEvidence, ReplayButton } from "./FindingEvidence.jsx";
import { FindingList } from "./FindingList.jsx";
import { FindingButtons } from "./FindingButtons.jsx";
import { AllThresholds } from "./Thresholds.jsx";
import { causes, changeOf, effectOf, keyOf } from "./findings.js";
import { causesInWords, changeInWords, SIGNS } from "./words.js";

/** @typedef {import("../kit/core.js").Core} Core */
/** @typedef {import("./state.js").Findings} Findings */

/**
 * What went wrong first, in a line, with the way to it; and all that was found below it.
 * @param {{core: Core, findings: Findings, children: import("preact").ComponentChildren}} props `children` stand at the end of
 *   the line
 */
export function FindingsBar({ core, findings: state, children }) {
  const run = core.current.value;
  const { findings, status, problem } = state.found.value;
  const { why, thresholds } = core.view;
  if (!run || status === "none") return null;
  if (status === "error") {
    return (
      <p class="lv-findings lv-findings-none" role="alert">
        Whether something is wrong could not be found out: {problem}
        {thresholds.value.length > 0 && <PutBack view={core.view} />}
      </p>
    );
  }
  const [lead] = findings;
  const led = effectOf(findings, lead);
  const severity = led ? led.severity : lead?.severity;
  const others = causes(findings).length - 1;
  const open = why.value !== "";
  // Where nothing is found, the rules have all the room.
  const isList = findings.length > 0 || state.chosen.value !== null;
  return (
    <section class="lv-findings" aria-label="Findings" data-testid="findings">
      <div class={`lv-findings-line${severity ? ` lv-finding-${severity}` : ""}`}>
        <b
          class={severity ? "lv-finding-sign" : "lv-no-finding-sign"}
          role="img"
          aria-label={severity ?? "healthy"}
        >
          {severity ? SIGNS[severity] : "✓"}
        </b>
        <Line findings={findings} run={run} open={open} />
        {lead && (
          <button
            type="button"
            class="lv-button"
            data-testid="show-finding"
            title="Go to the step and the layer where it began"
            onClick={() => state.show(lead)}
          >
            Show
          </button>
        )}
        <FindingButtons findings={state} step={core.step.value} />
        {lead && !open && <ReplayButton findings={state} finding={led?.replay ? led : lead} />}
        <button
          type="button"
          class="lv-button"
          data-testid="all-findings"
          aria-expanded={open}
          onClick={() => {
            why.value = open ? "" : lead ? keyOf(lead) : "rules";
          }}
        >
          {open ? "Close" : lead ? (others > 0 ? `Why, and ${others} more` : "Why") : "Rules"}
        </button>
        <Change core={core} findings={state} />
        {children}
      </div>
      {problem && (
        <p class="lv-findings-problem lv-error" role="alert">
          {problem}
        </p>
      )}
      {open && (
        <div class={`lv-findings-panel${isList ? " lv-findings-two" : ""}`}>
          {isList && <FindingList core={core} findings={state} run={run} />}
          {state.chosen.value ? (
            <FindingEvidence core={core} findings={state} run={run} />
          ) : (
            <AllThresholds view={core.view} findings={state} />
          )}
        </div>
      )}
    </section>
  );
}

/**
 * The first cause in words; while the panel is open, which says that too, what all of them come down to.
 * @param {{findings: import("./findings.js").Finding[], run: import("../data/run.js").Run, open: boolean}} props
 */
function Line({ findings, run, open }) {
  const [lead] = findings;
  const led = effectOf(findings, lead);
  const searched = `${formatCount(run.info.tensors.length)} tensors × ${formatCount(run.history.steps.length)} steps`;
  if (!lead) {
    const layers = new Set(run.info.tensors.map(({ layer }) => layer)).size;
    return (
      <p data-testid="nothing-found" title={`Searched: ${searched}.`}>
        <b>
          No problems in {formatCount(layers)} {layers === 1 ? "layer" : "layers"}
        </b>
        , {formatCount(run.history.steps.length)} logged{" "}
        {run.history.steps.length === 1 ? "step" : "steps"}.
      </p>
    );
  }
  if (open) {
    return (
      <p data-testid="findings-summary">
        <b>{causesInWords(findings)}</b>, in {searched}.
      </p>
    );
  }
  const source = sourceOf(run.info, lead.tensor);
  return (
    <p
      data-testid="lead-finding"
      title={[lead, led].flatMap((of) => (of ? [`${of.since}: ${of.words}.`] : [])).join("\n")}
    >
      <b>{lead.headline}</b>
      {source && <span class="lv-caption"> ({source.text})</span>}
      {led && <>, which led to: {led.headline}</>}
    </p>
  );
}

/**
 * What the thresholds that a person has moved change, as soon as it is known.
 * @param {{core: Core, findings: Findings}} props
 */
function Change({ core, findings: state }) {
  const { findings, usual } = state.found.value;
  return (
    <span class="lv-findings-change" role="status" data-testid="threshold-change">
      {usual && (
        <>
          {changeInWords(changeOf(usual, findings))} <PutBack view={core.view} />
        </>
      )}
    </span>
  );
}

/** @param {{view: Core["view"]}} props */
function PutBack({ view }) {
  return (
    <button
      type="button"
      class="lv-link"
      data-testid="put-back"
      onClick={() => {
        view.thresholds.value = [];
      }}
    >
      Put the thresholds back
    </button>
  );
}
