/** The exact statistics of the selected tensor at other steps than the selected one, to be read beside it. */

import { signal } from "@preact/signals";

import { LruCache } from "../data/lru.js";
import { RequestError } from "../data/requests.js";
import { fetchTensor } from "../data/routes.js";
import { failIn, makeTensorTasks } from "../data/tensor_tasks.js";

/** @typedef {import("../data/types.js").TensorRecord} TensorRecord */

/**
 * @template T
 * @typedef {import("../data/run.js").Loadable<T>} Loadable
 */

/**
 * Records of one tensor. `null` where it was not logged at that step, `undefined` where there is no such step.
 * @typedef {object} Others
 * @property {number} tensor
 * @property {number} step beside which they stand
 * @property {TensorRecord | null | undefined} first of the first logged step
 * @property {TensorRecord | null | undefined} previous of the logged step before
 */

/** @typedef {import("@preact/signals").ReadonlySignal<Loadable<Others>>} NumbersState */

/**
 * @param {import("../kit/core.js").Core} core
 * @param {import("../data/tasks.js").Asks} asks
 */
export function createNumbers(core, asks) {
  const { view, steps, stepIndex } = core;
  /** @type {import("@preact/signals").Signal<Loadable<Others>>} what was there stays until the next is */
  const others = signal({ status: "loading" });
  /** @type {LruCache<TensorRecord | null>} */
  const cache = new LruCache(500);

  const onTensor = makeTensorTasks(core, asks, () => view.panel.value === "numbers");

  onTensor(
    () => ({ at: stepIndex.value }),
    async ({ name, generation: of, tensor: index, at }, abort) => {
      const numbers = steps.value;
      if (at < 0) return;
      const [first, previous] = await Promise.all(
        [0, at - 1].map((one) =>
          one < 0 ? undefined : recordOf(name, of, index, numbers[one], abort),
        ),
      );
      if (abort.aborted) return;
      others.value = {
        status: "ready",
        value: { tensor: index, step: numbers[at], first, previous },
      };
    },
    failIn(others),
  );

  /**
   * @param {string} name
   * @param {string} of generation
   * @param {number} index
   * @param {number} step
   * @param {AbortSignal} abort
   */
  async function recordOf(name, of, index, step, abort) {
    const key = `${name}\n${of}\n${index}\n${step}`;
    const known = cache.get(key);
    if (known !== undefined) return known;
    /** @type {TensorRecord | null} */
    let record = null;
    try {
      record = await fetchTensor(name, index, step, abort);
    } catch (error) {
      if (!(error instanceof RequestError && error.status === 404)) throw error;
    }
    cache.set(key, record, 1);
    return record;
  }
  return others;
}
