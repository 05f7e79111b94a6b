/** What of the network depends on the step: how its layers are, and how its gradients flow. */

import { comparedFlow, nearestFlow, vanishingBelow } from "./flow.js";
import { verdictOf } from "./verdict.js";

/** @typedef {import("../data/run.js").Run} Run */
/** @typedef {import("./lanes.js").Entry} Entry */

/**
 * @param {Entry[]} entries
 * @param {Run} run
 * @param {number} index of the step
 * @param {{own: ReturnType<typeof import("../findings/findings.js").byTensor>, inherited: number[][], causes: Set<import("./verdict.js").Finding>}} findings
 *   by tensor; tensors whose findings are a layer's, too, by layer; those that do not just follow from another
 * @returns {import("./verdict.js").Verdict[]} by entry
 */
export function verdictsAt(entries, run, index, { own, inherited, causes }) {
  const isLogged = loggedAt(run, index);
  const step = run.history.steps[index];
  return entries.map(({ part }) => verdictOf(part, step, own, isLogged, inherited, causes));
}

/**
 * @param {Entry[]} entries
 * @param {Run} run whose gradients' rms are there
 * @param {number} index of the step
 * @param {import("../map/use_comparison.js").Compared} comparison
 * @param {{range: [number, number], ratio: number}} of the axis; of the largest gradient, below which one has vanished
 * @returns {import("./draw_columns.js").Flow}
 */
export function flowAt(entries, run, index, comparison, { range, ratio }) {
  const line = (/** @type {number} */ from, /** @type {1 | -1} */ direction) =>
    nearestFlow(entries, run, "gradient", from, direction);
  const now = line(index, -1);
  return {
    range,
    first: line(0, 1),
    now,
    other: comparedFlow(entries, comparison, index),
    last: line(run.history.steps.length - 1, -1),
    updates: nearestFlow(entries, run, "update", index, -1),
    vanishing: vanishingBelow(now, ratio),
  };
}

/**
 * Which tensors are logged at a step.
 * @param {Run} run
 * @param {number} index of the step
 * @returns {(tensor: number) => boolean}
 */
function loggedAt({ columns, info }, index) {
  return (tensor) => {
    const own = columns.get(info.tensors[tensor].kind);
    const position = own?.positions.get(tensor);
    if (!own || position === undefined) return false;
    const value = own.views.get("non_finite")?.[position]?.[index];
    return value !== undefined && !Number.isNaN(value);
  };
}
