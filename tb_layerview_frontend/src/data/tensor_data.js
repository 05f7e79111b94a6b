/** One tensor of a run: at the selected step, and its distribution over all steps. */

import { batch, computed, signal } from "@preact/signals";

import { createDetails, keyOf } from "./details.js";
import { keptValues, valuesStandingFor } from "./kept_steps.js";
import { decodeHistograms, splitColumns } from "./payload.js";
import { isOther } from "./requests.js";
import { fetchHistograms, fetchStatistics } from "./routes.js";
import { failIn, makeTensorTasks } from "./tensor_tasks.js";

/** @typedef {import("./details.js").Detail} Detail */
/** @typedef {import("./details.js").TensorHistory} TensorHistory */
/** @typedef {import("./payload.js").Values} Values */
/** @typedef {import("./tensor_tasks.js").OfTensor} OfTensor */
/** @typedef {import("./types.js").TensorRecord} TensorRecord */

/**
 * @template T
 * @typedef {import("./run.js").Loadable<T>} Loadable
 */

/**
 * A run, and which tensor and step of it are selected.
 * @typedef {Pick<import("./run_data.js").RunData, "current" | "generation" | "steps" | "load"> & {
 *   tensor: import("@preact/signals").ReadonlySignal<number>,
 *   step: import("@preact/signals").ReadonlySignal<number | undefined>,
 * }} Selection `tensor` is its index, -1 for none; `step` one that is logged
 */

/** @typedef {ReturnType<typeof createTensorData>} TensorData */

/**
 * @param {Selection} of
 * @param {import("./tasks.js").Asks} asks
 * @param {() => boolean} [wanted] reads signals: whether anybody looks
 */
export function createTensorData(of, asks, wanted) {
  const { current, generation, steps, tensor, step } = of;
  const { end } = asks.tasks;
  const onTensor = makeTensorTasks(of, asks, wanted);
  const { detailOf, valuesOf, historyOf, keepHistory } = createDetails(() => steps.value, end);
  /** @type {import("@preact/signals").Signal<Loadable<Detail>>} the last that arrived stays until the next is there */
  const detail = signal({ status: "loading" });
  /** Why the selected detail is not there, and another one, of the same tensor, is still shown; empty if it is. */
  const detailProblem = signal("");
  /** Whether another detail than the one that is there is under way. */
  const underWay = signal(false);
  // What nobody looks at any more is not waited for.
  const detailPending = computed(() => underWay.value && (wanted?.() ?? true));
  /** @type {import("@preact/signals").Signal<Loadable<TensorHistory>>} */
  const histograms = signal({ status: "loading" });

  // The selected tensor at the selected step.
  onTensor(
    () => ({ step: step.value }),
    async ({ step: at, ...asked }, abort) => {
      if (at === undefined) return;
      underWay.value = true;
      try {
        const value = await detailOf(asked, at);
        if (abort.aborted) return;
        batch(() => {
          detail.value = { status: "ready", value };
          detailProblem.value = "";
        });
      } finally {
        if (!abort.aborted) underWay.value = false;
      }
      await prefetch(steps.value, at, (near) => detailOf(asked, near), abort);
    },
    (message) => {
      const shown = detail.value;
      // What is old and known to be so is better than nothing, as long as it is of the same tensor.
      const { run } = shown.status === "ready" ? shown.value : { run: "" };
      if (
        shown.status === "ready" &&
        run === current.value?.name &&
        shown.value.tensor === tensor.value
      ) {
        detailProblem.value = message;
      } else detail.value = { status: "error", message };
    },
  );

  // Its distribution over all steps.
  onTensor(
    () => ({ count: steps.value.length }),
    async ({ count, ...asked }, abort) => {
      const key = keyOf(asked);
      const shown = histograms.value;
      const known = historyOf(key);
      if (known) histograms.value = { status: "ready", value: known };
      else if (shown.status !== "ready" || shown.value.key !== key) {
        histograms.value = { status: "loading" };
      }
      if (known && known.bySteps.length >= count) return;
      const kind = current.value?.info.tensors[asked.tensor].kind ?? "activation";
      const value = await laterHistory(asked, kind, known, abort);
      if (!value) {
        await of.load(asked.name, abort);
        return;
      }
      keepHistory(value);
      histograms.value = { status: "ready", value };
    },
    failIn(histograms),
  );

  /** @param {number} index of a tensor of the run */
  const ofRun = (index) => ({
    name: current.value?.name ?? "",
    generation: generation.value,
    tensor: index,
  });

  /**
   * Any tensor of the run at any step, with its values and no more.
   * @param {number} index
   * @param {number} at
   * @returns {Promise<{values: Values | null, step: number | null, record: TensorRecord}>} the step of the values
   */
  const valuesAt = (index, at) => valuesStandingFor(ofRun(index), at, valuesOf, end);

  /**
   * Which steps keep a tensor's values, and these.
   * @param {number} index
   */
  const keptOf = (index) => keptValues(ofRun(index), steps.value, valuesOf, end);

  return { detail, detailPending, detailProblem, histograms, valuesAt, keptOf, detailOf };
}

/**
 * The steps beside the selected one, so that the slider finds them here.
 * @param {number[]} steps that are logged
 * @param {number} step the selected one
 * @param {(step: number) => Promise<Detail>} detailAt
 * @param {AbortSignal} abort
 */
async function prefetch(steps, step, detailAt, abort) {
  const at = steps.indexOf(step);
  for (const distance of [1, -1, 2, -2, 3]) {
    const near = steps[at + distance];
    if (near === undefined) continue;
    if (abort.aborted) return;
    try {
      await detailAt(near);
    } catch {
      // Nobody asked for it yet; who does will be told.
      return;
    }
  }
}

/**
 * A tensor's history with the steps that came after those that are known.
 * @param {OfTensor} asked
 * @param {import("./types.js").Kind} kind
 * @param {TensorHistory | undefined} known
 * @param {AbortSignal} abort
 * @returns {Promise<TensorHistory | null>} null if the run was logged anew in between
 */
async function laterHistory(asked, kind, known, abort) {
  const { name, generation, tensor } = asked;
  const since = known?.bySteps.length ?? 0;
  const [sent, ends] = await Promise.all([
    fetchHistograms(name, tensor, since, abort),
    fetchStatistics(name, kind, ["min", "max"], since, abort, tensor),
  ]);
  if (isOther(sent, generation) || isOther(ends, generation)) return null;
  return {
    key: keyOf(asked),
    tensor,
    bySteps: [...(known?.bySteps ?? []), ...decodeHistograms(sent.buffer)],
    unreadable: (known?.unreadable ?? 0) + sent.unreadable,
    extremes: widen(known?.extremes ?? [Infinity, -Infinity], ends.buffer),
  };
}

/**
 * A range that also holds what came in since.
 * @param {[number, number]} range
 * @param {ArrayBuffer} sent float32: the smallest element at each step, then the largest at each; NaN where none is finite
 * @returns {[number, number]}
 */
function widen([low, high], sent) {
  const [[lows], [highs]] = splitColumns(sent, 2, 1);
  for (const value of lows) if (value < low) low = value;
  for (const value of highs) if (value > high) high = value;
  return [low, high];
}
