import { useSignal } from "@preact/signals";
import { useState } from "preact/hooks";

import { causes, withThreshold } from "../findings.js";
import { formatCount, formatValue } from "../format.js";

/** @typedef {import("../store.js").Store} Store */
/** @typedef {import("../findings.js").Finding} Finding */
/** @typedef {import("../api.js").Rule} Rule */

const SIGNS = { error: "✖", warning: "▲" };

/**
 * What went wrong first, in a line, with the way to it; and all that was found below it.
 * @param {{store: Store}} props
 */
export function FindingsBar({ store }) {
  const [open, setOpen] = useState(false);
  const run = store.current.value;
  const { findings, status, problem } = store.found.value;
  if (!run || status === "none") return null;
  if (status === "error" || problem) {
    return (
      <p class="lv-findings lv-findings-none" role="alert">
        Whether something is wrong could not be found out: {problem}
      </p>
    );
  }
  const lead = findings[0];
  const others = causes(findings).length - 1;
  return (
    <section class="lv-findings" aria-label="Findings" data-testid="findings">
      <div class={`lv-findings-line${lead ? ` lv-finding-${lead.severity}` : ""}`}>
        {lead ? (
          <>
            <b class="lv-finding-sign" aria-hidden="true">
              {SIGNS[lead.severity]}
            </b>
            <p data-testid="lead-finding">
              <b>
                {lead.severity === "error" ? "Error" : "Warning"} {lead.since}
              </b>
              : {lead.words}.
            </p>
            <button
              type="button"
              class="lv-button"
              data-testid="show-finding"
              onClick={() => store.showFinding(lead)}
            >
              Show
            </button>
          </>
        ) : (
          <p data-testid="nothing-found">
            Nothing found in {formatCount(run.info.tensors.length)} tensors ×{" "}
            {formatCount(run.history.steps.length)} steps.
          </p>
        )}
        <button
          type="button"
          class="lv-button"
          data-testid="all-findings"
          aria-expanded={open}
          onClick={() => setOpen(!open)}
        >
          {open ? "Close" : lead ? (others > 0 ? `Why, and ${others} more` : "Why") : "Rules"}
        </button>
      </div>
      {open && <AllFindings store={store} />}
    </section>
  );
}

/** @param {{store: Store}} props */
function AllFindings({ store }) {
  const { findings, rules } = store.found.value;
  const found = findings.map((finding, index) => ({ finding, index }));
  const byRule = new Map(rules.map((rule) => [rule.name, rule]));
  return (
    <div class="lv-findings-panel">
      <ol class="lv-findings-list">
        {found
          .filter(({ finding }) => finding.follows === null)
          .map(({ finding, index }) => (
            <Cause
              key={index}
              store={store}
              finding={finding}
              following={findings.filter(({ follows }) => follows === index)}
              rule={byRule.get(finding.rule)}
            />
          ))}
      </ol>
      <Thresholds store={store} rules={rules} />
    </div>
  );
}

/**
 * @param {object} props
 * @param {Store} props.store
 * @param {Finding} props.finding
 * @param {Finding[]} props.following what follows from it
 * @param {Rule | undefined} props.rule
 */
function Cause({ store, finding, following, rule }) {
  return (
    <li class={`lv-finding-${finding.severity}`}>
      <p>
        <b class="lv-finding-sign" aria-hidden="true">
          {SIGNS[finding.severity]}
        </b>{" "}
        <FindingLink store={store} finding={finding} />{" "}
        <span class="lv-caption">
          {finding.rule.replaceAll("_", " ")} ·{" "}
          {Object.entries(finding.measured)
            .filter(([, value]) => value !== 0)
            .map(([name, value]) => `${name.replaceAll("_", " ")} ${formatValue(value)}`)
            .join(" · ")}
        </span>
      </p>
      {rule && <p class="lv-finding-advice">{rule.advice}</p>}
      {following.length > 0 && (
        <details>
          <summary>{formatCount(following.length)} more follow from it</summary>
          <ul>
            {following.slice(0, 200).map((other) => (
              <li key={`${other.rule} ${other.tensor}`}>
                <FindingLink store={store} finding={other} />
              </li>
            ))}
          </ul>
          {following.length > 200 && <p>and {formatCount(following.length - 200)} more.</p>}
        </details>
      )}
    </li>
  );
}

/** @param {{store: Store, finding: Finding}} props */
function FindingLink({ store, finding }) {
  return (
    <button type="button" class="lv-link" onClick={() => store.showFinding(finding)}>
      {finding.since}: {finding.words}
    </button>
  );
}

/** @param {{store: Store, rules: Rule[]}} props */
function Thresholds({ store, rules }) {
  const moved = store.view.thresholds.value;
  const invalid = useSignal("");
  /** @param {string} name @param {string} text */
  const move = (name, text) => {
    const value = text.trim();
    if (value !== "" && !(Number(value) >= 0)) {
      invalid.value = `“${text}” is no threshold: give a number from 0 on, or nothing for the usual one.`;
      return;
    }
    invalid.value = "";
    store.view.thresholds.value = withThreshold(moved, name, value);
  };
  return (
    <details class="lv-thresholds" open={moved.length > 0}>
      <summary>Rules and thresholds{moved.length > 0 && `, ${moved.length} moved`}</summary>
      {invalid.value && (
        <p class="lv-error" role="alert">
          {invalid.value}
        </p>
      )}
      <div class="lv-rules">
        {rules.map((rule) => (
          <fieldset key={rule.name}>
            <legend title={rule.advice}>{rule.name.replaceAll("_", " ")}</legend>
            {Object.entries(rule.thresholds).map(([threshold, value]) => (
              <label key={threshold}>
                {threshold.replaceAll("_", " ")}
                <input
                  type="text"
                  inputMode="decimal"
                  value={String(value)}
                  data-testid={`threshold-${rule.name}.${threshold}`}
                  onChange={(event) => move(`${rule.name}.${threshold}`, event.currentTarget.value)}
                />
              </label>
            ))}
          </fieldset>
        ))}
      </div>
      {moved.length > 0 && (
        <button
          type="button"
          class="lv-button"
          onClick={() => {
            store.view.thresholds.value = [];
          }}
        >
          Put all back
        </button>
      )}
    </details>
  );
}
