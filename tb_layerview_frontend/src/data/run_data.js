/** One run, as it is chosen, loaded, and followed while it goes on. */

import { batch, computed, signal } from "@preact/signals";

import { buildTree } from "./model_tree.js";
import { fetchHistory, fetchRun } from "./routes.js";
import { createRunColumns } from "./run_columns.js";

/** @typedef {import("./run.js").Run} Run */
/** @typedef {import("./types.js").Kind} Kind */
/** @typedef {import("./types.js").RunSummary} RunSummary */

/** @typedef {ReturnType<typeof createRunData>} RunData */

/**
 * @param {object} what
 * @param {() => string} what.name reads signals: which run, empty for none
 * @param {(run: Run) => Kind[]} what.kinds reads signals: of which kinds statistics are wanted
 * @param {(kind: Kind) => string[]} what.statistics reads signals: which statistics are wanted of such a kind
 * @param {(run: Run, abort: AbortSignal) => Promise<(() => void) | null>} what.onLoad prepares what to do in the turn
 *   in which the run appears; its statistics are there by then
 * @param {() => void} what.onAppend is called in the turn in which new steps appear
 * @param {import("./tasks.js").Asks} asks
 */
export function createRunData(
  { name: chosen, kinds, statistics, onLoad, onAppend },
  { tasks, retries },
) {
  const { end, onChange } = tasks;
  /** @type {import("@preact/signals").Signal<import("./run.js").Loadable<Run>>} */
  const run = signal({ status: "loading" });
  const columns = createRunColumns({ kinds, statistics });
  const { revision, problems: columnProblems } = columns;
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
    if (!before || !summary || before.name !== chosen() || isKnown(summary, before)) return;
    const next = await fetchHistory(before.name, end);
    if (current.value !== before) return;
    const appended =
      next.generation === before.history.generation &&
      summary.tensors === before.info.tensors.length;
    const append = appended ? await columns.fetchLater(before, next.generation, end) : null;
    if (current.value !== before) return;
    if (!append) {
      await load(before.name, end);
      return;
    }
    if (!append()) return;
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
    const [info, history] = await Promise.all([fetchRun(name, abort), fetchHistory(name, abort)]);
    const tree = buildTree(info.layers, info.tensors);
    /** @type {Run} */
    const value = { name, info, history, tree, outputs: outputsOf(info), columns: new Map() };
    columnProblems.value = {};
    if (!(await columns.complete(value, abort))) {
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
      wanted: current.value
        ? columns.wanted(current.value).map(({ kind, name }) => `${kind} ${name}`)
        : [],
      retry: retries.value,
    }),
    async ({ of }, abort) => {
      if (of && !(await columns.complete(of, abort))) await load(of.name, abort);
    },
    () => {},
  );

  return { run, current, steps, generation, revision, columnProblems, refresh, load };
}

/**
 * Whether a run is as it was read last.
 * @param {RunSummary} summary
 * @param {Run} run
 */
function isKnown(summary, { history, info }) {
  return (
    summary.steps === history.steps.length &&
    summary.last_step === history.steps.at(-1) &&
    summary.notes === history.notes.length &&
    summary.tensors === info.tensors.length
  );
}

/**
 * By layer, the layers that read it.
 * @param {import("./types.js").RunInfo} info
 */
function outputsOf({ layers }) {
  /** @type {number[][]} */
  const outputs = layers.map(() => []);
  layers.forEach((layer, index) => {
    for (const input of layer.inputs) outputs[input]?.push(index);
  });
  return outputs;
}
