/** One tensor of a run: at the selected step, over all steps, and unit by unit. */

import { batch, signal } from "@preact/signals";

import { LruCache } from "./lru.js";
import {
  decodeHistogram,
  decodeHistograms,
  decodeUnits,
  decodeValues,
  splitColumns,
} from "./payload.js";
import { ConnectionError, RequestError, messageOf } from "./requests.js";
import { fetchHistograms, fetchPayload, fetchStatistics, fetchTensor } from "./routes.js";
import { isOther } from "./run_data.js";
import { failIn, makeTensorTasks } from "./tensor_tasks.js";

/** @typedef {import("./types.js").TensorRecord} TensorRecord */

/** @typedef {import("./payload.js").Histogram} Histogram */
/** @typedef {import("./payload.js").Values} Values */

/**
 * @template T
 * @typedef {import("./run_data.js").Loadable<T>} Loadable
 */

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
 * @property {string} key
 * @property {number} tensor
 * @property {(Histogram | null)[]} bySteps
 * @property {number} unreadable
 * @property {[number, number]} extremes the smallest and the largest finite element of all steps; infinite where there is none
 */

/** @typedef {ReturnType<typeof createTensorData>} TensorData */

const CACHE_BYTES = 96e6;

/**
 * @param {object} options
 * @param {import("./run_data.js").RunData} options.data of which run
 * @param {import("@preact/signals").ReadonlySignal<number>} options.tensor its index, -1 for none
 * @param {import("@preact/signals").ReadonlySignal<number | undefined>} options.step one that is logged
 * @param {() => boolean} options.wantsUnits reads signals: whether units are looked at
 * @param {import("@preact/signals").ReadonlySignal<number>} options.retries counts up when what failed should be asked again
 * @param {import("./tasks.js").Tasks} options.tasks
 */
export function createTensorData({ data, tensor, step, wantsUnits, retries, tasks }) {
  const { end, onChange } = tasks;
  const onTensor = makeTensorTasks({ data, tensor, retries, tasks });
  const { current, generation, steps } = data;
  /** @type {import("@preact/signals").Signal<Loadable<Detail>>} the last that arrived stays until the next is there */
  const detail = signal({ status: "loading" });
  /** Why the selected detail is not there, and another one, of the same tensor, is still shown; empty if it is. */
  const detailProblem = signal("");
  /** Whether another detail than the one that is there is under way. */
  const detailPending = signal(false);
  /** @type {import("@preact/signals").Signal<Loadable<TensorHistory>>} */
  const histograms = signal({ status: "loading" });
  /** @type {import("@preact/signals").Signal<Loadable<{key: string, step: number, units: import("./payload.js").Units}>>} */
  const units = signal({ status: "loading" });

  /** @type {LruCache<Promise<Detail>>} */
  const details = new LruCache(CACHE_BYTES);
  /** @type {LruCache<Promise<Values>>} several steps may show the values of one */
  const kept = new LruCache(CACHE_BYTES);
  /** @type {LruCache<TensorHistory>} */
  const histories = new LruCache(CACHE_BYTES);

  // The selected tensor at the selected step.
  onTensor(
    () => ({ step: step.value }),
    async ({ name, generation: of, tensor: index, step: at }, abort) => {
      if (at === undefined) return;
      detailPending.value = true;
      try {
        const value = await detailOf(name, of, index, at);
        if (abort.aborted) return;
        batch(() => {
          detail.value = { status: "ready", value };
          detailProblem.value = "";
        });
      } finally {
        if (!abort.aborted) detailPending.value = false;
      }
      await prefetch(name, of, index, abort);
    },
    (message) => {
      const shown = detail.value;
      // What is old and known to be so is better than nothing, as long as it is of the same tensor.
      if (shown.status === "ready" && shown.value.tensor === tensor.value) {
        detailProblem.value = message;
      } else detail.value = { status: "error", message };
    },
  );

  // The distribution of the selected tensor over all steps.
  onTensor(
    () => ({ count: steps.value.length }),
    async ({ name, generation: of, tensor: index, count }, abort) => {
      const key = `${name}\n${of}\n${index}`;
      const shown = histograms.value;
      const known = histories.get(key);
      if (known) histograms.value = { status: "ready", value: known };
      else if (shown.status !== "ready" || shown.value.key !== key) {
        histograms.value = { status: "loading" };
      }
      if (known && known.bySteps.length >= count) return;
      const since = known?.bySteps.length ?? 0;
      const kind = current.value?.info.tensors[index].kind ?? "activation";
      const [sent, ends] = await Promise.all([
        fetchHistograms(name, index, since, abort),
        fetchStatistics(name, kind, ["min", "max"], since, abort, index),
      ]);
      if (isOther(sent, of) || isOther(ends, of)) {
        await data.load(name, abort);
        return;
      }
      const bySteps = [...(known?.bySteps ?? []), ...decodeHistograms(sent.buffer)];
      const unreadable = (known?.unreadable ?? 0) + sent.unreadable;
      const extremes = widen(known?.extremes ?? [Infinity, -Infinity], ends.buffer);
      /** @type {TensorHistory} */
      const value = { key, tensor: index, bySteps, unreadable, extremes };
      const bins = bySteps.reduce((sum, one) => sum + (one?.counts.length ?? 0), 0);
      histories.set(key, value, 24 * bins);
      histograms.value = { status: "ready", value };
    },
    failIn(histograms),
  );

  // The units, where they are looked at.
  onChange(
    () => ({
      wanted: wantsUnits(),
      of: detail.value,
      retry: retries.value,
    }),
    async ({ wanted, of }, abort) => {
      const name = current.value?.name;
      if (!wanted || of.status !== "ready" || name === undefined) return;
      const { tensor: index, step, record, key } = of.value;
      if (!record?.units) {
        units.value = {
          status: "error",
          message: `No statistics per unit are kept of this tensor at step ${step}.`,
        };
        return;
      }
      const buffer = await fetchPayload(name, index, step, "units", abort);
      const decoded = await decodeUnits(buffer);
      if (!abort.aborted) units.value = { status: "ready", value: { key, step, units: decoded } };
    },
    failIn(units),
  );

  /**
   * One tensor at one step, from the cache if it is there. Requests end with the store alone: one that a person has left
   * behind on the way through the steps is the next one's neighbour, and wanted again.
   * @param {string} name
   * @param {string} of generation
   * @param {number} index
   * @param {number} step
   * @returns {Promise<Detail>}
   */
  function detailOf(name, of, index, step) {
    const key = `${name}\n${of}\n${index}\n${step}`;
    const known = details.get(key);
    if (known) return known;
    const made = loadDetail(key, name, of, index, step);
    details.set(key, made, 1000);
    made.then(
      (value) => {
        const size =
          (value.values?.data.byteLength ?? 0) + 24 * (value.histogram?.counts.length ?? 0);
        if (details.has(key)) details.set(key, made, 1000 + size);
      },
      () => details.delete(key),
    );
    return made;
  }

  /**
   * @param {string} key
   * @param {string} name
   * @param {string} of generation
   * @param {number} index
   * @param {number} step
   * @returns {Promise<Detail>}
   */
  async function loadDetail(key, name, of, index, step) {
    /** @type {Detail} */
    const made = {
      key,
      run: name,
      tensor: index,
      step,
      record: null,
      values: null,
      valuesProblem: "",
      histogram: null,
    };
    try {
      made.record = await fetchTensor(name, index, step, end);
    } catch (error) {
      if (error instanceof RequestError && error.status === 404) return made;
      throw error;
    }
    const { values_step: valuesStep, histogram } = made.record;
    const [values, own] = await Promise.allSettled([
      valuesStep === null ? null : valuesOf(name, of, index, valuesStep),
      histogram ? histogramOf(name, of, index, step) : null,
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
   * @param {string} name
   * @param {string} of generation
   * @param {number} index
   * @param {number} step
   */
  async function histogramOf(name, of, index, step) {
    const history = histories.get(`${name}\n${of}\n${index}`);
    const known = history?.bySteps[steps.value.indexOf(step)];
    return known ?? decodeHistogram(await fetchPayload(name, index, step, "histogram", end));
  }

  /**
   * The values that are kept at a step, from the cache if they are there.
   * @param {string} name
   * @param {string} of generation
   * @param {number} index
   * @param {number} step
   * @returns {Promise<Values>}
   */
  function valuesOf(name, of, index, step) {
    const key = `${name}\n${of}\n${index}\n${step}`;
    const known = kept.get(key);
    if (known) return known;
    const made = fetchPayload(name, index, step, "values", end).then(decodeValues);
    kept.set(key, made, 1000);
    made.then(
      ({ data }) => kept.has(key) && kept.set(key, made, 1000 + data.byteLength),
      () => kept.delete(key),
    );
    return made;
  }

  /**
   * Any tensor of the run at any step, with its values and no more.
   * @param {number} index
   * @param {number} step
   * @returns {Promise<{values: Values | null, step: number | null, record: TensorRecord}>} the step of the values
   */
  async function valuesAt(index, step) {
    const name = current.value?.name ?? "";
    const of = generation.value;
    const record = await fetchTensor(name, index, step, end);
    const at = record.values_step;
    return { values: at === null ? null : await valuesOf(name, of, index, at), step: at, record };
  }

  /**
   * The steps beside the selected one, so that the slider finds them here.
   * @param {string} name
   * @param {string} of generation
   * @param {number} index
   * @param {AbortSignal} abort
   */
  async function prefetch(name, of, index, abort) {
    const at = steps.value.indexOf(step.value ?? NaN);
    for (const distance of [1, -1, 2, -2, 3]) {
      const near = steps.value[at + distance];
      if (near === undefined) continue;
      if (abort.aborted) return;
      try {
        await detailOf(name, of, index, near);
      } catch {
        // Nobody asked for it yet; who does will be told.
        return;
      }
    }
  }

  return { detail, detailPending, detailProblem, histograms, units, valuesAt, detailOf };
}

/**
 * A range that also holds what came in since.
 * @param {[number, number]} range
 * @param {ArrayBuffer} sent float32: the smallest element at each step, then the largest at each; NaN where none is finite
 * @returns {[number, number]}
 */
function widen([low, high], sent) {
  const [[lows], [highs]] = splitColumns(sent, 2, 1);
  for (const value of lows) if (value < low) low = value;
  for (const value of highs) if (value > high) high = value;
  return [low, high];
}
