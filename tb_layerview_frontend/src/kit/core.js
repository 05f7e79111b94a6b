/** The part of the state that every room gets: what is chosen, and what is known of the run and the tensor it leads to. */

import { batch, computed, signal } from "@preact/signals";

import { createRunData } from "../data/run_data.js";
import { chosenIn, kindsOf, shownKinds } from "../data/selection.js";
import { statisticOf } from "../data/statistics.js";
import { createTensorData } from "../data/tensor_data.js";
import { nearestIndex, usualSpacing } from "./axis.js";
import { healthySteps } from "./scale_range.js";

/** @typedef {import("../data/run.js").Run} Run */
/** @typedef {import("../data/types.js").Kind} Kind */

/** @typedef {ReturnType<typeof createCore>} Core */

/** The kinds whose size the network shows, from layer to layer. @type {Kind[]} */
const FLOWING = ["gradient", "update"];

/**
 * @param {object} of
 * @param {import("./view.js").View} of.view
 * @param {import("@preact/signals").ReadonlySignal<import("../data/run.js").Loadable<import("../data/types.js").RunSummary[]>>} of.runs
 * @param {(run: Run, abort: AbortSignal) => Promise<(() => void) | null>} of.onLoad see `createRunData`
 * @param {import("../data/tasks.js").Asks} asks
 */
export function createCore({ view, runs, onLoad }, asks) {
  const playing = signal(false);
  /** How many kinds' maps there is room for. */
  const roomForMaps = signal(1);

  /** @param {Run} run */
  const kindsShown = ({ info }) => shownKinds(info.tensors, view.maps.value, roomForMaps.value);
  /** @param {Run} run */
  const chosenTensor = (run) =>
    chosenIn(
      run.info,
      {
        layer: view.layer.value,
        kind: view.kind.value,
        name: view.name.value,
        call: view.call.value,
      },
      kindsShown(run),
    );
  const { onNetwork, statistics, kindsWanted, isLookedAt } = createWants(view, {
    kindsShown,
    chosenTensor,
  });
  const data = createRunData(
    {
      name: () => view.run.value,
      kinds: kindsWanted,
      statistics,
      onLoad,
      onAppend: followNewest,
    },
    asks,
  );
  const { current, steps } = data;
  /** The kinds whose maps are shown. */
  const kinds = computed(() => (current.value ? kindsShown(current.value) : []));
  const stepIndex = computed(() =>
    view.step.value === null ? steps.value.length - 1 : nearestIndex(steps.value, view.step.value),
  );
  const step = computed(() => steps.value[stepIndex.value]);
  /** Index of the selected tensor; -1 while there is no run. */
  const tensor = computed(() => (current.value ? chosenTensor(current.value) : -1));
  const selected = createTensorData({ ...data, tensor, step }, asks, isLookedAt);

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

  function followNewest() {
    if (view.follow.value) view.step.value = steps.value.at(-1) ?? null;
  }

  return {
    view,
    runs,
    playing,
    roomForMaps,
    onNetwork,
    ...data,
    kinds,
    kindsWanted,
    statistics,
    tensor,
    step,
    stepIndex,
    ...createDrawing(view, data),
    selected,
    selectRun,
    selectTensor,
    selectStep,
    followNewest,
  };
}

/**
 * What is asked of the server, as the screen that is shown needs it.
 * @param {import("./view.js").View} view
 * @param {{kindsShown: (run: Run) => Kind[], chosenTensor: (run: Run) => number}} of kinds whose maps are shown; index of
 *   the selected tensor
 */
function createWants(view, { kindsShown, chosenTensor }) {
  /** Whether the first screen is shown: runs are compared on the other one. */
  const onNetwork = computed(() => view.screen.value === "network");
  /** The statistics that are wanted of a kind. @param {Kind} kind */
  const statistics = (kind) => [
    onNetwork.value ? "rms" : statisticOf(view.statistic.value, kind).name,
  ];
  /** The kinds of which statistics are wanted. @param {Run} run */
  const kindsWanted = (run) => {
    if (onNetwork.value) {
      return kindsOf(run.info.tensors).filter((kind) => FLOWING.includes(kind));
    }
    // Of what is compared the statistics are drawn over the steps, whatever the map shows.
    const compared = view.against.value ? run.info.tensors[chosenTensor(run)]?.kind : undefined;
    return [...new Set([...kindsShown(run), ...(compared ? [compared] : [])])];
  };
  /** Whether anybody looks at the selected tensor alone. */
  const isLookedAt = () => !onNetwork.value || view.detail.value;
  return { onNetwork, statistics, kindsWanted, isLookedAt };
}

/**
 * What all that is drawn over the steps has in common.
 * @param {import("./view.js").View} view
 * @param {Pick<ReturnType<typeof createRunData>, "current" | "steps">} data
 */
function createDrawing(view, data) {
  return { spacing: createSpacing(view, data), ...createHealthy(data) };
}

/**
 * How the steps lie along every axis: as a person has chosen, else as it suits the run as it was first seen; what comes later
 * moves nothing.
 * @param {import("./view.js").View} view
 * @param {Pick<ReturnType<typeof createRunData>, "current" | "steps">} data
 */
function createSpacing(view, { current, steps }) {
  let suits = { run: "", spacing: /** @type {import("./axis.js").Spacing} */ ("linear") };
  const usual = computed(() => {
    const run = current.value?.name ?? "";
    if (run !== suits.run) suits = { run, spacing: usualSpacing(steps.value) };
    return suits.spacing;
  });
  return computed(
    () => /** @type {import("./axis.js").Spacing} */ (view.spacing.value || usual.value),
  );
}

/**
 * The healthy past of the run, which ranges are of.
 * @param {Pick<ReturnType<typeof createRunData>, "current" | "steps">} data
 */
function createHealthy({ current, steps }) {
  /** At which step of which run numbers break, as its findings say. */
  const brokenAt = signal({ run: "", step: /** @type {number | null} */ (null) });
  /** How many of the logged steps lie before that. */
  const healthy = computed(() => {
    const { run, step } = brokenAt.value;
    return healthySteps(steps.value, run === current.value?.name ? step : null);
  });
  return { brokenAt, healthy };
}
