/** What is asked of the server again and again: which runs there are, and whether it answers at all. */

import { batch, signal } from "@preact/signals";

import { isAbort, messageOf } from "../data/requests.js";
import { fetchRuns } from "../data/routes.js";
import { makeTasks } from "../data/tasks.js";

/** @typedef {import("../data/types.js").RunSummary} RunSummary */
/** @typedef {import("../data/types.js").RunWithoutSteps} RunWithoutSteps */
/** @typedef {import("../data/types.js").UnreadableRun} UnreadableRun */

/** @typedef {{status: "live"} | {status: "lost", since: Date, message: string}} Connection */

const POLL_MILLISECONDS = 4000;

/** @param {AbortSignal} end ends everything that is under way */
export function createPolling(end) {
  /** @type {import("@preact/signals").Signal<import("../data/run.js").Loadable<RunSummary[]>>} */
  const runs = signal({ status: "loading" });
  const unreadable = signal(/** @type {UnreadableRun[]} */ ([]));
  const withoutSteps = signal(/** @type {RunWithoutSteps[]} */ ([]));
  /** @type {import("@preact/signals").Signal<Connection>} */
  const connection = signal({ status: "live" });
  const retries = signal(0);
  /** @type {import("../data/tasks.js").Asks} */
  const asks = { tasks: makeTasks(end, noteFailure), retries };

  /** @param {unknown} error */
  function noteFailure(error) {
    if (connection.value.status === "live") {
      connection.value = { status: "lost", since: new Date(), message: messageOf(error) };
    }
  }

  /**
   * Begins to ask.
   * @param {(found: RunSummary[]) => void} onRuns is called in the turn in which they appear
   * @param {(found: RunSummary[]) => Promise<unknown>} refresh brings what is new of them
   * @returns {() => Promise<void>} asks at once
   */
  function start(onRuns, refresh) {
    let polling = false;
    async function poll() {
      if (polling || end.aborted) return;
      polling = true;
      try {
        const { runs: found, unreadable: damaged, without_steps: empty } = await fetchRuns(end);
        const recovered = connection.value.status === "lost";
        batch(() => {
          connection.value = { status: "live" };
          if (runs.value.status !== "ready" || !sameJson(runs.value.value, found)) {
            runs.value = { status: "ready", value: found };
          }
          if (!sameJson(unreadable.value, damaged)) unreadable.value = damaged;
          if (!sameJson(withoutSteps.value, empty)) withoutSteps.value = empty;
          onRuns(found);
          if (recovered) retries.value++;
        });
        await refresh(found);
      } catch (error) {
        if (isAbort(error)) return;
        noteFailure(error);
        if (runs.value.status !== "ready") {
          runs.value = { status: "error", message: messageOf(error) };
        }
      } finally {
        polling = false;
      }
    }
    const timer = setInterval(() => {
      if (!document.hidden) void poll();
    }, POLL_MILLISECONDS);
    end.addEventListener("abort", () => clearInterval(timer));
    void poll();
    return poll;
  }

  return { runs, unreadable, withoutSteps, connection, asks, start };
}

/**
 * @param {unknown} a
 * @param {unknown} b
 */
function sameJson(a, b) {
  return JSON.stringify(a) === JSON.stringify(b);
}
