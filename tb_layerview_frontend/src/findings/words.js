/** Findings and their rules in words. */

import { NUMBERS } from "../data/numbers.js";
import { STATISTICS } from "../data/statistics.js";
import { formatCount, formatShare, formatValue } from "../kit/format.js";

/** @typedef {import("../data/types.js").Finding} Finding */
/** @typedef {import("../data/types.js").Rule} Rule */

export const SIGNS = { error: "✖", warning: "▲" };

/** What only rules measure. */
const OWN = /** @type {Record<string, string>} */ ({
  before: "largest before",
  change: "change in one step",
  largest: "largest layer’s",
  of: "of how many",
  positions: "positions looked at",
  ratio: "update ratio",
});

/** What the panel calls a rule whose name says too little. */
const RULES = /** @type {Record<string, string>} */ ({ non_finite: "NaN or inf" });

/** @param {string} name of a rule */
export function ruleInWords(name) {
  return RULES[name] ?? name.replaceAll("_", " ");
}

/**
 * What a rule measured, as the other views call it.
 * @param {string} name
 */
export function measureInWords(name) {
  const known = [...NUMBERS, ...STATISTICS].find((other) => other.name === name);
  return known?.label ?? OWN[name] ?? name.replaceAll("_", " ");
}

/**
 * A measured number in the form of its kind: a count, a share, or a value.
 * @param {string} name
 * @param {number} value
 */
export function formatMeasure(name, value) {
  if (NUMBERS.some((number) => number.name === name && (number.share || name === "size"))) {
    return Number.isInteger(value) ? formatCount(value) : formatValue(value);
  }
  return isShare(name) ? formatShare(value) : formatValue(value);
}

/** @param {string} name of what is measured */
export function isShare(name) {
  return STATISTICS.some((statistic) => statistic.name === name && statistic.scale === "share");
}

/**
 * The numbers behind a finding, and the thresholds that they are held against.
 * @param {Finding} finding
 * @param {Rule | undefined} rule
 * @returns {{label: string, text: string}[]}
 */
export function numbersOf({ measured }, rule) {
  const limits = rule?.labels ?? {};
  const [judged] = Object.keys(measured);
  return Object.entries(measured)
    .filter(([name, value]) => value !== 0 || name === judged)
    .map(([name, value]) =>
      name in limits && name !== judged
        ? {
            label: `threshold: ${limits[name]}`,
            text: isShare(judged) ? formatShare(value) : formatValue(value),
          }
        : { label: measureInWords(name), text: formatMeasure(name, value) },
    );
}

/**
 * "8 errors and 1 warning".
 * @param {Finding[]} findings
 */
export function countsInWords(findings) {
  const errors = findings.filter(({ severity }) => severity === "error").length;
  return [
    [errors, "error"],
    [findings.length - errors, "warning"],
  ]
    .filter(([count]) => count)
    .map(([count, name]) => `${formatCount(Number(count))} ${name}${count === 1 ? "" : "s"}`)
    .join(" and ");
}

/**
 * How many there are and what they come down to.
 * @param {Finding[]} findings
 */
export function causesInWords(findings) {
  const counts = countsInWords(findings);
  const causes = findings.filter(({ follows }) => follows === null).length;
  if (findings.length === 1) return counts;
  if (causes === findings.length) return `${counts}, none explained by another`;
  return `${counts}, of ${causes === 1 ? "one cause" : `${formatCount(causes)} causes`}`;
}

/**
 * What moved thresholds change.
 * @param {{more: number, fewer: number}} change
 */
export function changeInWords({ more, fewer }) {
  if (!more && !fewer) return "Moved thresholds change nothing in what is found.";
  const parts = [
    [more, "more"],
    [fewer, "fewer"],
  ].filter(([count]) => count);
  const words = parts.map(([count, name]) => `${formatCount(Number(count))} ${name}`).join(", ");
  return `${words} than with the usual thresholds.`;
}
