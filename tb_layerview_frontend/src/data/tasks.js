/** Requests that follow what a person chooses. */

import { computed, effect } from "@preact/signals";

import { ConnectionError, messageOf } from "./requests.js";

/**
 * What is under way.
 * @typedef {object} Tasks
 * @property {AbortSignal} end ends everything
 * @property {OnChange} onChange
 */

/**
 * Runs a task whenever what it depends on changes, and ends the one before: a late reply for what is no longer asked is
 * dropped.
 * @typedef {<T>(
 *   depend: () => T,
 *   task: (what: T, abort: AbortSignal) => Promise<void>,
 *   fail: (message: string) => void,
 * ) => void} OnChange `depend` reads signals; `fail` is told in words
 */

/**
 * How a part of the state asks the server.
 * @typedef {object} Asks
 * @property {Tasks} tasks
 * @property {import("@preact/signals").ReadonlySignal<number>} retries counts up when what failed should be asked again
 */

/**
 * @param {AbortSignal} end
 * @param {(error: ConnectionError) => void} lost is told when the server cannot be reached
 * @returns {Tasks}
 */
export function makeTasks(end, lost) {
  /** @type {(() => void)[]} */
  const stops = [];
  end.addEventListener("abort", () => {
    for (const stop of stops) stop();
  });

  /** @type {OnChange} */
  function onChange(depend, task, fail) {
    /** @type {AbortController | null} */
    let running = null;
    const wanted = computed(depend);
    /** @type {ReturnType<typeof depend> | undefined} */
    let last;
    const stop = effect(() => {
      const what = wanted.value;
      if (last !== undefined && sameFields(last, what)) return;
      last = what;
      running?.abort();
      const own = new AbortController();
      running = own;
      // Beyond this turn of the effect: what the task reads must not become a dependency.
      queueMicrotask(async () => {
        try {
          if (!own.signal.aborted) await task(what, own.signal);
        } catch (error) {
          if (own.signal.aborted || end.aborted) return;
          if (error instanceof ConnectionError) lost(error);
          fail(messageOf(error));
        }
      });
    });
    stops.push(() => {
      stop();
      running?.abort();
    });
  }
  return { end, onChange };
}

/**
 * Whether two objects hold the same values, lists compared by their elements.
 * @param {any} a
 * @param {any} b
 */
function sameFields(a, b) {
  return Object.keys(b).every((name) =>
    Array.isArray(a[name]) && Array.isArray(b[name])
      ? a[name].length === b[name].length &&
        a[name].every((/** @type {unknown} */ item, /** @type {number} */ i) => item === b[name][i])
      : a[name] === b[name],
  );
}
