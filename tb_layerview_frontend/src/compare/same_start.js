/** Whether two runs may be compared element by element: what shows it, and what is said of it. */

import { isOfProbe } from "../data/selection.js";
import { formatCount, formatValue } from "../kit/format.js";

/** @typedef {import("../data/types.js").TensorRecord} TensorRecord */
/** @typedef {import("../data/types.js").RunInfo} RunInfo */
/** @typedef {import("../data/types.js").Kind} Kind */

/**
 * What the weights at the first step that both runs logged say of their start.
 * @typedef {{status: "checking"}
 *   | {status: "same", step: number, count: number}
 *   | {status: "different", step: number, title: string, statistic: string, a: number, b: number}
 *   | {status: "unknown", why: string}} Evidence
 */

/** Equal to the last digit of float64: two tensors that share all of these are the same draw. */
const DIGEST = /** @type {const} */ (["mean", "std", "min", "max", "rms"]);

/**
 * The first statistic in which two tensors differ.
 * @param {TensorRecord} a
 * @param {TensorRecord} b
 * @returns {(typeof DIGEST)[number] | null} null where all are equal
 */
export function firstDifference(a, b) {
  return DIGEST.find((name) => !Object.is(a[name], b[name])) ?? null;
}

/**
 * Whether a tensor can tell one start from another: zeros and ones are the same in every run.
 * @param {TensorRecord} record
 */
export function isTelling({ std }) {
  return std > 0;
}

/**
 * @param {ArrayLike<number>} a ascending
 * @param {ArrayLike<number>} b ascending
 * @returns {number | null} the first step that both have
 */
export function firstCommonStep(a, b) {
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    if (a[i] === b[j]) return a[i];
    if (a[i] < b[j]) i++;
    else j++;
  }
  return null;
}

/**
 * What the evidence says, in a sentence.
 * @param {Evidence} evidence
 */
export function evidenceInWords(evidence) {
  switch (evidence.status) {
    case "checking":
      return "Whether both runs started from the same weights is being read…";
    case "same":
      return (
        `Same start: at step ${formatCount(evidence.step)} the statistics of all ${formatCount(evidence.count)} weights are equal, ` +
        "so units correspond."
      );
    case "different": {
      const { step, title, statistic, a, b } = evidence;
      const start =
        step === 0
          ? "The runs started from different weights"
          : `Nothing shows that the runs started from the same weights: at step ${formatCount(step)}, the first that both ` +
            "logged, they differ";
      return (
        `${start} (${title}: ${statistic} ${formatValue(a)} in A, ${formatValue(b)} in B). ` +
        "Units of nets with different initial weights do not correspond."
      );
    }
    case "unknown":
      return `Nothing shows that the runs started from the same weights: ${evidence.why}.`;
  }
}

/**
 * Whether two runs saw the same inputs where activations and gradients were computed; what is said if not.
 * @param {RunInfo} a
 * @param {RunInfo} b
 * @returns {string} empty: the same
 */
export function inputsDiffer(a, b) {
  if (a.probe && b.probe) {
    if (a.probe.hash === b.probe.hash) return "";
    const modes =
      a.probe.training === b.probe.training
        ? ""
        : ` (A in ${mode(a.probe)} mode, B in ${mode(b.probe)} mode)`;
    return `The probes differ: activations and gradients of A and B come from different inputs${modes}. Only distributions compare.`;
  }
  const without =
    !a.probe && !b.probe ? "Neither run has" : `Run ${a.probe ? "B" : "A"} does not have`;
  return `${without} a fixed probe: activations and gradients may come from different inputs. Only distributions compare.`;
}

/** @param {NonNullable<RunInfo["probe"]>} probe */
function mode({ training }) {
  return training ? "training" : "inference";
}

/**
 * Whether pictures of a pair of tensors are offered element by element, and why.
 * @param {object} what
 * @param {boolean} what.sameRun two steps of one run
 * @param {Kind} what.kind
 * @param {boolean} what.sameShape
 * @param {string} what.inputs from `inputsDiffer`
 * @param {Evidence} what.evidence
 * @returns {{offered: boolean, why: string}}
 */
export function pictureOffer({ sameRun, kind, sameShape, inputs, evidence }) {
  if (!sameShape) {
    return {
      offered: false,
      why: "The shapes differ, so there is no element of B for each of A. Statistics and distributions compare.",
    };
  }
  if (sameRun) return { offered: true, why: "Two steps of one run: units correspond." };
  if (inputs && isOfProbe(kind)) {
    return {
      offered: false,
      why: "A and B have seen different inputs, or may have: no element of one belongs to an element of the other.",
    };
  }
  return { offered: evidence.status === "same", why: evidenceInWords(evidence) };
}
