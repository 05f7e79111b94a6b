/** How an entry is doing at a step. */

import { worstFinding } from "../findings/findings.js";
import { lanesIn } from "./lanes.js";

/** @typedef {import("../findings/findings.js").Finding} Finding */
/** @typedef {import("./lanes.js").Lane} Lane */
/** @typedef {import("./lanes.js").Block} Block */

/** `unknown`: nothing of it is logged at that step. @typedef {"error" | "warning" | "healthy" | "unknown"} Health */

/** `isLed`: all of it follows from what is found elsewhere. @typedef {{health: Health, isLed: boolean, findings: Finding[]}} Verdict */

/** Classes of layers that give what they take, in another shape, in part, or summed up. */
const PASSES_ON =
  /^(Flatten|Reshape|Permute|RepeatVector|Identity|\w*Dropout(\dD)?|\w*(Pool|Pooling|Pad|Padding|Cropping|UpSampling)\dD)$/i;

/**
 * The activations whose verdict each layer inherits: those of the layer that it only passes on.
 * @param {Pick<import("../data/types.js").RunInfo, "layers" | "tensors">} info
 * @returns {number[][]} tensors by layer; none where a layer makes something of its own, or takes several
 */
export function inheritedFrom({ layers, tensors }) {
  /** @type {number[][]} */
  const given = layers.map(() => []);
  tensors.forEach(({ layer, kind }, tensor) => {
    if (kind === "activation") given[layer].push(tensor);
  });
  const passedOn = (/** @type {number} */ layer) => {
    const { inputs, class_name: name } = layers[layer];
    return inputs.length === 1 && inputs[0] !== layer && PASSES_ON.test(name) ? inputs[0] : -1;
  };
  return layers.map((_, layer) => {
    const found = [];
    const seen = new Set([layer]);
    for (let at = passedOn(layer); at >= 0 && !seen.has(at); at = passedOn(at)) {
      seen.add(at);
      found.push(...given[at]);
    }
    return found;
  });
}

/**
 * @param {Lane | Block} part
 * @param {number | undefined} step
 * @param {Map<number, Finding[]>} found by tensor
 * @param {(tensor: number) => boolean} isLogged at that step
 * @param {number[][]} [inherited] tensors whose findings are a layer's, too, by layer
 * @param {Set<Finding>} [causes] those that do not just follow from another; all if not given
 * @returns {Verdict} with what holds at that step, the worst first
 */
export function verdictOf(part, step, found, isLogged, inherited = [], causes) {
  const lanes = lanesIn(part);
  const tensors = lanes.flatMap((lane) => lane.tensors);
  const passedOn = lanes.flatMap(({ layer }) => inherited[layer] ?? []);
  const holdingOf = (/** @type {number[]} */ those) =>
    those
      .flatMap((tensor) => found.get(tensor) ?? [])
      .filter(({ first, last }) => step !== undefined && first <= step && step <= last);
  const own = holdingOf(tensors);
  const holding = holdingOf([...new Set([...tensors, ...passedOn])]);
  if (holding.length) {
    const worst = worstFinding(holding);
    return {
      health: worst.severity,
      isLed: causes !== undefined && !own.some((finding) => causes.has(finding)),
      findings: [worst, ...holding.filter((finding) => finding !== worst)],
    };
  }
  const health = tensors.some(isLogged) ? "healthy" : "unknown";
  return { health, isLed: false, findings: [] };
}

/** @param {Verdict} verdict */
export const inWords = ({ health, isLed }) =>
  `${HEALTH_IN_WORDS[health]}${isLed ? ", which follows from another layer's" : ""}`;

/** @type {Record<Health, string>} */
const HEALTH_IN_WORDS = {
  error: "error",
  warning: "warning",
  healthy: "no problem",
  unknown: "not logged at this step",
};
