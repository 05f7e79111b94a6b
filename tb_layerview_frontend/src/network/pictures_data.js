/** The pictures of all lanes at the shown step, and what the lanes did over the steps. */

import { batch, signal } from "@preact/signals";

import { LruCache } from "../data/lru.js";
import { fetchRidges, fetchThumbnails } from "../data/routes.js";

/** @typedef {import("../data/framed.js").Ridges} Ridges */
/** @typedef {import("../data/framed.js").Thumbnails} Thumbnails */
/** @typedef {import("../data/framed.js").ThumbnailsAnswer} ThumbnailsAnswer */

/**
 * The pictures that have arrived last.
 * @typedef {object} Shown
 * @property {string} run
 * @property {number} step that was asked for
 * @property {number} example
 * @property {Set<number>} bad examples that hold NaN or inf
 * @property {Map<number, Thumbnails>} lanes by tensor
 */

/**
 * What pictures are of: the run's name, its log's generation, which example, which tensors.
 * @typedef {{name: string, of: string, example: number, tensors: number[]}} Asked
 */

const RIDGES = 12;
/** How many lanes one request asks for: as many as 1 MB of pictures has room for at their full size. */
export const MOST_AT_ONCE = 96;
const CACHE_BYTES = 48e6;
/** How many steps to either side are fetched ahead. */
const AHEAD = 3;

/**
 * @param {import("../kit/core.js").Core} core
 * @param {{on: {value: boolean}, example: {value: number}}} of whether anybody looks, and at which example
 * @param {import("../data/tasks.js").Asks} asks
 */
export function createPictures({ current, steps, step, generation }, { on, example }, asks) {
  const { tasks, retries } = asks;
  /** The activations of which pictures and ridges are wanted, in the order of the lanes. */
  const wanted = signal(/** @type {number[]} */ ([]));
  const shown = signal(/** @type {Shown | null} */ (null));
  /** Why newer pictures are missing; empty if none are. */
  const problem = signal("");
  /** Whether other pictures than those that are there are under way. */
  const pending = signal(false);
  const ridges = signal(/** @type {Map<number, Ridges>} */ (new Map()));
  /** @type {LruCache<Promise<ThumbnailsAnswer>>} */
  const kept = new LruCache(CACHE_BYTES);
  const asked = () => ({
    name: on.value ? (current.value?.name ?? "") : "",
    of: generation.value,
    tensors: wanted.value,
    retry: retries.value,
  });

  /**
   * The pictures of a step, from the cache if they are there.
   * @param {Asked} what
   * @param {number} at
   * @returns {Promise<ThumbnailsAnswer>}
   */
  function picturesAt({ name, of, example: chosen, tensors }, at) {
    const key = [name, of, chosen, at, tensors.join()].join("\n");
    const known = kept.get(key);
    if (known) return known;
    const made = inPieces({ run: name, step: at, example: chosen, tensors }, tasks.end);
    kept.set(key, made, 1000);
    made.then(
      ({ lanes }) => {
        const size = lanes.reduce((sum, lane) => sum + lane.levels.length, 1000);
        if (kept.has(key)) kept.set(key, made, size);
      },
      () => kept.delete(key),
    );
    return made;
  }

  /**
   * Those of the steps beside the shown one, so that play and slider find them here.
   * @param {Asked} what
   * @param {number} at
   * @param {AbortSignal} abort
   */
  async function fetchAhead(what, at, abort) {
    const index = steps.value.indexOf(at);
    for (let distance = 1; distance <= AHEAD; distance++) {
      const beside = [steps.value[index + distance], steps.value[index - distance]];
      for (const near of beside.filter((found) => found !== undefined)) {
        if (abort.aborted) return;
        await picturesAt(what, near);
      }
    }
  }

  tasks.onChange(
    () => ({ ...asked(), at: step.value, example: example.value }),
    async ({ at, ...what }, abort) => {
      if (!what.name || at === undefined || !what.tensors.length) return;
      pending.value = true;
      try {
        const { lanes, non_finite_examples: bad } = await picturesAt(what, at);
        if (abort.aborted) return;
        batch(() => {
          shown.value = {
            run: what.name,
            step: at,
            example: what.example,
            bad: new Set(bad),
            lanes: new Map(lanes.map((lane) => [lane.tensor, lane])),
          };
          problem.value = "";
        });
      } finally {
        if (!abort.aborted) pending.value = false;
      }
      await fetchAhead(what, at, abort);
    },
    (message) => {
      problem.value = message;
    },
  );

  tasks.onChange(
    // A run that goes on gets new ridges as it doubles, not with each step.
    () => ({ ...asked(), grown: Math.floor(2 * Math.log2(1 + steps.value.length)) }),
    async ({ name, of, tensors }, abort) => {
      if (!name) return;
      for (let from = 0; from < tensors.length; from += MOST_AT_ONCE) {
        const some = tensors.slice(from, from + MOST_AT_ONCE);
        const found = await fetchRidges({ run: name, tensors: some, ridges: RIDGES }, abort);
        if (abort.aborted || found.generation !== of) return;
        const known = from ? ridges.value : [];
        ridges.value = new Map([
          ...known,
          ...found.lanes.map((lane) => /** @type {const} */ ([lane.tensor, lane])),
        ]);
      }
    },
    (message) => {
      problem.value = message;
    },
  );

  return { wanted, shown, problem, pending, ridges, picturesAt };
}

/**
 * The pictures of many lanes, asked for in pieces.
 * @param {{run: string, step: number, example: number, tensors: number[]}} of
 * @param {AbortSignal} signal
 * @returns {Promise<ThumbnailsAnswer>}
 */
async function inPieces({ tensors, ...of }, signal) {
  const pieces = [];
  for (let from = 0; from < tensors.length; from += MOST_AT_ONCE) {
    const some = tensors.slice(from, from + MOST_AT_ONCE);
    pieces.push(fetchThumbnails({ ...of, tensors: some }, signal));
  }
  const answers = await Promise.all(pieces);
  return {
    ...answers[0],
    non_finite_examples: answers.flatMap((answer) => answer.non_finite_examples),
    lanes: answers.flatMap(({ lanes }) => lanes),
  };
}
