/** One run as far as it is known: what it logs, its steps, and the statistics that are looked at. */

import { batch, computed, signal } from "@preact/signals";

import * as api from "./api.js";
import { Columns } from "./columns.js";
import { splitColumns } from "./payload.js";
import { buildTree } from "./tree.js";

/** @typedef {import("./api.js").Kind} Kind */

/**
 * @template T
 * @typedef {{status: "loading"} | {status: "error", message: string} | {status: "ready", value: T}} Loadable
 */

/**
 * A run as far as it is known: replaced as a whole, so that names of one run never meet numbers of another.
 * @typedef {object} Run
 * @property {string} name
 * @property {api.RunInfo} info
 * @property {api.History} history
 * @property {import("./tree.js").Node[]} tree
 * @property {number[][]} outputs by layer, the layers that read it
 * @property {Map<Kind, Columns>} columns
 */

/** @typedef {ReturnType<typeof createRunData>} RunData */

/**
 * @param {object} options
 * @param {() => string} options.name reads signals: which run, empty for none
 * @param {(run: Run) => Kind[]} options.kinds reads signals: of which kinds statistics are wanted
 * @param {() => string[]} options.statistics reads signals: which statistics are wanted
 * @param {(run: Run, abort: AbortSignal) => Promise<(() => void) | null>} options.onLoad prepares what to do in the turn
 *   in which the run appears
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
   * @param {api.RunSummary[]} found all runs that there are
   */
  async function refresh(found) {
    const before = current.value;
    const summary = found.find((candidate) => candidate.run === before?.name);
    if (!before || !summary || before.name !== chosen()) return;
    const { history } = before;
    const same =
      summary.steps === history.steps.length &&
      summary.last_step === history.steps.at(-1) &&
      summary.tensors === before.info.tensors.length;
    if (same) return;
    const next = await api.fetchHistory(before.name, end);
    if (current.value !== before) return;
    const appended =
      next.generation === history.generation && summary.tensors === before.info.tensors.length;
    if (!appended) {
      await load(before.name, end);
      return;
    }
    for (const columns of before.columns.values()) {
      if (!columns.steps) continue;
      const names = columns.statistics;
      const { name } = before;
      const sent = await api.fetchStatistics(name, columns.kind, names, columns.steps, end);
      if (isOther(sent, next.generation)) {
        await load(name, end);
        return;
      }
      const split = splitColumns(sent.buffer, names.length, columns.tensors.length);
      columns.append(new Map(names.map((name, i) => [name, split[i]])));
    }
    if (current.value !== before) return;
    batch(() => {
      run.value = { status: "ready", value: { ...before, history: next } };
      revision.value++;
      onAppend();
    });
  }

  /**
   * @param {string} name
   * @param {AbortSignal} abort
   */
  async function load(name, abort) {
    const [info, history] = await Promise.all([
      api.fetchRun(name, abort),
      api.fetchHistory(name, abort),
    ]);
    /** @type {number[][]} */
    const outputs = info.layers.map(() => []);
    info.layers.forEach((layer, index) => {
      for (const input of layer.inputs) outputs[input]?.push(index);
    });
    const tree = buildTree(info.layers, info.tensors);
    /** @type {Run} */
    const value = { name, info, history, tree, outputs, columns: new Map() };
    const appear = await onLoad(value, abort);
    if (abort.aborted) return;
    batch(() => {
      columnProblems.value = {};
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
      kinds: current.value ? kinds(current.value) : [],
      wanted: statistics(),
      retry: retries.value,
    }),
    async ({ of, kinds: shown, wanted }, abort) => {
      if (!of) return;
      for (const kind of shown) {
        let columns = of.columns.get(kind);
        if (!columns) {
          columns = new Columns(kind, of.info.tensors);
          of.columns.set(kind, columns);
        }
        const known = columns;
        const missing = [...new Set(wanted)].filter((name) => !known.has(name));
        if (!missing.length || !known.tensors.length) continue;
        try {
          let split;
          do {
            const sent = await api.fetchStatistics(of.name, kind, missing, 0, abort);
            if (isOther(sent, of.history.generation)) {
              await load(of.name, abort);
              return;
            }
            split = splitColumns(sent.buffer, missing.length, known.tensors.length);
            // New steps may have come in between, for the statistics that are here already.
          } while (split[0][0].length < known.steps);
          for (const [i, name] of missing.entries()) known.add(name, split[i]);
          batch(() => {
            revision.value++;
            columnProblems.value = { ...columnProblems.value, [kind]: undefined };
          });
        } catch (error) {
          if (api.isAbort(error)) throw error;
          columnProblems.value = { ...columnProblems.value, [kind]: api.messageOf(error) };
        }
      }
    },
    () => {},
  );

  return { run, current, steps, generation, revision, columnProblems, refresh, load };
}

/**
 * Whether an answer belongs to another history than the one that is known: the run was logged anew in between.
 * @param {api.Columnar} sent
 * @param {string} generation
 */
export function isOther(sent, generation) {
  return sent.generation !== "" && sent.generation !== generation;
}
