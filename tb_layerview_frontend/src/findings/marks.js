/** Where findings lie on the map and on the slider. */

import { nearestIndex } from "../kit/axis.js";
import { worstFinding } from "./findings.js";

/** @typedef {import("../data/types.js").Finding} Finding */

/**
 * A stretch of steps at which something is found of a row, as indices of steps, the last one included.
 * @typedef {{from: number, to: number, severity: Finding["severity"]}} Span
 */

/**
 * The stretches of a row: where an error and a warning meet, the error.
 * @param {Finding[]} findings of the row's tensors
 * @param {ArrayLike<number>} steps that are logged
 * @returns {Span[]} not overlapping, ascending
 */
export function spansOf(findings, steps) {
  /** @type {Span[]} */
  const spans = [];
  const marks = new Uint8Array(steps.length);
  for (const { first, last, severity } of findings) {
    const level = severity === "error" ? 2 : 1;
    const to = nearestIndex(steps, last);
    for (let i = nearestIndex(steps, first); i >= 0 && i <= to; i++) {
      if (marks[i] < level) marks[i] = level;
    }
  }
  for (let from = 0; from < marks.length; from++) {
    if (!marks[from]) continue;
    let to = from;
    while (marks[to + 1] === marks[from]) to++;
    spans.push({ from, to, severity: marks[from] === 2 ? "error" : "warning" });
    from = to;
  }
  return spans;
}

/**
 * The marks of a slider or an axis: one for each place, the worst of those that lie too near to each other.
 * @param {Finding[]} findings
 * @param {(step: number) => number} place
 * @param {number} least distance of two marks
 * @returns {{at: number, severity: Finding["severity"]}[]} ascending
 */
export function marksOf(findings, place, least) {
  const ordered = findings
    .map((finding) => ({ at: place(finding.first), finding }))
    .sort((a, b) => a.at - b.at);
  /** @type {{at: number, found: Finding[]}[]} */
  const heaps = [];
  for (const { at, finding } of ordered) {
    const heap = heaps.at(-1);
    if (heap && at - heap.at < least) heap.found.push(finding);
    else heaps.push({ at, found: [finding] });
  }
  return heaps.map(({ at, found }) => ({ at, severity: worstFinding(found).severity }));
}
