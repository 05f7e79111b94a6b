/** What is known of the run (or the step) that is compared with: B. The run that is shown is A. */

import { batch, computed, signal } from "@preact/signals";

import { matchSteps, matchTensors, shownStepIndex, tensorTitle } from "../data/matching.js";
import { RequestError } from "../data/requests.js";
import { fetchTensor } from "../data/routes.js";
import { createRunData } from "../data/run_data.js";
import { createTensorData } from "../data/tensor_data.js";
import { PARTING_ORDER } from "../map/order.js";
import { firstCommonStep, firstDifference, isTelling } from "./same_start.js";

/** @typedef {import("../data/types.js").Kind} Kind */
/** @typedef {import("../data/types.js").RunInfo} RunInfo */
/** @typedef {import("../data/types.js").RunSummary} RunSummary */
/** @typedef {import("../data/types.js").TensorRecord} TensorRecord */

/** @typedef {import("../data/run_data.js").Run} Run */
/** @typedef {import("./same_start.js").Evidence} Evidence */

/** @typedef {ReturnType<typeof createComparison>} Comparison */

/** Requests at a time while weights are compared; browsers allow six a server. */
const AT_ONCE = 4;

/**
 * @param {object} options
 * @param {import("../page/store.js").View} options.view
 * @param {import("@preact/signals").ReadonlySignal<import("../data/run_data.js").Loadable<RunSummary[]>>} options.runs
 * @param {import("../data/run_data.js").RunData} options.data A
 * @param {import("@preact/signals").ReadonlySignal<number>} options.tensor of A, -1 for none
 * @param {import("@preact/signals").ReadonlySignal<number>} options.stepIndex of A
 * @param {(run: Run) => Kind[]} options.kinds reads signals: of which kinds statistics are wanted
 * @param {(kind: Kind) => string[]} options.statistics reads signals: which statistics are wanted of such a kind
 * @param {import("@preact/signals").ReadonlySignal<number>} options.retries counts up when what failed should be asked again
 * @param {import("../data/tasks.js").Tasks} options.tasks
 */
export function createComparison({
  view,
  runs,
  data,
  tensor,
  stepIndex,
  kinds,
  statistics,
  retries,
  tasks,
}) {
  const on = computed(() => view.against.value !== "");
  const sameRun = computed(() => on.value && view.against.value === view.run.value);
  /** Whether TensorBoard lists B. */
  const listed = computed(
    () =>
      runs.value.status === "ready" &&
      runs.value.value.some(({ run }) => run === view.against.value),
  );
  const other = createRunData({
    name: () => (sameRun.value ? "" : view.against.value),
    kinds,
    statistics,
    onLoad: async () => null,
    onAppend: () => {},
    // A run that comes back is asked for again, like all else after a failure.
    retries: computed(() => 2 * retries.value + (listed.value ? 1 : 0)),
    tasks,
  });
  /** @type {import("@preact/signals").ReadonlySignal<import("../data/run_data.js").Loadable<Run>>} */
  const loaded = computed(() => {
    if (sameRun.value) return data.run.value;
    const state = other.run.value;
    // What is left of another run is none of B's.
    return state.status === "ready" && state.value.name !== view.against.value
      ? { status: "loading" }
      : state;
  });
  const current = computed(() =>
    on.value && loaded.value.status === "ready" ? loaded.value.value : null,
  );
  const steps = computed(() => current.value?.history.steps ?? []);
  const generation = computed(() => current.value?.history.generation ?? "");
  const source = () => (sameRun.value ? data : other);

  const matching = computed(() => {
    const [a, b] = [data.current.value, current.value];
    return a && b ? matchTensors(a.info, b.info) : null;
  });
  /** The one step of B that all steps of A are compared with, as an index; -1: each with its own. */
  const fixed = computed(() => {
    if (view.againstStep.value !== null) return shownStepIndex(steps.value, view.againstStep.value);
    return sameRun.value && steps.value.length ? 0 : -1;
  });
  /** By step of A, the step of B that it is compared with. */
  const matched = computed(() =>
    fixed.value >= 0
      ? new Int32Array(data.steps.value.length).fill(fixed.value)
      : matchSteps(data.steps.value, steps.value),
  );
  /** Whether the map shows how far both are apart. */
  const showsDifference = computed(
    () =>
      on.value && view.compareMap.value === "difference" && Boolean(matching.value?.pairs.length),
  );
  const stepIndexB = computed(() =>
    fixed.value >= 0
      ? fixed.value
      : shownStepIndex(steps.value, data.steps.value[stepIndex.value] ?? 0),
  );
  const tensorB = computed(() => matching.value?.partner[tensor.value] ?? -1);
  const selected = createTensorData({
    data: {
      ...other,
      current,
      generation,
      steps,
      load: (name, abort) => source().load(name, abort),
    },
    tensor: tensorB,
    step: computed(() => steps.value[stepIndexB.value]),
    wantsUnits: () => false,
    retries,
    tasks,
  });

  /** @type {import("@preact/signals").Signal<Evidence>} */
  const evidence = signal({ status: "checking" });
  tasks.onChange(
    () => ({
      a: sameRun.value ? null : data.current.value?.info,
      b: current.value?.info,
      common: firstCommonStep(data.steps.value, steps.value),
      retry: retries.value,
    }),
    async ({ a, b, common }, abort) => {
      if (!a || !b || !matching.value) return;
      evidence.value = { status: "checking" };
      const found = await compareWeights(a, b, matching.value, common, abort);
      if (!abort.aborted) evidence.value = found;
    },
    (why) => {
      evidence.value = { status: "unknown", why };
    },
  );

  /** @param {string} name of a run; empty: compare no more */
  function compareWith(name) {
    batch(() => {
      // It opens where the runs part, and leaves no order behind that means nothing without B.
      if (name && !view.against.value) view.order.value = PARTING_ORDER.name;
      else if (!name && view.order.value === PARTING_ORDER.name) view.order.value = "model";
      view.against.value = name;
      view.againstStep.value =
        name && name === view.run.value ? (data.steps.value[0] ?? null) : null;
    });
  }

  /** A becomes B, and B becomes A. */
  function swap() {
    const at = steps.value[stepIndexB.value];
    batch(() => {
      if (sameRun.value) {
        view.againstStep.value = data.steps.value[stepIndex.value] ?? null;
      } else {
        const name = view.run.value;
        view.run.value = view.against.value;
        view.against.value = name;
      }
      if (at !== undefined) view.step.value = at;
    });
  }

  return {
    on,
    sameRun,
    listed,
    run: loaded,
    current,
    steps,
    revision: computed(() => data.revision.value + other.revision.value),
    columnProblems: computed(() => source().columnProblems.value),
    matching,
    matched,
    fixed,
    showsDifference,
    stepIndex: stepIndexB,
    tensor: tensorB,
    ...selected,
    evidence,
    refresh: other.refresh,
    compareWith,
    swap,
  };
}

/**
 * Compares the weights of two runs at a step, to the last digit.
 * @param {RunInfo} a
 * @param {RunInfo} b
 * @param {import("../data/matching.js").Matching} matching
 * @param {number | null} step the first that both logged
 * @param {AbortSignal} abort
 * @returns {Promise<Evidence>}
 */
async function compareWeights(a, b, { pairs, partner }, step, abort) {
  const weights = pairs.filter((index) => a.tensors[index].kind === "weight");
  if (!weights.length) return { status: "unknown", why: "no weight is logged in both" };
  if (step === null) return { status: "unknown", why: "no step is logged in both" };
  let count = 0;
  let telling = false;
  for (let from = 0; from < weights.length; from += AT_ONCE) {
    const records = await Promise.all(
      weights.slice(from, from + AT_ONCE).map(async (index) => {
        const [own, others] = await Promise.all([
          recordAt(a.run, index, step, abort),
          recordAt(b.run, partner[index], step, abort),
        ]);
        return { index, own, others };
      }),
    );
    for (const { index, own, others } of records) {
      if (!own || !others) continue;
      const statistic = firstDifference(own, others);
      if (statistic) {
        const title = tensorTitle(a, a.tensors[index]);
        return {
          status: "different",
          step,
          title,
          statistic,
          a: own[statistic],
          b: others[statistic],
        };
      }
      count++;
      telling ||= isTelling(own);
    }
  }
  if (telling) return { status: "same", step, count };
  const why = count
    ? `all ${count} weights that both logged are constant, as they are in any run`
    : `at step ${step} no weight is logged in both`;
  return { status: "unknown", why };
}

/**
 * @param {string} run
 * @param {number} tensor
 * @param {number} step
 * @param {AbortSignal} abort
 * @returns {Promise<TensorRecord | null>} null where the tensor was not logged at that step
 */
async function recordAt(run, tensor, step, abort) {
  try {
    return await fetchTensor(run, tensor, step, abort);
  } catch (error) {
    if (error instanceof RequestError && error.status === 404) return null;
    throw error;
  }
}
