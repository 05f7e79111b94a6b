/** Tensors at single steps, and what is kept of those that were looked at. */

import { LruCache } from "./lru.js";
import { decodeHistogram, decodeValues } from "./payload.js";
import { ConnectionError, messageOf, RequestError } from "./requests.js";
import { fetchPayload, fetchTensor } from "./routes.js";

/** @typedef {import("./payload.js").Histogram} Histogram */
/** @typedef {import("./payload.js").Values} Values */
/** @typedef {import("./types.js").TensorRecord} TensorRecord */

/**
 * What is known of one tensor at one step.
 * @typedef {object} Detail
 * @property {string} key of the request
 * @property {string} run its name
 * @property {number} tensor
 * @property {number} step
 * @property {TensorRecord | null} record null where the tensor was not logged at that step
 * @property {Values | null} values null where none are kept
 * @property {string} valuesProblem a sentence if the values could not be read
 * @property {Histogram | null} histogram
 */

/**
 * All histograms of one tensor, and how many more are kept but could not be read.
 * @typedef {object} TensorHistory
 * @property {string} key from `keyOf`
 * @property {number} tensor
 * @property {(Histogram | null)[]} bySteps
 * @property {number} unreadable
 * @property {[number, number]} extremes the smallest and the largest finite element of all steps; infinite where there is none
 */

/**
 * A tensor of a run: the run's name, its log's generation, the index.
 * @typedef {import("./tensor_tasks.js").OfTensor} OfTensor
 */

const CACHE_BYTES = 96e6;

/** @typedef {ReturnType<typeof createDetails>} Details */

/**
 * What tells a tensor from that of another run, or of a log that was written anew.
 * @param {OfTensor} of
 */
export function keyOf({ name, generation, tensor }) {
  return `${name}\n${generation}\n${tensor}`;
}

/**
 * @param {() => number[]} steps that the run has logged
 * @param {AbortSignal} end Requests end with the store alone: one that a person has left behind on the way through the
 *   steps is the next one's neighbour, and wanted again.
 */
export function createDetails(steps, end) {
  /** @type {LruCache<Promise<Detail>>} */
  const details = new LruCache(CACHE_BYTES);
  /** @type {LruCache<Promise<Values>>} several steps may show the values of one */
  const kept = new LruCache(CACHE_BYTES);
  /** @type {LruCache<TensorHistory>} */
  const histories = new LruCache(CACHE_BYTES);

  /**
   * One tensor at one step, from the cache if it is there.
   * @param {OfTensor} of
   * @param {number} step
   * @returns {Promise<Detail>}
   */
  function detailOf(of, step) {
    const key = `${keyOf(of)}\n${step}`;
    return remembered(details, key, () => loadDetail(key, of, step), sizeOf);
  }

  /**
   * @param {string} key
   * @param {OfTensor} of
   * @param {number} step
   * @returns {Promise<Detail>}
   */
  async function loadDetail(key, of, step) {
    const { name, tensor } = of;
    /** @type {Detail} */
    const made = {
      key,
      run: name,
      tensor,
      step,
      record: null,
      values: null,
      valuesProblem: "",
      histogram: null,
    };
    try {
      made.record = await fetchTensor(name, tensor, step, end);
    } catch (error) {
      if (error instanceof RequestError && error.status === 404) return made;
      throw error;
    }
    const { values_step: valuesStep, histogram } = made.record;
    const [values, own] = await Promise.allSettled([
      valuesStep === null ? null : valuesOf(of, valuesStep),
      histogram ? histogramOf(of, step) : null,
    ]);
    for (const result of [values, own]) {
      if (result.status === "rejected" && result.reason instanceof ConnectionError) {
        throw result.reason;
      }
    }
    if (values.status === "fulfilled") made.values = values.value;
    else made.valuesProblem = messageOf(values.reason);
    if (own.status === "fulfilled") made.histogram = own.value;
    return made;
  }

  /**
   * The histogram of a step, from the tensor's whole history if that is there.
   * @param {OfTensor} of
   * @param {number} step
   */
  async function histogramOf(of, step) {
    const known = histories.get(keyOf(of))?.bySteps[steps().indexOf(step)];
    return known ?? decodeHistogram(await fetchPayload(of.name, of.tensor, step, "histogram", end));
  }

  /**
   * The values that are kept at a step, from the cache if they are there.
   * @param {OfTensor} of
   * @param {number} step
   * @returns {Promise<Values>}
   */
  function valuesOf(of, step) {
    const load = () => fetchPayload(of.name, of.tensor, step, "values", end).then(decodeValues);
    return remembered(kept, `${keyOf(of)}\n${step}`, load, ({ data }) => data.byteLength);
  }

  /** @param {TensorHistory} history */
  function keepHistory(history) {
    const bins = history.bySteps.reduce((sum, one) => sum + (one?.counts.length ?? 0), 0);
    histories.set(history.key, history, 24 * bins);
  }

  return {
    detailOf,
    valuesOf,
    /** @param {string} key from `keyOf` */
    historyOf: (key) => histories.get(key),
    keepHistory,
  };
}

/** @param {Detail} detail */
function sizeOf({ values, histogram }) {
  return (values?.data.byteLength ?? 0) + 24 * (histogram?.counts.length ?? 0);
}

/**
 * What a cache holds or is loaded into it; what could not be loaded is forgotten.
 * @template T
 * @param {LruCache<Promise<T>>} cache
 * @param {string} key
 * @param {() => Promise<T>} load
 * @param {(loaded: T) => number} size in bytes, beside what each takes
 */
function remembered(cache, key, load, size) {
  const known = cache.get(key);
  if (known) return known;
  const made = load();
  cache.set(key, made, 1000);
  made.then(
    (loaded) => cache.has(key) && cache.set(key, made, 1000 + size(loaded)),
    () => cache.delete(key),
  );
  return made;
}
