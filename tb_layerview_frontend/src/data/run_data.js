/** One run as far as it is known: what it logs, its steps, and the statistics that are looked at. */

import { batch, computed, signal } from "@preact/signals";

import { Columns } from "./columns.js";
import { buildTree } from "./model_tree.js";
import { splitColumns } from "./payload.js";
import { RequestError, messageOf } from "./requests.js";
import { fetchHistory, fetchRun, fetchStatistics } from "./routes.js";
import { kindsOf } from "./selection.js";

/** @typedef {import("./types.js").Columnar} Columnar */
/** @typedef {import("./types.js").History} History */
/** @typedef {import("./types.js").RunInfo} RunInfo */
/** @typedef {import("./types.js").RunSummary} RunSummary */

/** @typedef {import("./types.js").Kind} Kind */

/**
 * @template T
 * @typedef {{status: "loading"} | {status: "error", message: string} | {status: "ready", value: T}} Loadable
 */

/**
 * A run as far as it is known: replaced as a whole, so that names of one run never meet numbers of another.
 * @typedef {object} Run
 * @property {string} name
 * @property {RunInfo} info
 * @property {History} history
 * @property {import("./model_tree.js").Node[]} tree
 * @property {number[][]} outputs by layer, the layers that read it
 * @property {Map<Kind, Columns>} columns
 */

/** @typedef {ReturnType<typeof createRunData>} RunData */

/**
 * @param {object} options
 * @param {() => string} options.name reads signals: which run, empty for none
 * @param {(run: Run) => Kind[]} options.kinds reads signals: of which kinds statistics are wanted
 * @param {(kind: Kind) => string[]} options.statistics reads signals: which statistics are wanted of such a kind
 * @param {(run: Run, abort: AbortSignal) => Promise<(() => void) | null>} options.onLoad prepares what to do in the turn
 *   in which the run appears; its statistics are there by then
 * @param {() => void} options.onAppend is called in the turn in which new steps appear
 * @param {import("@preact/signals").ReadonlySignal<number>} options.retries counts up when what failed should be asked again
 * @param {import("./tasks.js").Tasks} options.tasks
 */
export function createRunData({
  name: chosen,
  kinds,
  statistics,
  onLoad,
  onAppend,
  retries,
  tasks,
}) {
  const { end, onChange } = tasks;
  /** @type {import("@preact/signals").Signal<Loadable<Run>>} */
  const run = signal({ status: "loading" });
  /** Counts up with each change of what `run` holds in place: its columns. */
  const revision = signal(0);
  /** @type {import("@preact/signals").Signal<Partial<Record<Kind, string>>>} why a kind's statistics are missing */
  const columnProblems = signal({});

  const current = computed(() => (run.value.status === "ready" ? run.value.value : null));
  const steps = computed(() => current.value?.history.steps ?? []);
  const generation = computed(() => current.value?.history.generation ?? "");

  /**
   * Brings what is new.
   * @param {RunSummary[]} found all runs that there are
   */
  async function refresh(found) {
    const before = current.value;
    const summary = found.find((candidate) => candidate.run === before?.name);
    if (!before || !summary || before.name !== chosen()) return;
    const { history } = before;
    const same =
      summary.steps === history.steps.length &&
      summary.last_step === history.steps.at(-1) &&
      summary.notes === history.notes.length &&
      summary.tensors === before.info.tensors.length;
    if (same) return;
    const next = await fetchHistory(before.name, end);
    if (current.value !== before) return;
    const appended =
      next.generation === history.generation && summary.tensors === before.info.tensors.length;
    if (!appended) {
      await load(before.name, end);
      return;
    }
    const { name } = before;
    const grown = [...before.columns.values()].filter((columns) => columns.steps);
    const asked = grown.map(({ statistics: names }) => names);
    const later = await Promise.all(
      grown.map(({ kind, steps: since }, of) => fetchStatistics(name, kind, asked[of], since, end)),
    );
    if (current.value !== before) return;
    if (later.some((sent) => isOther(sent, next.generation))) {
      await load(name, end);
      return;
    }
    // A statistic that was asked for in between lacks these steps: the next turn brings them for all.
    if (grown.some(({ statistics: names }, of) => names.length !== asked[of].length)) return;
    grown.forEach((columns, of) => {
      const names = columns.statistics;
      const split = splitColumns(later[of].buffer, names.length, columns.tensors.length);
      columns.append(new Map(names.map((name, i) => [name, split[i]])));
    });
    batch(() => {
      run.value = { status: "ready", value: { ...before, history: next } };
      revision.value++;
      onAppend();
    });
  }

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
   * Fetches a statistic of one kind, unless it is here. What cannot be had is told in `columnProblems`.
   * @param {Run} of
   * @param {{kind: Kind, name: string}} what
   * @param {AbortSignal} abort
   * @returns {Promise<boolean>} whether the answer belongs to the history that is known
   */
  async function complete(of, { kind, name }, abort) {
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
    if (columnProblems.value[kind] !== problem && (problem || isCleared)) {
      columnProblems.value = { ...columnProblems.value, [kind]: problem };
    }
    return true;
  }

  /**
   * @param {string} name
   * @param {AbortSignal} abort
   */
  async function load(name, abort) {
    const [info, history] = await Promise.all([fetchRun(name, abort), fetchHistory(name, abort)]);
    /** @type {number[][]} */
    const outputs = info.layers.map(() => []);
    info.layers.forEach((layer, index) => {
      for (const input of layer.inputs) outputs[input]?.push(index);
    });
    const tree = buildTree(info.layers, info.tensors);
    /** @type {Run} */
    const value = { name, info, history, tree, outputs, columns: new Map() };
    columnProblems.value = {};
    const belongs = await Promise.all(wanted(value).map((what) => complete(value, what, abort)));
    if (belongs.includes(false)) {
      await load(name, abort);
      return;
    }
    const appear = await onLoad(value, abort);
    if (abort.aborted) return;
    batch(() => {
      run.value = { status: "ready", value };
      revision.value++;
      appear?.();
    });
  }

  onChange(
    () => ({ name: chosen(), retry: retries.value }),
    async ({ name }, abort) => {
      if (!name || current.value?.name === name) return;
      if (current.value) run.value = { status: "loading" };
      await load(name, abort);
    },
    (message) => {
      run.value = { status: "error", message };
    },
  );

  onChange(
    () => ({
      of: current.value,
      wanted: current.value ? wanted(current.value).map(({ kind, name }) => `${kind} ${name}`) : [],
      retry: retries.value,
    }),
    async ({ of }, abort) => {
      if (!of) return;
      const belongs = await Promise.all(wanted(of).map((what) => complete(of, what, abort)));
      if (belongs.includes(false)) await load(of.name, abort);
    },
    () => {},
  );

  return { run, current, steps, generation, revision, columnProblems, refresh, load };
}

/**
 * Whether an answer belongs to another history than the one that is known: the run was logged anew in between.
 * @param {Columnar} sent
 * @param {string} generation
 */
export function isOther(sent, generation) {
  return sent.generation !== "" && sent.generation !== generation;
}
