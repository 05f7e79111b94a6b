/** The tab's state: what is chosen, what is known, and what is under way. */

import { batch, computed, signal } from "@preact/signals";

import { createComparison } from "../compare/comparison.js";
import { createEvaluation } from "../data/evaluation.js";
import { isAbort, messageOf } from "../data/requests.js";
import { fetchRuns } from "../data/routes.js";
import { createRunData } from "../data/run_data.js";
import {
  defaultTensor,
  findTensor,
  firstOfLayer,
  openedRun,
  shownKinds,
} from "../data/selection.js";
import { statisticOf } from "../data/statistics.js";
import { makeTasks } from "../data/tasks.js";
import { createTensorData } from "../data/tensor_data.js";
import { createBandData } from "../distribution/band_data.js";
import { createCourseData } from "../findings/course.js";
import { heads, createFindings, keyOf, nextFinding, panelOf } from "../findings/findings.js";
import { nearestIndex } from "../kit/axis.js";
import { createPictureData } from "../picture/companions.js";
import { createUnitData } from "../units/unit_data.js";
import { createNumbersData } from "./numbers_data.js";
import { FIELDS } from "./view_state.js";

/** @typedef {import("../data/types.js").Kind} Kind */
/** @typedef {import("../data/types.js").RunSummary} RunSummary */
/** @typedef {import("../data/types.js").RunWithoutSteps} RunWithoutSteps */
/** @typedef {import("../data/types.js").UnreadableRun} UnreadableRun */

/** @typedef {import("./view_state.js").ViewState} ViewState */
/** @typedef {import("../data/run_data.js").Run} Run */

/**
 * @template T
 * @typedef {import("../data/run_data.js").Loadable<T>} Loadable
 */

/** @typedef {{status: "live"} | {status: "lost", since: Date, message: string}} Connection */

const POLL_MILLISECONDS = 4000;

/** @typedef {ReturnType<typeof createStore>} Store */
/** @typedef {{[Name in keyof ViewState]: import("@preact/signals").Signal<ViewState[Name]>}} View */

/**
 * @param {ViewState} initial
 * @param {AbortSignal} end ends everything that the store has under way
 */
export function createStore(initial, end) {
  const view = /** @type {View} */ (
    Object.fromEntries(
      Object.keys(FIELDS).map((name) => [
        name,
        signal(initial[/** @type {keyof ViewState} */ (name)]),
      ]),
    )
  );

  /** @type {import("@preact/signals").Signal<Loadable<RunSummary[]>>} */
  const runs = signal({ status: "loading" });
  const unreadable = signal(/** @type {UnreadableRun[]} */ ([]));
  const withoutSteps = signal(/** @type {RunWithoutSteps[]} */ ([]));
  /** @type {import("@preact/signals").Signal<Connection>} */
  const connection = signal({ status: "live" });
  const playing = signal(false);
  /** How many kinds' maps there is room for. */
  const roomForMaps = signal(1);
  /** Counts up when what failed should be asked for again. */
  const retries = signal(0);
  const tasks = makeTasks(end, noteFailure);

  /** @param {Run} run */
  const kindsShown = ({ info }) => shownKinds(info.tensors, view.maps.value, roomForMaps.value);
  /** @param {Kind} kind */
  const statistics = (kind) => [statisticOf(view.statistic.value, kind).name];
  /** @param {Run} run */
  const kindsWanted = (run) => {
    // Of what is compared the statistics are drawn over the steps, whatever the map shows.
    const selected = view.against.value ? run.info.tensors[chosenTensor(run)]?.kind : undefined;
    return [...new Set([...kindsShown(run), ...(selected ? [selected] : [])])];
  };
  const data = createRunData({
    name: () => view.run.value,
    kinds: kindsWanted,
    statistics,
    onLoad: chooseOnce,
    onAppend: followNewest,
    retries,
    tasks,
  });
  const { run, current, steps } = data;
  const kinds = computed(() => (current.value ? kindsShown(current.value) : []));
  const stepIndex = computed(() =>
    view.step.value === null ? steps.value.length - 1 : nearestIndex(steps.value, view.step.value),
  );
  /** Index of the selected tensor; -1 while there is no run. */
  const tensor = computed(() => (current.value ? chosenTensor(current.value) : -1));
  const step = computed(() => steps.value[stepIndex.value]);
  const wantsUnits = () => view.panel.value === "units";
  const selected = createTensorData({ data, tensor, step, wantsUnits, retries, tasks });
  const { bands } = createBandData({
    data,
    tensor,
    wanted: () => view.history.value === "bands",
    retries,
    tasks,
  });
  const unitData = createUnitData({
    data,
    tensor,
    step,
    statistic: () => view.unitStatistic.value,
    wanted: wantsUnits,
    wantsParts: () => view.unit.value !== null,
    detailOf: selected.detailOf,
    retries,
    tasks,
  });
  const { others } = createNumbersData({
    data,
    tensor,
    stepIndex,
    wanted: () => view.panel.value === "numbers",
    retries,
    tasks,
  });

  const health = createFindings({
    data,
    thresholds: () => view.thresholds.value,
    retries,
    tasks,
  });
  const evidence = createCourseData({
    why: view.why,
    data,
    found: health.found,
    thresholds: view.thresholds,
    retries,
    tasks,
  });
  const comparison = createComparison({
    view,
    runs,
    data,
    tensor,
    stepIndex,
    kinds: () => (current.value ? kindsWanted(current.value) : []),
    statistics,
    retries,
    tasks,
  });
  const evaluation = createEvaluation({ runs, name: () => view.run.value, retries, tasks });
  const picture = createPictureData({
    data,
    selected,
    sort: () => view.sort.value,
    openedUnit: initial.unit,
    retries,
    tasks,
  });

  /** @param {Run} run */
  function chosenTensor(run) {
    const { info } = run;
    if (!info.tensors.length) return -1;
    const wanted = {
      layer: view.layer.value,
      kind: view.kind.value,
      name: view.name.value,
      call: view.call.value,
    };
    const found = findTensor(info, wanted);
    if (found >= 0) return found;
    const ofLayer = firstOfLayer(info, wanted.layer, [wanted.kind, ...kindsShown(run)]);
    return ofLayer >= 0 ? ofLayer : defaultTensor(info, kindsShown(run));
  }

  /** @param {number} index of a tensor */
  function selectTensor(index) {
    const info = current.value?.info;
    const chosen = info?.tensors[index];
    if (!info || !chosen) return;
    batch(() => {
      const { path } = info.layers[chosen.layer];
      // Units of another layer are others; those of this layer's kernel are the same.
      if (view.layer.value && path !== view.layer.value) view.unit.value = null;
      view.layer.value = path;
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
    batch(() => {
      view.run.value = name;
      // A finding is one of its run: of another one the panel shows what is first there.
      if (view.why.value) view.why.value = "lead";
    });
  }

  /**
   * The tab chooses once, when it opens: if something is wrong, where that began.
   * @param {Run} loaded
   * @param {AbortSignal} abort
   */
  async function chooseOnce(loaded, abort) {
    const untouched = !view.layer.value && view.step.value === null;
    const found = await health.load(loaded.name, abort);
    const first = found.find(({ severity }) => severity === "error");
    return () => {
      if (first && untouched) {
        view.step.value = first.first;
        if (first.tensor !== null) selectTensor(first.tensor);
      } else if (view.step.value === null) {
        view.step.value = loaded.history.steps.at(-1) ?? null;
      } else followNewest();
      // What is selected is written out, so that a later change of defaults (a wider window) moves nothing.
      if (!view.layer.value || !view.name.value) selectTensor(tensor.value);
    };
  }

  function followNewest() {
    if (view.follow.value) view.step.value = steps.value.at(-1) ?? null;
  }

  /** @param {1 | -1} [direction] */
  function selectFinding(direction = 1) {
    const found = heads(health.found.value.findings);
    const next = nextFinding(found, steps.value[stepIndex.value] ?? -1, direction);
    if (next) showFinding(next);
  }

  /**
   * Goes to where a finding shows: its tensor, the step at which it begins, and the panel that shows such a thing.
   * @param {import("../findings/findings.js").Finding} finding
   */
  function showFinding(finding) {
    const { tensor: of, first } = finding;
    batch(() => {
      if (of !== null) {
        selectTensor(of);
        showKind(of);
        view.panel.value = panelOf(finding);
      }
      selectStep(nearestIndex(steps.value, first));
      if (view.why.value) view.why.value = keyOf(finding);
    });
  }

  /**
   * Shows the map of a tensor's kind, too.
   * @param {number} of
   */
  function showKind(of) {
    const kind = current.value?.info.tensors[of]?.kind;
    if (!kind || kinds.value.includes(kind)) return;
    view.maps.value = roomForMaps.value > 1 ? [...kinds.value.slice(1), kind] : [kind];
  }

  /**
   * Goes to the replay of the batch that broke a run, at the tensor that the finding names.
   * @param {import("../findings/findings.js").Finding} finding
   */
  function showReplay(finding) {
    const { replay } = finding;
    if (!replay) return;
    batch(() => {
      showFinding(finding);
      selectRun(replay.run);
      view.step.value = replay.step;
      view.follow.value = false;
      view.why.value = "";
    });
  }

  // --- runs and steps: polled

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
        if (!view.run.value && found.length) view.run.value = openedRun(found).run;
        if (recovered) retries.value++;
      });
      await Promise.all([data.refresh(found), comparison.refresh(found)]);
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

  /** @param {unknown} error */
  function noteFailure(error) {
    if (connection.value.status === "live") {
      connection.value = { status: "lost", since: new Date(), message: messageOf(error) };
    }
  }

  const timer = setInterval(() => {
    if (!document.hidden) void poll();
  }, POLL_MILLISECONDS);
  end.addEventListener("abort", () => clearInterval(timer));
  void poll();

  return {
    view,
    runs,
    unreadable,
    withoutSteps,
    run,
    current,
    connection,
    revision: data.revision,
    columnProblems: data.columnProblems,
    ...selected,
    comparison,
    ...unitData,
    bands,
    others,
    picture,
    playing,
    roomForMaps,
    kinds,
    steps,
    stepIndex,
    tensor,
    found: health.found,
    chosenFinding: evidence.chosen,
    course: evidence.course,
    evaluation,
    selectFinding,
    showFinding,
    showReplay,
    poll,
    selectRun,
    selectStep,
    selectTensor,
  };
}

/**
 * @param {unknown} a
 * @param {unknown} b
 */
function sameJson(a, b) {
  return JSON.stringify(a) === JSON.stringify(b);
}
