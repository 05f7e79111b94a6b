/** How an entry is doing at a step. */

import { worstFinding } from "../findings/findings.js";
import { lanesIn } from "./lanes.js";

/** @typedef {import("../findings/findings.js").Finding} Finding */
/** @typedef {import("./lanes.js").Lane} Lane */
/** @typedef {import("./lanes.js").Block} Block */

/** `unknown`: nothing of it is logged at that step. @typedef {"error" | "warning" | "healthy" | "unknown"} Health */

/** @typedef {{health: Health, findings: Finding[]}} Verdict */

/**
 * @param {Lane | Block} part
 * @param {number | undefined} step
 * @param {Map<number, Finding[]>} found by tensor
 * @param {(tensor: number) => boolean} isLogged at that step
 * @returns {Verdict} with what holds at that step, the worst first
 */
export function verdictOf(part, step, found, isLogged) {
  const tensors = lanesIn(part).flatMap((lane) => lane.tensors);
  const holding = tensors
    .flatMap((tensor) => found.get(tensor) ?? [])
    .filter(({ first, last }) => step !== undefined && first <= step && step <= last);
  if (holding.length) {
    const worst = worstFinding(holding);
    return {
      health: worst.severity,
      findings: [worst, ...holding.filter((finding) => finding !== worst)],
    };
  }
  return { health: tensors.some(isLogged) ? "healthy" : "unknown", findings: [] };
}

/** @type {Record<Health, string>} */
export const HEALTH_IN_WORDS = {
  error: "error",
  warning: "warning",
  healthy: "no problem",
  unknown: "not logged at this step",
};
