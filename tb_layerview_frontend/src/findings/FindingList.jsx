import { KINDS } from "../data/selection.js";
import { formatCount } from "../kit/format.js";
import { causesByRule, effectOf, keyOf } from "./findings.js";
import { countsInWords, ruleInWords, SIGNS } from "./words.js";

/** @typedef {import("./state.js").Findings} Findings */
/** @typedef {import("../data/run.js").Run} Run */
/** @typedef {import("./findings.js").Finding} Finding */
/** @typedef {import("./findings.js").Cause} Cause */

/** More than these nobody reads: the map shows where they are. */
const MOST = 200;

/**
 * Causes, the first one first, each with what follows from it.
 * @param {{core: import("../kit/core.js").Core, findings: Findings, run: Run}} props
 */
export function FindingList({ core, findings: state, run }) {
  const { findings } = state.found.value;
  const { why, thresholds } = core.view;
  const groups = causesByRule(findings);
  return (
    <nav class="lv-finding-list" aria-label="Findings by cause" data-testid="finding-list">
      {groups.map(([cause, ...alike], i) => (
        <section key={keyOf(cause.finding)}>
          {i < 2 && <h3>{headOf(cause, i === 0)}</h3>}
          {i === 1 && hasEarlierWarning(groups) && (
            <p class="lv-caption" data-testid="why-not-first">
              What leads to an error stands first. A warning here that began earlier does not
              explain it.
            </p>
          )}
          <ul>
            <CauseItem findings={state} run={run} cause={cause} />
            {alike.length > 0 && (
              <li>
                <details>
                  <summary>
                    {formatCount(alike.length)} more: {ruleInWords(cause.finding.rule)}
                  </summary>
                  <ul>
                    {alike.slice(0, MOST).map((other) => (
                      <CauseItem
                        key={keyOf(other.finding)}
                        findings={state}
                        run={run}
                        cause={other}
                      />
                    ))}
                    <Rest count={alike.length - MOST} />
                  </ul>
                </details>
              </li>
            )}
          </ul>
        </section>
      ))}
      <button
        type="button"
        class="lv-finding-row"
        aria-pressed={!state.chosen.value}
        data-testid="rules"
        onClick={() => {
          why.value = "rules";
        }}
      >
        Rules and thresholds
        {thresholds.value.length > 0 && `, ${thresholds.value.length} moved`}
      </button>
    </nav>
  );
}

/**
 * @param {Cause} cause
 * @param {boolean} first
 */
function headOf({ finding, following }, first) {
  const leads = [finding, ...following].some(({ severity }) => severity === "error");
  if (first) return leads ? "First cause" : "First warning";
  return leads ? "Other causes" : "Other warnings";
}

/** @param {Cause[][]} groups by rule, each from its first step on */
function hasEarlierWarning([[{ finding: lead }], ...others]) {
  return others.some(
    ([{ finding }]) => finding.severity === "warning" && finding.first < lead.first,
  );
}

/** @param {{findings: Findings, run: Run, cause: Cause}} props */
function CauseItem({ findings, run, cause: { finding, following } }) {
  const led = effectOf(findings.found.value.findings, finding);
  const others = following.filter((other) => other !== led);
  return (
    <li>
      <FindingRow findings={findings} run={run} finding={finding} />
      {led && (
        <div class="lv-finding-led" data-testid="led-to">
          <p class="lv-caption">which led to</p>
          <FindingRow findings={findings} run={run} finding={led} />
        </div>
      )}
      {others.length > 0 && (
        <details>
          <summary data-testid="following">
            {formatCount(others.length)}
            {led ? " more" : ""} follow{others.length === 1 ? "s" : ""} from it:{" "}
            {countsInWords(others)}
          </summary>
          <ul>
            {others.slice(0, MOST).map((other) => (
              <li key={keyOf(other)}>
                <FindingRow findings={findings} run={run} finding={other} />
              </li>
            ))}
            <Rest count={others.length - MOST} />
          </ul>
        </details>
      )}
    </li>
  );
}

/** @param {{count: number}} props */
function Rest({ count }) {
  return count > 0 ? <li class="lv-caption">and {formatCount(count)} more.</li> : null;
}

/**
 * A finding in short; choosing it goes there and shows its evidence.
 * @param {{findings: Findings, run: Run, finding: Finding}} props
 */
function FindingRow({ findings, run, finding }) {
  const key = keyOf(finding);
  const [where, what] = placeOf(finding, run);
  return (
    <button
      type="button"
      class={`lv-finding-row lv-finding-${finding.severity}`}
      aria-pressed={findings.chosen.value?.key === key}
      title={`${finding.since}: ${finding.words}`}
      data-testid="finding"
      data-key={key}
      onClick={() => findings.show(finding)}
    >
      <b class="lv-finding-sign" role="img" aria-label={finding.severity}>
        {SIGNS[finding.severity]}
      </b>
      <span class="lv-finding-where">{where}</span>
      <span class="lv-caption">
        {[what, ruleInWords(finding.rule), shortSince(finding)].filter(Boolean).join(" · ")}
      </span>
    </button>
  );
}

/**
 * @param {Finding} finding
 * @param {Run} run
 * @returns {[string, string]} the layer, and which tensor of it
 */
function placeOf({ tensor, measured }, { info }) {
  const of = tensor === null ? undefined : info.tensors[tensor];
  if (!of) {
    const [name] = Object.keys(measured);
    return name === "non_finite" ? ["several layers", "weight"] : [name.replaceAll("_", " "), ""];
  }
  const singular = KINDS.find(({ kind }) => kind === of.kind)?.singular;
  return [
    info.layers[of.layer].path,
    `${singular} ${of.name}${of.call ? `, call ${of.call}` : ""}`,
  ];
}

/** @param {Finding} finding */
function shortSince({ first, before }) {
  if (before === null) return `from step ${formatCount(first)}, the first`;
  return first - before === 1
    ? `from step ${formatCount(first)}`
    : `from step ${formatCount(before + 1)} to ${formatCount(first)} on`;
}
