/** What of A and of B belongs together: their tensors, and their steps. */

import { computed } from "@preact/signals";

import { matchSteps, matchTensors, shownStepIndex } from "../data/matching.js";

/**
 * @template T
 * @typedef {import("@preact/signals").ReadonlySignal<T>} ReadonlySignal
 */

/**
 * @param {import("../kit/core.js").Core} core of A
 * @param {object} b
 * @param {ReadonlySignal<import("../data/run.js").Run | null>} b.current
 * @param {ReadonlySignal<number[]>} b.steps
 * @param {ReadonlySignal<boolean>} b.sameRun whether B is another step of A
 */
export function createPairing({ view, ...a }, { current, steps, sameRun }) {
  const matching = computed(() => {
    const [own, other] = [a.current.value, current.value];
    return own && other ? matchTensors(own.info, other.info) : null;
  });
  /** The one step of B that all steps of A are compared with, as an index; -1: each with its own. */
  const fixed = computed(() => {
    if (view.againstStep.value !== null) return shownStepIndex(steps.value, view.againstStep.value);
    return sameRun.value && steps.value.length ? 0 : -1;
  });
  /** By step of A, the step of B that it is compared with. */
  const matched = computed(() =>
    fixed.value >= 0
      ? new Int32Array(a.steps.value.length).fill(fixed.value)
      : matchSteps(a.steps.value, steps.value),
  );
  /** The step of B that stands beside the selected one. */
  const stepIndex = computed(() =>
    fixed.value >= 0 ? fixed.value : shownStepIndex(steps.value, a.step.value ?? 0),
  );
  /** The tensor of B that is the selected one's partner; -1 for none. */
  const tensor = computed(() => matching.value?.partner[a.tensor.value] ?? -1);
  return { matching, fixed, matched, stepIndex, tensor };
}
