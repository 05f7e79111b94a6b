/** The units of the selected tensor over all steps, and the parts of the unit that is chosen. */

import { signal } from "@preact/signals";

import { LruCache } from "../data/lru.js";
import { decodeUnits } from "../data/payload.js";
import { isOther } from "../data/requests.js";
import { fetchPayload, fetchUnits } from "../data/routes.js";
import { failIn, makeTensorTasks } from "../data/tensor_tasks.js";
import { partsOf } from "./unit_parts.js";
import { appendUnits, decodeUnitColumn } from "./units.js";

/** @typedef {import("./units.js").UnitColumn} UnitColumn */
/** @typedef {import("../data/details.js").Detail} Detail */

/**
 * @template T
 * @typedef {import("../data/run.js").Loadable<T>} Loadable
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

/** @typedef {ReturnType<typeof createUnits>} UnitsState */

/**
 * @param {import("../kit/core.js").Core} core
 * @param {import("../data/tasks.js").Asks} asks
 */
export function createUnits(core, asks) {
  const { view, current, steps, step, selected } = core;
  const { tasks, retries } = asks;
  /** @type {import("@preact/signals").Signal<Loadable<{key: string, step: number, units: import("../data/payload.js").Units}>>} */
  const atStep = signal({ status: "loading" });
  /** @type {import("@preact/signals").Signal<Loadable<UnitHistory>>} */
  const history = signal({ status: "loading" });
  /** @type {import("@preact/signals").Signal<Loadable<UnitParts>>} what was there stays until the next is */
  const parts = signal({ status: "loading" });
  /** @type {LruCache<Known>} */
  const cache = new LruCache(CACHE_BYTES);
  const wanted = () => view.panel.value === "units";

  // All statistics of the units, at the selected step.
  tasks.onChange(
    () => ({ wanted: wanted(), of: selected.detail.value, retry: retries.value }),
    async ({ wanted: looked, of }, abort) => {
      const name = current.value?.name;
      if (!looked || of.status !== "ready" || name === undefined) return;
      const { tensor: index, step: at, record, key } = of.value;
      if (!record?.units) {
        atStep.value = {
          status: "error",
          message: `No statistics per unit are kept of this tensor at step ${at}.`,
        };
        return;
      }
      const units = await decodeUnits(await fetchPayload(name, index, at, "units", abort));
      if (!abort.aborted) atStep.value = { status: "ready", value: { key, step: at, units } };
    },
    failIn(atStep),
  );

  // One of them over all steps.
  const onUnits = makeTensorTasks(core, asks, wanted);

  onUnits(
    () => ({ statistic: view.unitStatistic.value, count: steps.value.length }),
    async ({ name, generation: of, tensor: index, statistic: shown }, abort) => {
      const before = history.value;
      if (before.status !== "ready" || before.value.tensor !== index) {
        history.value = { status: "loading" };
      }
      const [own, peaks] = await Promise.all(
        [shown, "peak"].map((one, i, all) =>
          i && one === all[0] ? null : known(name, of, index, one, abort),
        ),
      );
      if (abort.aborted || !own) return;
      history.value = {
        status: "ready",
        value: together(index, shown, own, peaks ?? own),
      };
    },
    failIn(history),
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
      await core.load(name, abort);
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

  // What is known of the unit that is chosen.
  const onUnit = makeTensorTasks(core, asks, () => wanted() && view.unit.value !== null);

  onUnit(
    () => ({ step: step.value }),
    async ({ step: at, ...asked }, abort) => {
      const info = current.value?.info;
      if (!info || at === undefined) return;
      const tensors = partsOf(info, asked.tensor);
      const [activation, weight] = await Promise.all(
        [tensors.activation, tensors.weight].map((one) =>
          one < 0 ? null : selected.detailOf({ ...asked, tensor: one }, at),
        ),
      );
      if (abort.aborted) return;
      parts.value = { status: "ready", value: { activation, weight, step: at } };
    },
    failIn(parts),
  );
  return { atStep, history, parts };
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
