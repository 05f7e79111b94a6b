/** What is found wrong in a run, and where to look at it. */

import { firstTrouble } from "./aggregate.js";
import { formatShare } from "./format.js";
import { KINDS } from "./selection.js";

/**
 * @typedef {object} Finding
 * @property {number} step
 * @property {number} tensor index
 * @property {string} words a sentence
 */

/**
 * What can be said of a run as far as it is read: where a tensor first holds NaN or inf.
 * @param {Pick<import("./run_data.js").Run, "info" | "history" | "columns">} run
 * @returns {Finding[]} in the order of steps; at a step activations come first, for what they hold the others get from them
 */
export function findings({ info, history, columns }) {
  /** @type {Finding[]} */
  const found = [];
  for (const [kind, known] of columns) {
    if (!known.has("non_finite")) continue;
    const { tensors } = known;
    known.of("non_finite", tensors).forEach((shares, i) => {
      const tensor = tensors[i];
      const at = firstTrouble(shares);
      if (at < 0 || at >= history.steps.length) return;
      const { layer, name } = info.tensors[tensor];
      const words =
        `${formatShare(shares[at])} of ${info.layers[layer].path} · ${kind} ${name} ` +
        "is NaN or inf, for the first time.";
      found.push({ step: history.steps[at], tensor, words });
    });
  }
  const order = KINDS.map(({ kind }) => kind);
  const place = (/** @type {Finding} */ { tensor }) => order.indexOf(info.tensors[tensor].kind);
  return found.sort((a, b) => a.step - b.step || place(a) - place(b) || a.tensor - b.tensor);
}

/**
 * The steps at which something is found, each once.
 * @param {Finding[]} found in the order of steps
 * @returns {number[]}
 */
export function findingSteps(found) {
  return found.map(({ step }) => step).filter((step, i, all) => step !== all[i - 1]);
}

/**
 * The finding to go to next: the first one of the next step that has any, and after the last step again of the first.
 * @param {Finding[]} found in the order of steps
 * @param {number} step at which one stands
 * @param {1 | -1} direction
 * @returns {Finding | null} null if nothing is found
 */
export function nextFinding(found, step, direction = 1) {
  const steps = findingSteps(found);
  if (!steps.length) return null;
  const to =
    direction > 0
      ? (steps.find((other) => other > step) ?? steps[0])
      : (steps.filter((other) => other < step).at(-1) ?? steps[steps.length - 1]);
  return found.find((finding) => finding.step === to) ?? null;
}
