import { wordsWithSource } from "../data/source.js";
import { formatCount } from "../kit/format.js";
import { CoursePlot } from "./CoursePlot.jsx";
import { RuleThresholds } from "./Thresholds.jsx";
import { measureInWords, numbersOf, ruleInWords } from "./words.js";

/** @typedef {import("../kit/core.js").Core} Core */
/** @typedef {import("./state.js").Findings} Findings */
/** @typedef {import("../data/run.js").Run} Run */
/** @typedef {import("./findings.js").Finding} Finding */

/**
 * Why it is a finding: what was measured, over all steps, against which threshold; and what people do about it.
 * @param {{core: Core, findings: Findings, run: Run}} props
 */
export function FindingEvidence({ core, findings, run }) {
  const chosen = findings.chosen.value;
  if (!chosen) return null;
  const { finding } = chosen;
  const rule = findings.found.value.rules.find(({ name }) => name === chosen.rule);
  return (
    <article class="lv-evidence" aria-label="Evidence" data-testid="evidence" data-key={chosen.key}>
      <header>
        {finding ? (
          <p data-testid="evidence-words">
            <b>
              {finding.severity === "error" ? "Error" : "Warning"} {finding.since}
            </b>
            : {wordsWithSource(run.info, finding)}. {lastedInWords(finding, run)}
          </p>
        ) : (
          <p data-testid="evidence-words">
            <b>Not found:</b> with these thresholds {ruleInWords(chosen.rule)} is not found at{" "}
            {chosen.tensor === null
              ? measureInWords(chosen.scalar ?? "")
              : nameOf(chosen.tensor, run)}
            .
          </p>
        )}
        {finding && <ReplayButton findings={findings} finding={finding} />}
      </header>
      <div class="lv-evidence-body">
        <div class="lv-evidence-plot">
          <Plot core={core} course={findings.course.value} finding={finding} />
          {finding && (
            <dl class="lv-evidence-numbers" aria-label="Measured at its first step">
              {numbersOf(finding, rule).map(({ label, text }) => (
                <div key={label}>
                  <dt>{label}</dt>
                  <dd>{text}</dd>
                </div>
              ))}
            </dl>
          )}
        </div>
        {rule && (
          <div class="lv-evidence-advice">
            <h3>What it usually means, and what people do</h3>
            <p>{rule.advice}</p>
            <h3>When it is found</h3>
            <RuleThresholds view={core.view} findings={findings} rule={rule} />
          </div>
        )}
      </div>
    </article>
  );
}

/** @param {{core: Core, course: import("./course.js").CourseState, finding: Finding | null}} props */
function Plot({ core, course, finding }) {
  if (course.status === "ready") {
    return (
      <>
        <CoursePlot core={core} course={course.value} finding={finding} />
        {finding && finding.replay?.step === finding.first && !course.value.held.includes(true) && (
          <p class="lv-caption" data-testid="replay-only">
            The curve is of the probe, which does not show it: the replay does.
          </p>
        )}
      </>
    );
  }
  if (course.status === "error") {
    return (
      <p class="lv-error" role="alert">
        Its course over the steps could not be read: {course.message}
      </p>
    );
  }
  return (
    <p class="lv-caption" role="status">
      {course.status === "loading"
        ? "Loading its course over the steps…"
        : "It is of several tensors: those listed below it have a course each."}
    </p>
  );
}

/**
 * @param {Finding} finding
 * @param {Run} run
 */
function lastedInWords({ first, last, replay }, { history }) {
  if (replay?.step === first)
    return "Seen when the batch of that step was run again on the weights before it.";
  if (last === history.steps.at(-1)) return "It is so to the last logged step.";
  return first === last ? "Only there." : `Last at step ${formatCount(last)}.`;
}

/**
 * @param {number} tensor
 * @param {Run} run
 */
function nameOf(tensor, { info }) {
  const of = info.tensors[tensor];
  return of ? `${of.kind} '${of.name}' of layer '${info.layers[of.layer].path}'` : "that tensor";
}

/** @param {{findings: Findings, finding: Finding}} props */
export function ReplayButton({ findings, finding }) {
  if (!finding.replay) return null;
  const { run, step } = finding.replay;
  return (
    <button
      type="button"
      class="lv-button"
      data-testid="show-replay"
      title={`The batch of step ${formatCount(step)}, run again on the weights before it: run ${run}`}
      onClick={() => findings.showReplay(finding)}
    >
      See the batch that broke it
    </button>
  );
}
