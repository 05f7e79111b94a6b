/** What the rules of health found in a run, and where to look at it. */

import { signal } from "@preact/signals";

import * as api from "./api.js";

/** @typedef {import("./api.js").Finding} Finding */
/** @typedef {import("./api.js").Findings} Findings */

/**
 * What was found, and of which reading of which run.
 * @typedef {object} Found
 * @property {Finding[]} findings in the order of their causes
 * @property {import("./api.js").Rule[]} rules
 * @property {"none" | "ready" | "error"} status `none`: nothing is known yet
 * @property {string} problem why it could not be read
 */

/** @type {Found} */
const NOTHING = { findings: [], rules: [], status: "none", problem: "" };

/**
 * Asks for the findings of the shown run, again whenever it grows or a person moves a threshold.
 * @param {object} options
 * @param {import("./run_data.js").RunData} options.data
 * @param {() => string[]} options.thresholds reads signals: those that a person has moved
 * @param {import("@preact/signals").ReadonlySignal<number>} options.retries
 * @param {import("./tasks.js").Tasks} options.tasks
 */
export function createFindings({ data, thresholds, retries, tasks }) {
  const found = signal(NOTHING);
  /** What was read last: a run that has just been loaded need not be asked for twice. */
  let known = "";

  /**
   * @param {string} name
   * @param {AbortSignal} abort
   * @returns {Promise<Finding[]>} those of the run as it is now
   */
  async function load(name, abort) {
    const moved = thresholds();
    try {
      const { findings, rules, generation, steps } = await api.fetchFindings(name, moved, abort);
      if (abort.aborted) return [];
      known = keyOf({ name, generation, steps, moved });
      found.value = { findings, rules, status: "ready", problem: "" };
      return findings;
    } catch (error) {
      if (!(error instanceof api.RequestError)) throw error;
      found.value = { ...NOTHING, status: "error", problem: error.message };
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
      if (what.name && keyOf(what) !== known) await load(what.name, abort);
    },
    (problem) => {
      found.value = { ...found.value, problem };
    },
  );
  return { found, load };
}

/** @param {{name: string, generation: string, steps: number, moved: string[]}} of */
function keyOf({ name, generation, steps, moved }) {
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
 * What is found first of each tensor.
 * @param {Finding[]} findings
 * @returns {Map<number, Finding>}
 */
export function byTensor(findings) {
  /** @type {Map<number, Finding>} */
  const first = new Map();
  for (const finding of findings) {
    if (finding.tensor === null) continue;
    const before = first.get(finding.tensor);
    if (!before || finding.first < before.first) first.set(finding.tensor, finding);
  }
  return first;
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
