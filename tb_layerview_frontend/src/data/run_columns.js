/** The statistics of a run's tensors: which of them are wanted, and how they are fetched and go on. */

import { signal } from "@preact/signals";

import { Columns } from "./columns.js";
import { splitColumns } from "./payload.js";
import { isOther, messageOf, RequestError } from "./requests.js";
import { fetchStatistics } from "./routes.js";
import { kindsOf } from "./selection.js";

/** @typedef {import("./run.js").Run} Run */
/** @typedef {import("./types.js").Kind} Kind */

/**
 * @param {object} what
 * @param {(run: Run) => Kind[]} what.kinds reads signals: of which kinds statistics are wanted
 * @param {(kind: Kind) => string[]} what.statistics reads signals: which statistics are wanted of such a kind
 */
export function createRunColumns({ kinds, statistics }) {
  /** Counts up with each change of what a run holds in place: its columns. */
  const revision = signal(0);
  /** @type {import("@preact/signals").Signal<Partial<Record<Kind, string>>>} why a kind's statistics are missing */
  const problems = signal({});

  /**
   * What is wanted: of each kind what is not finite, and of the kinds that are shown the chosen statistic.
   * @param {Run} of
   * @returns {{kind: Kind, name: string}[]}
   */
  function wanted(of) {
    const shown = kinds(of);
    return kindsOf(of.info.tensors).flatMap((kind) =>
      [...new Set(["non_finite", ...(shown.includes(kind) ? statistics(kind) : [])])].map(
        (name) => ({ kind, name }),
      ),
    );
  }

  /**
   * Fetches all that is wanted and not here yet.
   * @param {Run} of
   * @param {AbortSignal} abort
   * @returns {Promise<boolean>} whether all answers belong to the history that is known
   */
  async function complete(of, abort) {
    const belongs = await Promise.all(wanted(of).map((what) => completeOne(of, what, abort)));
    return !belongs.includes(false);
  }

  /**
   * Fetches a statistic of one kind, unless it is here. What cannot be had is told in `problems`.
   * @param {Run} of
   * @param {{kind: Kind, name: string}} what
   * @param {AbortSignal} abort
   * @returns {Promise<boolean>} whether the answer belongs to the history that is known
   */
  async function completeOne(of, { kind, name }, abort) {
    const columns = of.columns.get(kind) ?? new Columns(kind, of.info.tensors);
    of.columns.set(kind, columns);
    let problem;
    try {
      while (!columns.has(name)) {
        const sent = await fetchStatistics(of.name, kind, [name], 0, abort);
        if (isOther(sent, of.history.generation)) return false;
        const [split] = splitColumns(sent.buffer, 1, columns.tensors.length);
        // New steps may have come in between, for the statistics that are here already.
        if (columns.has(name) || split[0].length < columns.steps) continue;
        columns.add(name, split);
        revision.value++;
      }
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      problem = messageOf(error);
    }
    const isCleared = name !== "non_finite" && columns.has("non_finite");
    if (problems.value[kind] !== problem && (problem || isCleared)) {
      problems.value = { ...problems.value, [kind]: problem };
    }
    return true;
  }

  /**
   * Fetches the steps after those that are here, of all that is here.
   * @param {Run} of
   * @param {string} generation of the steps
   * @param {AbortSignal} abort
   * @returns {Promise<(() => boolean) | null>} appends them, and says whether it could; null if they belong to another
   *   history
   */
  async function fetchLater(of, generation, abort) {
    const grown = [...of.columns.values()].filter((columns) => columns.steps);
    const asked = grown.map(({ statistics: names }) => names);
    const later = await Promise.all(
      grown.map(({ kind, steps: since }, i) =>
        fetchStatistics(of.name, kind, asked[i], since, abort),
      ),
    );
    if (later.some((sent) => isOther(sent, generation))) return null;
    return () => {
      // A statistic that was asked for in between lacks these steps: the next turn brings them for all.
      if (grown.some(({ statistics: names }, i) => names.length !== asked[i].length)) return false;
      grown.forEach((columns, i) => {
        const names = columns.statistics;
        const split = splitColumns(later[i].buffer, names.length, columns.tensors.length);
        columns.append(new Map(names.map((name, at) => [name, split[at]])));
      });
      return true;
    };
  }

  return { revision, problems, wanted, complete, fetchLater };
}
