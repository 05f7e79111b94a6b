import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { formatValue } from "../kit/format.js";
import { withThreshold } from "./findings.js";
import { PLACES, placeOf, valueAt } from "./thresholds.js";
import { ruleInWords, SIGNS } from "./words.js";

/** @typedef {import("../kit/view.js").View} View */
/** @typedef {import("./state.js").Findings} Findings */
/** @typedef {import("../data/types.js").Rule} Rule */

/** So long a slider has to rest before the rules look again. */
const REST_MILLISECONDS = 200;

/**
 * All rules, each with what it can be told.
 * @param {{view: View, findings: Findings}} props
 */
export function AllThresholds({ view, findings }) {
  return (
    <article class="lv-evidence" aria-label="Rules and thresholds" data-testid="all-rules">
      <div class="lv-rules">
        {findings.found.value.rules.map((rule) => (
          <fieldset key={rule.name} class={`lv-finding-${rule.severity}`}>
            <legend title={rule.advice}>
              <b class="lv-finding-sign" role="img" aria-label={rule.severity}>
                {SIGNS[rule.severity]}
              </b>{" "}
              {ruleInWords(rule.name)}
            </legend>
            <RuleThresholds view={view} findings={findings} rule={rule} />
          </fieldset>
        ))}
      </div>
    </article>
  );
}

/** @param {{view: View, findings: Findings, rule: Rule}} props */
export function RuleThresholds({ view, findings, rule }) {
  return (
    <div class="lv-thresholds">
      {Object.entries(rule.thresholds).map(([threshold, value]) => (
        <Threshold
          key={`${rule.name}.${threshold}`}
          view={view}
          findings={findings}
          name={`${rule.name}.${threshold}`}
          label={rule.labels[threshold]}
          value={value}
          usual={rule.defaults[threshold]}
        />
      ))}
    </div>
  );
}

/**
 * As a person types it, short enough for its field: 1e-6 and not 0.000001, 3.162 and not 3.1622776601683795.
 * @param {number} value
 */
const typedText = (value) => {
  if (value > 0 && value < 1e-3) return value.toExponential();
  return String(value > 0.99 && value < 1 ? value : Number(value.toPrecision(4)));
};

/**
 * One threshold: moved by its slider or typed, and put back.
 * @param {object} props
 * @param {View} props.view
 * @param {Findings} props.findings
 * @param {string} props.name `rule.threshold`
 * @param {string} props.label
 * @param {number} props.value
 * @param {number} props.usual
 */
function Threshold({ view, findings, name, label, value, usual }) {
  const { thresholds, why } = view;
  /** What is on the slider but not yet asked for. */
  const pending = useSignal(/** @type {number | null} */ (null));
  const invalid = useSignal("");
  const timer = useRef(0);
  const asked = thresholds.value.find((moved) => moved.startsWith(`${name}:`));
  const shown = pending.value ?? (asked ? Number(asked.slice(name.length + 1)) : value);
  useEffect(() => () => clearTimeout(timer.current), []);
  // What was put back elsewhere is put back here.
  useEffect(() => {
    pending.value = null;
    clearTimeout(timer.current);
  }, [asked]);
  /** @param {string} text */
  const move = (text) => {
    clearTimeout(timer.current);
    pending.value = null;
    const given = text.trim();
    if (given !== "" && !(Number(given) >= 0 && Number.isFinite(Number(given)))) {
      invalid.value = `“${text}” is no threshold: give a number from 0 on, or nothing for the usual one.`;
      return;
    }
    invalid.value = "";
    // What is looked at stays, even if it is no longer what comes first, or not found at all.
    if (why.value === "lead") why.value = findings.chosen.value?.key ?? "rules";
    const isUsual = given === "" || Number(given) === usual;
    thresholds.value = withThreshold(thresholds.value, name, isUsual ? "" : given);
  };
  const threshold = name.slice(name.indexOf(".") + 1);
  const isMoved = shown !== usual;
  return (
    <div class="lv-threshold">
      <label for={`lv-threshold-${name}`}>{label}</label>
      <input
        type="range"
        class="lv-slider"
        min={0}
        max={PLACES}
        value={placeOf(threshold, usual, shown)}
        aria-label={label}
        aria-valuetext={formatValue(shown)}
        data-testid={`slider-${name}`}
        style={{ "--lv-filled": `${(100 * placeOf(threshold, usual, shown)) / PLACES}%` }}
        // Arrows, Home and End move this slider, and not the step.
        onKeyDown={(event) => event.key.length > 1 && event.stopPropagation()}
        onInput={(event) => {
          const to = valueAt(threshold, usual, Number(event.currentTarget.value));
          pending.value = to;
          clearTimeout(timer.current);
          timer.current = window.setTimeout(() => move(String(to)), REST_MILLISECONDS);
        }}
      />
      <input
        id={`lv-threshold-${name}`}
        type="text"
        inputMode="decimal"
        value={typedText(shown)}
        aria-invalid={invalid.value !== ""}
        data-testid={`threshold-${name}`}
        onChange={(event) => move(event.currentTarget.value)}
      />
      <button
        type="button"
        class="lv-link"
        disabled={!isMoved}
        aria-label={`usual ${formatValue(usual)}: put ${label} back`}
        data-testid={`reset-${name}`}
        onClick={() => move("")}
      >
        usual {formatValue(usual)}
      </button>
      {invalid.value && (
        <p class="lv-error" role="alert">
          {invalid.value}
        </p>
      )}
    </div>
  );
}
