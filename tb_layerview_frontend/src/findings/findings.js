/** What the rules of health found in a run, and where to look at it. */

import { signal } from "@preact/signals";
import { group } from "d3-array";

import { RequestError } from "../data/requests.js";
import { fetchFindings } from "../data/routes.js";

/** @typedef {import("../data/types.js").Finding} Finding */
/** @typedef {import("../data/types.js").Findings} Findings */

/**
 * What was found, and of which reading of which run.
 * @typedef {object} Found
 * @property {Finding[]} findings in the order of their causes
 * @property {import("../data/types.js").Rule[]} rules
 * @property {Finding[] | null} usual what is found with the usual thresholds; null while none is moved
 * @property {"none" | "ready" | "error"} status `none`: nothing is known yet
 * @property {string} problem why it could not be read
 */

/** @type {Found} */
const NOTHING = { findings: [], rules: [], usual: null, status: "none", problem: "" };

/**
 * Asks for the findings of the shown run, again whenever it grows or a person moves a threshold.
 * @param {object} options
 * @param {import("../data/run_data.js").RunData} options.data
 * @param {() => string[]} options.thresholds reads signals: those that a person has moved
 * @param {import("@preact/signals").ReadonlySignal<number>} options.retries
 * @param {import("../data/tasks.js").Tasks} options.tasks
 */
export function createFindings({ data, thresholds, retries, tasks }) {
  const found = signal(NOTHING);
  /** What was read last: a run that has just been loaded need not be asked for twice. */
  let known = "";
  /** Of which run. */
  let of = "";
  /** What was found last with the usual thresholds: what a moved one changes is told against it. */
  let usual = { key: "", findings: /** @type {Finding[]} */ ([]) };

  /**
   * @param {string} name
   * @param {AbortSignal} abort
   * @returns {Promise<Finding[]>} those of the run as it is now
   */
  async function load(name, abort) {
    const moved = thresholds();
    try {
      const { findings, rules, generation, steps } = await fetchFindings(name, moved, abort);
      const key = keyOfReading({ name, generation, steps, moved: [] });
      if (usual.key !== key) {
        const others = moved.length ? (await fetchFindings(name, [], abort)).findings : findings;
        if (!abort.aborted) usual = { key, findings: others };
      }
      if (abort.aborted) return [];
      known = keyOfReading({ name, generation, steps, moved });
      of = name;
      const base = moved.length ? usual.findings : null;
      found.value = { findings, rules, usual: base, status: "ready", problem: "" };
      return findings;
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      // A threshold that the server does not take is moved back in the panel, which has to stay for that.
      found.value =
        of === name
          ? { ...found.value, problem: error.message }
          : { ...NOTHING, status: "error", problem: error.message };
      known = "";
      return [];
    }
  }

  tasks.onChange(
    () => ({
      name: data.current.value?.name ?? "",
      generation: data.generation.value,
      steps: data.steps.value.length,
      moved: thresholds(),
      retry: retries.value,
    }),
    async (what, abort) => {
      if (what.name && keyOfReading(what) !== known) await load(what.name, abort);
    },
    (problem) => {
      found.value = { ...found.value, problem };
    },
  );
  return { found, load };
}

/** @param {{name: string, generation: string, steps: number, moved: string[]}} of */
function keyOfReading({ name, generation, steps, moved }) {
  return JSON.stringify([name, generation, steps, moved]);
}

/**
 * Those that do not follow from another.
 * @param {Finding[]} findings
 */
export function causes(findings) {
  return findings.filter(({ follows }) => follows === null);
}

/**
 * The first error, of a tensor if any is.
 * @param {Finding[]} findings
 */
export function firstError(findings) {
  const errors = findings.filter(({ severity }) => severity === "error");
  return errors.find(({ tensor }) => tensor !== null) ?? errors[0];
}

/**
 * Of each warning that led to errors the first of these.
 * @param {Finding[]} findings
 * @returns {Map<number, Finding>} by the warning's index
 */
export function ledTo(findings) {
  /** @type {Map<number, Finding>} */
  const found = new Map();
  for (const [cause, following] of group(findings, ({ follows }) => follows)) {
    const led = firstError(following);
    if (led && cause !== null && findings[cause].severity === "warning") found.set(cause, led);
  }
  return found;
}

/**
 * What a person has to know of: those that do not follow from another, and the first error that a warning led to.
 * @param {Finding[]} findings
 */
export function heads(findings) {
  const led = ledTo(findings);
  return findings.filter(
    (finding) => finding.follows === null || led.get(finding.follows) === finding,
  );
}

/**
 * What is found of each tensor.
 * @param {Finding[]} findings
 * @returns {Map<number, Finding[]>}
 */
export function byTensor(findings) {
  /** @type {Map<number, Finding[]>} */
  const found = new Map();
  for (const finding of findings) {
    if (finding.tensor === null) continue;
    const own = found.get(finding.tensor);
    if (own) own.push(finding);
    else found.set(finding.tensor, [finding]);
  }
  return found;
}

/**
 * The worst one: an error before a warning, then the first.
 * @param {Finding[]} findings at least one
 */
export function worstFinding(findings) {
  return findings.reduce((worst, other) => {
    if (other.severity !== worst.severity) return other.severity === "error" ? other : worst;
    return other.first < worst.first ? other : worst;
  });
}

/**
 * The steps at which something begins, ascending, each once.
 * @param {Finding[]} findings
 * @returns {number[]}
 */
export function findingSteps(findings) {
  return [...new Set(findings.map(({ first }) => first))].sort((a, b) => a - b);
}

/**
 * The finding to go to next: the first one of the next step that has any, and after the last step again of the first.
 * @param {Finding[]} findings in the order of their causes
 * @param {number} step at which one stands
 * @param {1 | -1} direction
 * @returns {Finding | null} null if nothing is found
 */
export function nextFinding(findings, step, direction = 1) {
  const steps = findingSteps(findings);
  if (!steps.length) return null;
  const to =
    direction > 0
      ? (steps.find((other) => other > step) ?? steps[0])
      : (steps.filter((other) => other < step).at(-1) ?? steps[steps.length - 1]);
  return findings.find(({ first }) => first === to) ?? null;
}

/**
 * The thresholds with one of them moved, or put back.
 * @param {string[]} moved `rule.name:number`
 * @param {string} name `rule.name`
 * @param {string} value empty: as it is by default
 */
export function withThreshold(moved, name, value) {
  const others = moved.filter((given) => !given.startsWith(`${name}:`));
  return value === "" ? others : [...others, `${name}:${value}`];
}

/**
 * What says which finding it is, with other thresholds too: its rule, and its tensor or the scalar that it is of.
 * @param {Pick<Finding, "rule" | "tensor" | "measured">} finding
 */
export function keyOf({ rule, tensor, measured }) {
  return `${rule}:${tensor ?? Object.keys(measured)[0]}`;
}

/**
 * The rule and the tensor, or the scalar, that a finding's key names.
 * @param {string} key
 */
export function partsOfKey(key) {
  const at = key.indexOf(":");
  const place = key.slice(at + 1);
  const tensor = /^\d+$/.test(place) ? Number(place) : null;
  return { rule: key.slice(0, at), tensor, scalar: tensor === null ? place : null };
}

/**
 * How many findings moved thresholds add, and how many they take away.
 * @param {Finding[]} usual
 * @param {Finding[]} findings
 */
export function changeOf(usual, findings) {
  const [before, after] = [usual, findings].map((all) => new Set(all.map(keyOf)));
  return {
    more: [...after].filter((key) => !before.has(key)).length,
    fewer: [...before].filter((key) => !after.has(key)).length,
  };
}

/**
 * Causes in their order, those of one rule together, each with what follows from it.
 * @typedef {{finding: Finding, following: Finding[]}} Cause
 */

/**
 * @param {Finding[]} findings in the order of their causes
 * @returns {Cause[][]} by severity and rule, in the order of the first of each
 */
export function causesByRule(findings) {
  /** @type {Map<string, Cause[]>} */
  const groups = new Map();
  /** @type {Map<number, Cause>} */
  const known = new Map();
  findings.forEach((finding, index) => {
    const cause = { finding, following: [] };
    if (finding.follows !== null) {
      known.get(finding.follows)?.following.push(finding);
      return;
    }
    known.set(index, cause);
    const key = `${finding.severity} ${finding.rule}`;
    groups.set(key, [...(groups.get(key) ?? []), cause]);
  });
  return [...groups.values()];
}

/** Which panel shows what a rule finds: units where some of them are its matter, the distribution where all elements are. */
const PANELS = /** @type {Record<string, string>} */ ({
  silent_units: "units",
  dead_units: "units",
  alike_units: "units",
  vanishing_gradient: "distribution",
  exploding_gradient: "distribution",
  gradient_spike: "distribution",
  update_ratio: "distribution",
  update_spike: "distribution",
  small_update: "distribution",
  unmoved_weight: "distribution",
  saturated_activation: "distribution",
  depth_scale: "distribution",
});

/** @param {Finding} finding */
export function panelOf({ rule }) {
  return PANELS[rule] ?? "picture";
}
