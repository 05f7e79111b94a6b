/** The findings of the run that is shown, as the server gives them. */

import { signal } from "@preact/signals";

import { RequestError } from "../data/requests.js";
import { fetchFindings } from "../data/routes.js";
import { firstBreak } from "./findings.js";

/** @typedef {import("../data/types.js").Finding} Finding */

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
 * @param {import("../kit/core.js").Core} core
 * @param {import("../data/tasks.js").Asks} asks
 */
export function createFound(
  { view, current, generation, steps: logged, brokenAt },
  { tasks, retries },
) {
  /** Those that a person has moved. */
  const { thresholds } = view;
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
    const moved = thresholds.value;
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
      brokenAt.value = { run: name, step: firstBreak(findings) };
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
      name: current.value?.name ?? "",
      generation: generation.value,
      steps: logged.value.length,
      moved: thresholds.value,
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
