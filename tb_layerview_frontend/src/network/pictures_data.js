/** The pictures of all lanes at the shown step, and what the lanes did over the steps. */

import { batch, computed, signal } from "@preact/signals";

import { LruCache } from "../data/lru.js";
import { fetchRidges, fetchThumbnails } from "../data/routes.js";

/** @typedef {import("../data/framed.js").Ridges} Ridges */
/** @typedef {import("../data/framed.js").Thumbnails} Thumbnails */
/** @typedef {import("../data/framed.js").ThumbnailsAnswer} ThumbnailsAnswer */

/**
 * The pictures that have arrived last.
 * @typedef {object} Shown
 * @property {string} of which run, and which writing of its log
 * @property {number} step that was asked for
 * @property {number} example
 * @property {Set<number>} bad examples that hold NaN or inf
 * @property {Map<number, Thumbnails>} lanes by tensor
 */

/**
 * What pictures are of: the run's name, its log's generation, how far it has grown, which example, which tensors.
 * @typedef {{name: string, of: string, grown: number, example: number, tensors: number[]}} Asked
 */

const RIDGES = 12;
/** @type {Map<number, Ridges>} */
const NO_RIDGES = new Map();
/** How many lanes one request asks for: as many as 1 MB of pictures has room for at their full size. */
export const MOST_AT_ONCE = 96;
const CACHE_BYTES = 48e6;
/** How many steps to either side are fetched ahead. */
const AHEAD = 3;

/**
 * @param {Pick<import("../kit/core.js").Core, "current" | "steps" | "step" | "generation">} core
 * @param {{on: {value: boolean}, example: {value: number}, wanted: {value: number[]}}} of whether anybody looks, at which
 *   example, and the activations of which pictures are wanted, in the order of the lanes
 * @param {import("../data/tasks.js").Asks} asks
 */
export function createPictures(
  { current, steps, step, generation },
  { on, example, wanted },
  asks,
) {
  const { tasks, retries } = asks;
  const arrived = signal(/** @type {Shown | null} */ (null));
  /** Why newer pictures are missing; empty if none are. */
  const problem = signal("");
  /** Whether other pictures than those that are there are under way. */
  const pending = signal(false);
  const tag = computed(() => `${current.value?.name}\n${generation.value}`);
  // What another run has shown, or this one before it was written anew, must not stand beside its names.
  const shown = computed(() => (arrived.value?.of === tag.value ? arrived.value : null));
  /** A run that goes on gets new ranges and ridges as it doubles, not with each step. */
  const grown = computed(() => Math.floor(2 * Math.log2(1 + steps.value.length)));
  /** @type {LruCache<Promise<ThumbnailsAnswer>>} */
  const kept = new LruCache(CACHE_BYTES);
  const asked = () => ({
    name: on.value ? (current.value?.name ?? "") : "",
    of: generation.value,
    grown: grown.value,
    tensors: wanted.value,
    retry: retries.value,
  });

  /**
   * The pictures of a step, from the cache if they are there.
   * @param {Asked} what
   * @param {number} at
   * @returns {Promise<ThumbnailsAnswer>}
   */
  function picturesAt({ name, of, grown: size, example: chosen, tensors }, at) {
    const key = [name, of, size, chosen, at, tensors.join()].join("\n");
    const known = kept.get(key);
    if (known) return known;
    const made = inPieces({ run: name, step: at, example: chosen, tensors }, tasks.end);
    kept.set(key, made, 1000);
    made.then(
      ({ lanes }) => {
        const bytes = lanes.reduce((sum, lane) => sum + lane.levels.length, 1000);
        if (kept.has(key)) kept.set(key, made, bytes);
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
        try {
          await picturesAt(what, near);
        } catch {
          // Nobody asked for it yet; who does will be told.
          return;
        }
      }
    }
  }

  tasks.onChange(
    () => ({ ...asked(), at: step.value, example: example.value }),
    async ({ at, ...what }, abort) => {
      if (!what.name || at === undefined || !what.tensors.length) {
        // What was under way is no longer waited for.
        pending.value = false;
        problem.value = "";
        return;
      }
      pending.value = true;
      try {
        const { lanes, non_finite_examples: bad } = await picturesAt(what, at);
        if (abort.aborted) return;
        batch(() => {
          arrived.value = {
            of: `${what.name}\n${what.of}`,
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

  return { shown, problem, pending, asked, tag, grown, picturesAt };
}

/**
 * What the lanes did over the steps.
 * @param {() => Omit<Asked, "example"> & {retry: number}} asked reads signals
 * @param {import("@preact/signals").ReadonlySignal<string>} tag of the run that is shown, and of which writing of its log
 * @param {import("../data/tasks.js").Asks["tasks"]} tasks
 */
export function createRidges(asked, tag, tasks) {
  const arrivedRidges = signal({ of: "", lanes: /** @type {Map<number, Ridges>} */ (new Map()) });
  const ridgesProblem = signal("");
  const ridges = computed(() =>
    arrivedRidges.value.of === tag.value ? arrivedRidges.value.lanes : NO_RIDGES,
  );
  tasks.onChange(
    asked,
    async ({ name, of, tensors }, abort) => {
      if (!name) return;
      for (let from = 0; from < tensors.length; from += MOST_AT_ONCE) {
        const some = tensors.slice(from, from + MOST_AT_ONCE);
        const found = await fetchRidges({ run: name, tensors: some, ridges: RIDGES }, abort);
        if (abort.aborted || found.generation !== of) return;
        const known = from ? arrivedRidges.value.lanes : [];
        const lanes = new Map([
          ...known,
          ...found.lanes.map((lane) => /** @type {const} */ ([lane.tensor, lane])),
        ]);
        arrivedRidges.value = { of: `${name}\n${of}`, lanes };
      }
      ridgesProblem.value = "";
    },
    (message) => {
      ridgesProblem.value = message;
    },
  );

  return { ridges, ridgesProblem };
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
