/** The batch that broke the training, run again: a picture of each of its examples, and which of them are to blame. */

import { computed, signal } from "@preact/signals";

import { fetchRun, fetchThumbnails } from "../data/routes.js";
import { findTensor, inputTensor } from "../data/selection.js";
import { keyOf } from "./findings.js";

/** @typedef {import("./findings.js").Finding} Finding */

/**
 * @typedef {object} BrokenBatch
 * @property {string} run that holds the batch: a replay
 * @property {number} step of the training whose batch it is
 * @property {Finding} finding which it explains
 * @property {import("../data/framed.js").Thumbnails | null} pictures of its examples; null where none are kept
 * @property {number[]} bad examples that hold NaN or inf in the tensor that the finding names; none where it is not kept
 */

/**
 * @param {import("../kit/core.js").Core} core
 * @param {import("@preact/signals").ReadonlySignal<import("./found.js").Found>} found
 * @param {import("../data/tasks.js").Asks} asks
 */
export function createBrokenBatch({ current, generation }, found, { tasks, retries }) {
  const brokenBatch = signal(/** @type {BrokenBatch | null} */ (null));
  /** The first finding of the shown run that a replay explains. */
  const explained = computed(
    () =>
      found.value.findings.find(
        ({ replay, tensor }) => replay && tensor !== null && replay.run !== current.value?.name,
      ) ?? null,
  );
  /** Ends when the batch is there, or cannot be. */
  let loaded = Promise.resolve();

  tasks.onChange(
    () => ({
      key: explained.value ? keyOf(explained.value) : "",
      name: current.value?.name ?? "",
      of: generation.value,
      retry: retries.value,
    }),
    (_, abort) => {
      loaded = bring(abort);
      return loaded;
    },
    () => {
      brokenBatch.value = null;
    },
  );

  /** @param {AbortSignal} abort */
  async function bring(abort) {
    const finding = explained.value;
    const info = current.value?.info;
    brokenBatch.value = null;
    if (!finding?.replay || finding.tensor === null || !info) return;
    const { run, step } = finding.replay;
    const { layer, kind, name, call } = info.tensors[finding.tensor];
    const replayed = await fetchRun(run, abort);
    const wanted = [
      inputTensor(replayed),
      findTensor(replayed, { layer: info.layers[layer].path, kind, name, call }),
    ];
    // A batch may be to blame as it comes: then both are the input.
    const tensors = [...new Set(wanted)].filter(
      (index) => replayed.tensors[index]?.kind === "activation",
    );
    const answer = tensors.length
      ? await fetchThumbnails({ run, step, example: "all", tensors }, abort)
      : { lanes: [], non_finite_examples: [] };
    if (abort.aborted) return;
    const pictures = answer.lanes.find(({ tensor }) => tensor === wanted[0]) ?? null;
    const bad = answer.non_finite_examples;
    brokenBatch.value = {
      run,
      step,
      finding,
      pictures: pictures?.levels.length ? pictures : null,
      bad,
    };
  }

  /**
   * The first example of a replay that is to blame; 0 where that cannot be told.
   * @param {string} run
   * @returns {Promise<number>}
   */
  async function firstBad(run) {
    // What kept it from being read is told where its pictures would stand.
    await loaded.catch(() => {});
    const batch = brokenBatch.value;
    return (batch?.run === run ? batch.bad[0] : undefined) ?? 0;
  }

  return { brokenBatch, firstBad };
}
