/**
 * What is known of the run that is compared with: B. The run that is shown is A. Of two steps of one run the one that is
 * compared with is before: it is called A on the screen, and the shown step B.
 */

import { batch, computed } from "@preact/signals";

import { createRunData } from "../data/run_data.js";
import { createTensorData } from "../data/tensor_data.js";
import { PARTING_ORDER } from "../map/order.js";
import { createEvidence } from "./evidence.js";
import { createPairing } from "./pairing.js";
import { firstCommonStep } from "./same_start.js";

/** @typedef {import("../data/run.js").Run} Run */

/** @typedef {ReturnType<typeof createComparison>} Comparison */

/**
 * @param {import("../kit/core.js").Core} core of A
 * @param {import("../data/tasks.js").Asks} asks
 */
export function createComparison(core, asks) {
  const { view, runs } = core;
  const on = computed(() => view.against.value !== "");
  const sameRun = computed(() => on.value && view.against.value === view.run.value);
  /** Whether TensorBoard lists B. */
  const listed = computed(
    () =>
      runs.value.status === "ready" &&
      runs.value.value.some(({ run }) => run === view.against.value),
  );
  const other = createRunData(
    {
      name: () => (sameRun.value ? "" : view.against.value),
      kinds: () => (core.current.value ? core.kindsWanted(core.current.value) : []),
      statistics: core.statistics,
      onLoad: async () => null,
      onAppend: () => {},
    },
    {
      ...asks,
      // A run that comes back is asked for again, like all else after a failure.
      retries: computed(() => 2 * asks.retries.value + (listed.value ? 1 : 0)),
    },
  );
  /** @type {import("@preact/signals").ReadonlySignal<import("../data/run.js").Loadable<Run>>} */
  const run = computed(() => {
    if (sameRun.value) return core.run.value;
    const state = other.run.value;
    // What is left of another run is none of B's.
    return state.status === "ready" && state.value.name !== view.against.value
      ? { status: "loading" }
      : state;
  });
  const current = computed(() =>
    on.value && run.value.status === "ready" ? run.value.value : null,
  );
  const steps = computed(() => current.value?.history.steps ?? []);
  const generation = computed(() => current.value?.history.generation ?? "");
  const source = () => (sameRun.value ? core : other);

  const pairing = createPairing(core, { current, steps, sameRun });
  const { matching, stepIndex, tensor } = pairing;
  /** Whether the map shows how far both are apart. */
  const showsDifference = computed(
    () =>
      on.value && view.compareMap.value === "difference" && Boolean(matching.value?.pairs.length),
  );
  const selected = createTensorData(
    {
      current,
      generation,
      steps,
      load: (name, abort) => source().load(name, abort),
      tensor,
      step: computed(() => steps.value[stepIndex.value]),
    },
    asks,
  );
  const evidence = createEvidence(
    {
      a: () => (sameRun.value ? null : core.current.value),
      b: () => current.value,
      matching: () => matching.value,
      common: () => firstCommonStep(core.steps.value, steps.value),
    },
    asks,
  );

  /** @param {string} name of a run; empty: compare no more */
  function compareWith(name) {
    batch(() => {
      // It opens where the runs part, and leaves no order that means nothing without B.
      const opens = name && !view.against.value;
      if (opens) [view.order.value, view.screen.value] = [PARTING_ORDER.name, "map"];
      else if (!name && view.order.value === PARTING_ORDER.name) view.order.value = "model";
      view.against.value = name;
      const first = core.steps.value[0] ?? null;
      view.againstStep.value = name && name === view.run.value ? first : null;
    });
  }

  /** A becomes B, and B becomes A. */
  function swap() {
    const at = steps.value[stepIndex.value];
    batch(() => {
      if (sameRun.value) view.againstStep.value = core.step.value ?? null;
      else [view.run.value, view.against.value] = [view.against.value, view.run.value];
      if (at !== undefined) view.step.value = at;
    });
  }

  return {
    on,
    sameRun,
    listed,
    run,
    current,
    steps,
    revision: computed(() => core.revision.value + other.revision.value),
    columnProblems: computed(() => source().columnProblems.value),
    ...pairing,
    showsDifference,
    selected,
    evidence,
    refresh: other.refresh,
    compareWith,
    swap,
  };
}

/**
 * Whether the shown step stands beside the first one that is logged.
 * @param {Comparison} comparison
 */
export function isWithFirstStep({ sameRun, stepIndex }) {
  return sameRun.value && stepIndex.value === 0;
}

/**
 * Sets the shown step beside the first one, or alone again.
 * @param {Comparison} comparison
 * @param {string} run that is shown
 */
export function toggleFirstStep(comparison, run) {
  comparison.compareWith(isWithFirstStep(comparison) ? "" : run);
}
