/** The run that evaluates another one: logged below it, at the training's steps. */

import { signal } from "@preact/signals";

import { isEvaluationOf } from "./matching.js";
import { fetchHistory } from "./routes.js";

/** @typedef {import("./types.js").History} History */
/** @typedef {import("./types.js").RunSummary} RunSummary */

/**
 * The run that evaluates a run, if there is one: of several the one whose name is the shortest, for it has none of its own.
 * @param {RunSummary[]} runs
 * @param {string} name
 * @returns {RunSummary | undefined}
 */
export function evaluationOf(runs, name) {
  const found = runs.filter(({ run }) => isEvaluationOf(name, run));
  return found.sort((a, b) => a.run.length - b.run.length)[0];
}

/**
 * @typedef {object} Evaluation
 * @property {string} run
 * @property {History | null} history
 * @property {string} problem why there is no history, or an old one; empty if there is none
 */

/**
 * @param {object} of
 * @param {import("@preact/signals").ReadonlySignal<import("./run.js").Loadable<RunSummary[]>>} of.runs
 * @param {{run: import("@preact/signals").ReadonlySignal<string>}} of.view the name of the run that is shown
 * @param {import("./tasks.js").Asks} asks
 */
export function createEvaluation({ runs, view }, { tasks, retries }) {
  /** @type {import("@preact/signals").Signal<Evaluation | null>} */
  const evaluation = signal(null);
  const summary = () =>
    runs.value.status === "ready" ? evaluationOf(runs.value.value, view.run.value) : undefined;
  tasks.onChange(
    () => {
      const found = summary();
      return { run: found?.run ?? "", steps: found?.steps, retry: retries.value };
    },
    async ({ run }, abort) => {
      if (evaluation.value?.run !== run) evaluation.value = null;
      if (!run) return;
      const history = await fetchHistory(run, abort);
      if (!abort.aborted) evaluation.value = { run, history, problem: "" };
    },
    (problem) => {
      const { run = "", history = null } = evaluation.value ?? { run: summary()?.run };
      evaluation.value = { run, history, problem };
    },
  );
  return evaluation;
}
