/** The tab's state: what is chosen, what is known, and what is under way. */

import { batch, computed, effect, signal } from "@preact/signals";

import * as api from "./api.js";
import { nearestIndex } from "./axis.js";
import { Columns } from "./columns.js";
import { LruCache } from "./lru.js";
import {
  decodeHistogram,
  decodeHistograms,
  decodeUnits,
  decodeValues,
  splitColumns,
} from "./payload.js";
import {
  defaultTensor,
  findTensor,
  firstTrouble,
  kindsOf,
  openedRun,
  shownKinds,
} from "./selection.js";
import { buildTree } from "./tree.js";
import { FIELDS } from "./view_state.js";

/** @typedef {import("./api.js").Kind} Kind */
/** @typedef {import("./view_state.js").ViewState} ViewState */
/** @typedef {import("./payload.js").Histogram} Histogram */

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

/**
 * What is known of one tensor at one step.
 * @typedef {object} Detail
 * @property {string} key of the request
 * @property {number} tensor
 * @property {number} step
 * @property {api.TensorRecord | null} record null where the tensor was not logged at that step
 * @property {import("./payload.js").Values | null} values null where none are kept
 * @property {string} valuesProblem a sentence if the values could not be read
 * @property {Histogram | null} histogram
 */

/**
 * All histograms of one tensor, and how many more are kept but could not be read.
 * @typedef {{key: string, tensor: number, bySteps: (Histogram | null)[], unreadable: number}} TensorHistory
 */

/** @typedef {{status: "live"} | {status: "lost", since: Date, message: string}} Connection */

const POLL_MILLISECONDS = 4000;
const CACHE_BYTES = 96e6;

/** @typedef {ReturnType<typeof createStore>} Store */

/**
 * @param {ViewState} initial
 * @param {AbortSignal} end ends everything that the store has under way
 */
export function createStore(initial, end) {
  const view =
    /** @type {{[Name in keyof ViewState]: import("@preact/signals").Signal<ViewState[Name]>}} */ (
      Object.fromEntries(
        Object.keys(FIELDS).map((name) => [
          name,
          signal(initial[/** @type {keyof ViewState} */ (name)]),
        ]),
      )
    );

  /** @type {import("@preact/signals").Signal<Loadable<api.RunSummary[]>>} */
  const runs = signal({ status: "loading" });
  /** @type {import("@preact/signals").Signal<Loadable<Run>>} */
  const run = signal({ status: "loading" });
  /** @type {import("@preact/signals").Signal<Connection>} */
  const connection = signal({ status: "live" });
  /** Counts up with each change of what `run` holds in place: its columns. */
  const revision = signal(0);
  /** @type {import("@preact/signals").Signal<Partial<Record<Kind, string>>>} why a kind's statistics are missing */
  const columnProblems = signal({});
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
  const playing = signal(false);
  /** How many kinds' maps there is room for. */
  const roomForMaps = signal(1);
  /** Counts up when what failed should be asked for again. */
  const retries = signal(0);

  /** @type {LruCache<Promise<Detail>>} */
  const details = new LruCache(CACHE_BYTES);
  /** @type {LruCache<TensorHistory>} */
  const histories = new LruCache(CACHE_BYTES);

  const current = computed(() => (run.value.status === "ready" ? run.value.value : null));
  const steps = computed(() => current.value?.history.steps ?? []);
  const generation = computed(() => current.value?.history.generation ?? "");
  const kinds = computed(() =>
    current.value ? shownKinds(current.value.info.tensors, view.maps.value, roomForMaps.value) : [],
  );
  const stepIndex = computed(() =>
    view.step.value === null ? steps.value.length - 1 : nearestIndex(steps.value, view.step.value),
  );
  /** Index of the selected tensor; -1 while there is no run. */
  const tensor = computed(() => {
    const info = current.value?.info;
    if (!info?.tensors.length) return -1;
    const wanted = {
      layer: view.layer.value,
      kind: view.kind.value,
      name: view.name.value,
      call: view.call.value,
    };
    const found = findTensor(info, wanted);
    return found >= 0 ? found : defaultTensor(info, kinds.value);
  });

  /** @param {number} index of a tensor */
  function selectTensor(index) {
    const info = current.value?.info;
    const chosen = info?.tensors[index];
    if (!info || !chosen) return;
    batch(() => {
      view.layer.value = info.layers[chosen.layer].path;
      view.kind.value = chosen.kind;
      view.name.value = chosen.name;
      view.call.value = chosen.call;
    });
  }

  /** @param {number} index of a step among those that are logged */
  function selectStep(index) {
    const last = steps.value.length - 1;
    if (last < 0) return;
    const bounded = Math.min(last, Math.max(0, index));
    batch(() => {
      view.step.value = steps.value[bounded];
      if (bounded < last) view.follow.value = false;
    });
  }

  /** @param {string} name */
  function selectRun(name) {
    if (name === view.run.value) return;
    playing.value = false;
    view.run.value = name;
  }

  // --- runs and steps: polled

  let polling = false;
  async function poll() {
    if (polling || end.aborted) return;
    polling = true;
    try {
      const found = await api.fetchRuns(end);
      const recovered = connection.value.status === "lost";
      batch(() => {
        connection.value = { status: "live" };
        if (runs.value.status !== "ready" || !sameJson(runs.value.value, found)) {
          runs.value = { status: "ready", value: found };
        }
        if (!view.run.value && found.length) view.run.value = openedRun(found).run;
        if (recovered) retries.value++;
      });
      await refreshRun(found);
    } catch (error) {
      if (api.isAbort(error)) return;
      noteFailure(error);
      if (runs.value.status !== "ready") {
        runs.value = { status: "error", message: api.messageOf(error) };
      }
    } finally {
      polling = false;
    }
  }

  /** @param {unknown} error */
  function noteFailure(error) {
    if (connection.value.status === "live") {
      connection.value = { status: "lost", since: new Date(), message: api.messageOf(error) };
    }
  }

  /** @param {api.RunSummary[]} found */
  async function refreshRun(found) {
    const before = current.value;
    const summary = found.find((candidate) => candidate.run === before?.name);
    if (!before || !summary || before.name !== view.run.value) return;
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
      await loadRun(before.name, end);
      return;
    }
    for (const columns of before.columns.values()) {
      if (!columns.steps) continue;
      const names = columns.statistics;
      const { name } = before;
      const sent = await api.fetchStatistics(name, columns.kind, names, columns.steps, end);
      if (isOther(sent, next.generation)) {
        await loadRun(name, end);
        return;
      }
      const split = splitColumns(sent.buffer, names.length, columns.tensors.length);
      columns.append(new Map(names.map((name, i) => [name, split[i]])));
    }
    if (current.value !== before) return;
    batch(() => {
      run.value = { status: "ready", value: { ...before, history: next } };
      revision.value++;
      if (view.follow.value) view.step.value = next.steps.at(-1) ?? null;
    });
  }

  /**
   * @param {string} name
   * @param {AbortSignal} abort
   */
  async function loadRun(name, abort) {
    const [info, history] = await Promise.all([
      api.fetchRun(name, abort),
      api.fetchHistory(name, abort),
    ]);
    // The tab chooses once, when it opens: if something is wrong, where that began.
    const untouched = !view.layer.value && view.step.value === null;
    const trouble = untouched ? await findTrouble(name, info, abort) : null;
    if (abort.aborted) return;
    details.clear();
    histories.clear();
    /** @type {number[][]} */
    const outputs = info.layers.map(() => []);
    info.layers.forEach((layer, index) => {
      for (const input of layer.inputs) outputs[input]?.push(index);
    });
    batch(() => {
      columnProblems.value = {};
      run.value = {
        status: "ready",
        value: {
          name,
          info,
          history,
          tree: buildTree(info.layers, info.tensors),
          outputs,
          columns: new Map(),
        },
      };
      revision.value++;
      if (trouble) {
        view.step.value = history.steps[trouble.step];
        selectTensor(trouble.tensor);
      } else if (view.step.value === null || view.follow.value) {
        view.step.value = history.steps.at(-1) ?? null;
      }
    });
    // What is selected is written out, so that a later change of defaults (a wider window) moves nothing.
    if (!view.layer.value) selectTensor(tensor.value);
  }

  /**
   * @param {string} name
   * @param {api.RunInfo} info
   * @param {AbortSignal} abort
   */
  async function findTrouble(name, info, abort) {
    const columns = await Promise.all(
      kindsOf(info.tensors).map(async (kind) => {
        const { tensors } = new Columns(kind, info.tensors);
        const { buffer } = await api.fetchStatistics(name, kind, ["non_finite"], 0, abort);
        return { tensors, shares: splitColumns(buffer, 1, tensors.length)[0] };
      }),
    );
    return firstTrouble(columns);
  }

  const disposals = [
    // The chosen run.
    onChange(
      () => ({ name: view.run.value, retry: retries.value }),
      async ({ name }, abort) => {
        if (!name || current.value?.name === name) return;
        if (current.value) run.value = { status: "loading" };
        await loadRun(name, abort);
      },
      (message) => {
        run.value = { status: "error", message };
      },
    ),

    // The statistics that the map shows.
    onChange(
      () => ({
        of: current.value,
        kinds: kinds.value,
        wanted: [view.statistic.value, "non_finite"],
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
                await loadRun(of.name, abort);
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
    ),

    // The selected tensor at the selected step.
    onChange(
      () => ({
        name: current.value?.name,
        generation: generation.value,
        tensor: tensor.value,
        step: steps.value[stepIndex.value],
        retry: retries.value,
      }),
      async ({ name, tensor: index, step }, abort) => {
        if (name === undefined || index < 0 || step === undefined) return;
        detailPending.value = true;
        try {
          const value = await detailOf(name, index, step);
          if (abort.aborted) return;
          batch(() => {
            detail.value = { status: "ready", value };
            detailProblem.value = "";
          });
        } finally {
          if (!abort.aborted) detailPending.value = false;
        }
        await prefetch(name, index, abort);
      },
      (message) => {
        const shown = detail.value;
        // What is old and known to be so is better than nothing, as long as it is of the same tensor.
        if (shown.status === "ready" && shown.value.tensor === tensor.value) {
          detailProblem.value = message;
        } else detail.value = { status: "error", message };
      },
    ),

    // The distribution of the selected tensor over all steps.
    onChange(
      () => ({
        name: current.value?.name,
        generation: generation.value,
        tensor: tensor.value,
        count: steps.value.length,
        retry: retries.value,
      }),
      async ({ name, generation: of, tensor: index, count }, abort) => {
        if (name === undefined || index < 0) return;
        const key = `${name}\n${of}\n${index}`;
        const shown = histograms.value;
        const known = histories.get(key);
        if (known) histograms.value = { status: "ready", value: known };
        else if (shown.status !== "ready" || shown.value.key !== key) {
          histograms.value = { status: "loading" };
        }
        if (known && known.bySteps.length >= count) return;
        const since = known?.bySteps.length ?? 0;
        const sent = await api.fetchHistograms(name, index, since, abort);
        if (isOther(sent, of)) {
          await loadRun(name, abort);
          return;
        }
        const bySteps = [...(known?.bySteps ?? []), ...decodeHistograms(sent.buffer)];
        const unreadable = (known?.unreadable ?? 0) + sent.unreadable;
        const value = { key, tensor: index, bySteps, unreadable };
        const bins = bySteps.reduce((sum, one) => sum + (one?.counts.length ?? 0), 0);
        histories.set(key, value, 24 * bins);
        histograms.value = { status: "ready", value };
      },
      (message) => {
        histograms.value = { status: "error", message };
      },
    ),

    // The units, where they are looked at.
    onChange(
      () => ({
        wanted: view.panel.value === "units",
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
        const buffer = await api.fetchPayload(name, index, step, "units", abort);
        const decoded = await decodeUnits(buffer);
        if (!abort.aborted) units.value = { status: "ready", value: { key, step, units: decoded } };
      },
      (message) => {
        units.value = { status: "error", message };
      },
    ),
  ];

  /**
   * Runs a task whenever what it depends on changes, and ends the one before: a late reply for what is no longer asked is
   * dropped.
   * @template T
   * @param {() => T} depend reads signals
   * @param {(what: T, abort: AbortSignal) => Promise<void>} task
   * @param {(message: string) => void} fail
   */
  function onChange(depend, task, fail) {
    /** @type {AbortController | null} */
    let running = null;
    const wanted = computed(depend);
    /** @type {T | undefined} */
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
          if (error instanceof api.ConnectionError) noteFailure(error);
          fail(api.messageOf(error));
        }
      });
    });
    return () => {
      stop();
      running?.abort();
    };
  }

  /**
   * One tensor at one step, from the cache if it is there. Requests end with the store alone: one that a person has left
   * behind on the way through the steps is the next one's neighbour, and wanted again.
   * @param {string} name
   * @param {number} index
   * @param {number} step
   * @returns {Promise<Detail>}
   */
  function detailOf(name, index, step) {
    const key = `${name}\n${index}\n${step}`;
    const known = details.get(key);
    if (known) return known;
    const made = loadDetail(key, name, index, step);
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
   * @param {number} index
   * @param {number} step
   * @returns {Promise<Detail>}
   */
  async function loadDetail(key, name, index, step) {
    /** @type {Detail} */
    const made = {
      key,
      tensor: index,
      step,
      record: null,
      values: null,
      valuesProblem: "",
      histogram: null,
    };
    try {
      made.record = await api.fetchTensor(name, index, step, end);
    } catch (error) {
      if (error instanceof api.RequestError && error.status === 404) return made;
      throw error;
    }
    const { values_step: valuesStep, histogram } = made.record;
    const [values, own] = await Promise.allSettled([
      valuesStep === null
        ? null
        : api.fetchPayload(name, index, valuesStep, "values", end).then(decodeValues),
      histogram
        ? api.fetchPayload(name, index, step, "histogram", end).then(decodeHistogram)
        : null,
    ]);
    for (const result of [values, own]) {
      if (result.status === "rejected" && result.reason instanceof api.ConnectionError) {
        throw result.reason;
      }
    }
    if (values.status === "fulfilled") made.values = values.value;
    else made.valuesProblem = api.messageOf(values.reason);
    if (own.status === "fulfilled") made.histogram = own.value;
    return made;
  }

  /**
   * The steps beside the selected one, so that the slider finds them here.
   * @param {string} name
   * @param {number} index
   * @param {AbortSignal} abort
   */
  async function prefetch(name, index, abort) {
    for (const distance of [1, -1, 2, -2, 3]) {
      const step = steps.value[stepIndex.value + distance];
      if (step === undefined) continue;
      if (abort.aborted) return;
      try {
        await detailOf(name, index, step);
      } catch {
        // Nobody asked for it yet; who does will be told.
        return;
      }
    }
  }

  const timer = setInterval(() => {
    if (!document.hidden) void poll();
  }, POLL_MILLISECONDS);
  end.addEventListener("abort", () => {
    clearInterval(timer);
    for (const dispose of disposals) dispose();
  });
  void poll();

  return {
    view,
    runs,
    run,
    current,
    connection,
    revision,
    columnProblems,
    detail,
    detailPending,
    detailProblem,
    histograms,
    units,
    playing,
    roomForMaps,
    kinds,
    steps,
    stepIndex,
    tensor,
    poll,
    selectRun,
    selectStep,
    selectTensor,
  };
}

/**
 * Whether an answer belongs to another history than the one that is known: the run was logged anew in between.
 * @param {api.Columnar} sent
 * @param {string} generation
 */
function isOther(sent, generation) {
  return sent.generation !== "" && sent.generation !== generation;
}

/**
 * @param {unknown} a
 * @param {unknown} b
 */
function sameJson(a, b) {
  return JSON.stringify(a) === JSON.stringify(b);
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
