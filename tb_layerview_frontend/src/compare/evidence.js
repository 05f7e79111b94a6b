/** Whether two runs started from the same weights: all that both logged are compared, to the last digit. */

import { signal } from "@preact/signals";

import { tensorTitle } from "../data/matching.js";
import { RequestError } from "../data/requests.js";
import { fetchTensor } from "../data/routes.js";
import { firstDifference, isTelling } from "./same_start.js";

/** @typedef {import("../data/run.js").Run} Run */
/** @typedef {import("../data/types.js").RunInfo} RunInfo */
/** @typedef {import("../data/types.js").TensorRecord} TensorRecord */
/** @typedef {import("./same_start.js").Evidence} Evidence */

/** Requests at a time while weights are compared; browsers allow six a server. */
const AT_ONCE = 4;

/**
 * @param {object} of
 * @param {() => Run | null} of.a reads signals; null: there is nothing to compare
 * @param {() => Run | null} of.b reads signals
 * @param {() => import("../data/matching.js").Matching | null} of.matching
 * @param {() => number | null} of.common reads signals: the first step that both logged
 * @param {import("../data/tasks.js").Asks} asks
 */
export function createEvidence({ a: runA, b: runB, matching, common: step }, { tasks, retries }) {
  /** @type {import("@preact/signals").Signal<Evidence>} */
  const evidence = signal({ status: "checking" });
  tasks.onChange(
    () => ({ a: runA()?.info, b: runB()?.info, common: step(), retry: retries.value }),
    async ({ a, b, common }, abort) => {
      const pairs = matching();
      if (!a || !b || !pairs) return;
      evidence.value = { status: "checking" };
      const found = await compareWeights(a, b, pairs, common, abort);
      if (!abort.aborted) evidence.value = found;
    },
    (why) => {
      evidence.value = { status: "unknown", why };
    },
  );
  return evidence;
}

/**
 * Compares the weights of two runs at a step, to the last digit.
 * @param {RunInfo} a
 * @param {RunInfo} b
 * @param {import("../data/matching.js").Matching} matching
 * @param {number | null} step the first that both logged
 * @param {AbortSignal} abort
 * @returns {Promise<Evidence>}
 */
async function compareWeights(a, b, { pairs, partner }, step, abort) {
  const weights = pairs.filter((index) => a.tensors[index].kind === "weight");
  if (!weights.length) return { status: "unknown", why: "no weight is logged in both" };
  if (step === null) return { status: "unknown", why: "no step is logged in both" };
  let count = 0;
  let telling = false;
  for (let from = 0; from < weights.length; from += AT_ONCE) {
    const records = await Promise.all(
      weights.slice(from, from + AT_ONCE).map(async (index) => {
        const [own, others] = await Promise.all([
          recordAt(a.run, index, step, abort),
          recordAt(b.run, partner[index], step, abort),
        ]);
        return { index, own, others };
      }),
    );
    for (const { index, own, others } of records) {
      if (!own || !others) continue;
      const statistic = firstDifference(own, others);
      if (statistic) {
        const title = tensorTitle(a, a.tensors[index]);
        return {
          status: "different",
          step,
          title,
          statistic,
          a: own[statistic],
          b: others[statistic],
        };
      }
      count++;
      telling ||= isTelling(own);
    }
  }
  if (telling) return { status: "same", step, count };
  const why = count
    ? `all ${count} weights that both logged are constant, as they are in any run`
    : `at step ${step} no weight is logged in both`;
  return { status: "unknown", why };
}

/**
 * @param {string} run
 * @param {number} tensor
 * @param {number} step
 * @param {AbortSignal} abort
 * @returns {Promise<TensorRecord | null>} null where the tensor was not logged at that step
 */
async function recordAt(run, tensor, step, abort) {
  try {
    return await fetchTensor(run, tensor, step, abort);
  } catch (error) {
    if (error instanceof RequestError && error.status === 404) return null;
    throw error;
  }
}
