/** The units of the selected tensor over all steps, and the parts of the unit that is chosen. */

import { signal } from "@preact/signals";

import { LruCache } from "../data/lru.js";
import { fetchUnits } from "../data/routes.js";
import { isOther } from "../data/run_data.js";
import { failIn, makeTensorTasks } from "../data/tensor_tasks.js";
import { partsOf } from "./unit_parts.js";
import { appendUnits, decodeUnitColumn } from "./units.js";

/** @typedef {import("./units.js").UnitColumn} UnitColumn */
/** @typedef {import("../data/tensor_data.js").Detail} Detail */

/**
 * @template T
 * @typedef {import("../data/run_data.js").Loadable<T>} Loadable
 */

/**
 * A statistic of all units over the steps, and beside it their peaks, which tell what is silent. Both have the same steps.
 * @typedef {object} UnitHistory
 * @property {number} tensor
 * @property {string} statistic
 * @property {UnitColumn} column
 * @property {Float32Array} peaks [steps, units]
 * @property {number} unreadable how many steps' units are kept but could not be read
 */

/** @typedef {{column: UnitColumn, upTo: number, unreadable: number}} Known `upTo` counts the run's steps that it covers */

/** @typedef {{activation: Detail | null, weight: Detail | null, step: number}} UnitParts */

const CACHE_BYTES = 96e6;

/**
 * @param {object} options
 * @param {import("../data/run_data.js").RunData} options.data of which run
 * @param {import("@preact/signals").ReadonlySignal<number>} options.tensor its index, -1 for none
 * @param {import("@preact/signals").ReadonlySignal<number | undefined>} options.step one that is logged
 * @param {() => string} options.statistic reads signals
 * @param {() => boolean} options.wanted reads signals: whether units are looked at
 * @param {() => boolean} options.wantsParts reads signals: whether one of them is
 * @param {import("../data/tensor_data.js").TensorData["detailOf"]} options.detailOf
 * @param {import("@preact/signals").ReadonlySignal<number>} options.retries counts up when what failed should be asked again
 * @param {import("../data/tasks.js").Tasks} options.tasks
 */
export function createUnitData(options) {
  const { data, tensor, step, statistic, wanted, wantsParts, detailOf, retries, tasks } = options;
  const { current, steps } = data;
  /** @type {import("@preact/signals").Signal<Loadable<UnitHistory>>} */
  const unitHistory = signal({ status: "loading" });
  /** @type {import("@preact/signals").Signal<Loadable<UnitParts>>} what was there stays until the next is */
  const unitParts = signal({ status: "loading" });
  /** @type {LruCache<Known>} */
  const cache = new LruCache(CACHE_BYTES);

  const onUnits = makeTensorTasks({ data, tensor, wanted, retries, tasks });

  onUnits(
    () => ({ statistic: statistic(), count: steps.value.length }),
    async ({ name, generation: of, tensor: index, statistic: shown }, abort) => {
      const before = unitHistory.value;
      if (before.status !== "ready" || before.value.tensor !== index) {
        unitHistory.value = { status: "loading" };
      }
      const [own, peaks] = await Promise.all(
        [shown, "peak"].map((one, i, all) =>
          i && one === all[0] ? null : known(name, of, index, one, abort),
        ),
      );
      if (abort.aborted || !own) return;
      unitHistory.value = {
        status: "ready",
        value: together(index, shown, own, peaks ?? own),
      };
    },
    failIn(unitHistory),
  );

  /**
   * @param {string} name
   * @param {string} of generation
   * @param {number} index
   * @param {string} one statistic
   * @param {AbortSignal} abort
   * @returns {Promise<Known | null>} null if the run was logged anew in between
   */
  async function known(name, of, index, one, abort) {
    const key = `${name}\n${of}\n${index}\n${one}`;
    const before = cache.get(key);
    if (before && before.upTo >= steps.value.length) return before;
    const sent = await fetchUnits(name, index, one, before?.upTo ?? 0, abort);
    if (isOther(sent, of)) {
      await data.load(name, abort);
      return null;
    }
    const later = decodeUnitColumn(sent.buffer);
    if (before && later.indices.length && later.units !== before.column.units) {
      // The server gives the steps that have as many units as the newest one: what is here is of no more use.
      cache.delete(key);
      return known(name, of, index, one, abort);
    }
    const made = {
      column: before ? appendUnits(before.column, later) : later,
      upTo: sent.steps,
      unreadable: (before?.unreadable ?? 0) + sent.unreadable,
    };
    cache.set(key, made, made.column.values.byteLength);
    return made;
  }

  const wantsOne = () => wanted() && wantsParts();
  const onUnit = makeTensorTasks({ data, tensor, wanted: wantsOne, retries, tasks });

  onUnit(
    () => ({ step: step.value }),
    async ({ name, generation: of, tensor: index, step: at }, abort) => {
      const info = current.value?.info;
      if (!info || at === undefined) return;
      const parts = partsOf(info, index);
      const [activation, weight] = await Promise.all(
        [parts.activation, parts.weight].map((one) =>
          one < 0 ? null : detailOf(name, of, one, at),
        ),
      );
      if (abort.aborted) return;
      unitParts.value = { status: "ready", value: { activation, weight, step: at } };
    },
    failIn(unitParts),
  );
  return { unitHistory, unitParts };
}

/**
 * Two answers may have met the run a step apart: what both have.
 * @param {number} tensor
 * @param {string} statistic
 * @param {Known} own
 * @param {Known} peaks
 * @returns {UnitHistory}
 */
function together(tensor, statistic, own, peaks) {
  const { indices, units, values } = own.column;
  const count = Math.min(indices.length, peaks.column.indices.length);
  for (let i = 0; i < count; i++) {
    if (indices[i] !== peaks.column.indices[i]) {
      throw new Error("The units' statistics are of different steps. Reload the page.");
    }
  }
  return {
    tensor,
    statistic,
    column: {
      indices: indices.subarray(0, count),
      units,
      values: values.subarray(0, count * units),
    },
    peaks: peaks.column.values.subarray(0, count * units),
    unreadable: own.unreadable,
  };
}
