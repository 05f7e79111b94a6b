/** What the rules of health found in a run: its order, its steps, and which finding is which. */

/** @typedef {import("../data/types.js").Finding} Finding */

/**
 * Those that do not follow from another.
 * @param {Finding[]} findings
 */
export function causes(findings) {
  return findings.filter(({ follows }) => follows === null);
}

/**
 * What a person has to know of: those that do not follow from another, and the first error that a warning led to.
 * @param {Finding[]} findings
 */
export function heads(findings) {
  return findings.filter(
    ({ follows }, index) => follows === null || findings[follows].led_to === index,
  );
}

/**
 * The first error that a warning led to.
 * @param {Finding[]} findings
 * @param {Finding | undefined} warning one of them
 */
export function effectOf(findings, warning) {
  return findings[warning?.led_to ?? -1];
}

/**
 * What is found of each tensor.
 * @param {Finding[]} findings
 * @returns {Map<number, Finding[]>}
 */
export function byTensor(findings) {
  /** @type {Map<number, Finding[]>} */
  const groups = new Map();
  for (const finding of findings) {
    if (finding.tensor === null) continue;
    const own = groups.get(finding.tensor);
    if (own) own.push(finding);
    else groups.set(finding.tensor, [finding]);
  }
  return groups;
}

/**
 * The worst one: an error before a warning, then the first.
 * @param {Finding[]} findings at least one
 */
export function worstFinding(findings) {
  return findings.reduce((worst, other) => {
    if (other.severity !== worst.severity) return other.severity === "error" ? other : worst;
    return other.first < worst.first ? other : worst;
  });
}

/**
 * The steps at which something begins, ascending, each once.
 * @param {Finding[]} findings
 * @returns {number[]}
 */
export function findingSteps(findings) {
  return [...new Set(findings.map(({ first }) => first))].sort((a, b) => a - b);
}

/**
 * The finding to go to next: the first one of the next step that has any, and after the last step again of the first.
 * @param {Finding[]} findings in the order of their causes
 * @param {number} step at which one stands
 * @param {1 | -1} direction
 * @returns {Finding | null} null if nothing is found
 */
export function nextFinding(findings, step, direction = 1) {
  const steps = findingSteps(findings);
  if (!steps.length) return null;
  const to =
    direction > 0
      ? (steps.find((other) => other > step) ?? steps[0])
      : (steps.filter((other) => other < step).at(-1) ?? steps[steps.length - 1]);
  return findings.find(({ first }) => first === to) ?? null;
}

/**
 * The thresholds with one of them moved, or put back.
 * @param {string[]} moved `rule.name:number`
 * @param {string} name `rule.name`
 * @param {string} value empty: as it is by default
 */
export function withThreshold(moved, name, value) {
  const others = moved.filter((given) => !given.startsWith(`${name}:`));
  return value === "" ? others : [...others, `${name}:${value}`];
}

/**
 * The first step at which numbers break: other errors (a silent layer, a gradient of 0) take no colour from anything.
 * @param {Finding[]} findings
 * @returns {number | null} null where none breaks
 */
export function firstBreak(findings) {
  const breaks = findings.filter(
    ({ rule, severity }) => rule === "non_finite" && severity === "error",
  );
  return breaks.length ? Math.min(...breaks.map(({ first }) => first)) : null;
}

/**
 * What says which finding it is, with other thresholds too: its rule, and its tensor or the scalar that it is of.
 * @param {Pick<Finding, "rule" | "tensor" | "measured">} finding
 */
export function keyOf({ rule, tensor, measured }) {
  return `${rule}:${tensor ?? Object.keys(measured)[0]}`;
}

/**
 * The rule and the tensor, or the scalar, that a finding's key names.
 * @param {string} key
 */
export function partsOfKey(key) {
  const at = key.indexOf(":");
  const place = key.slice(at + 1);
  const tensor = /^\d+$/.test(place) ? Number(place) : null;
  return { rule: key.slice(0, at), tensor, scalar: tensor === null ? place : null };
}

/**
 * How many findings moved thresholds add, and how many they take away.
 * @param {Finding[]} usual
 * @param {Finding[]} findings
 */
export function changeOf(usual, findings) {
  const [before, after] = [usual, findings].map((all) => new Set(all.map(keyOf)));
  return {
    more: [...after].filter((key) => !before.has(key)).length,
    fewer: [...before].filter((key) => !after.has(key)).length,
  };
}

/**
 * Causes in their order, those of one rule together, each with what follows from it.
 * @typedef {{finding: Finding, following: Finding[]}} Cause
 */

/**
 * @param {Finding[]} findings in the order of their causes
 * @returns {Cause[][]} by severity and rule, in the order of the first of each
 */
export function causesByRule(findings) {
  /** @type {Map<string, Cause[]>} */
  const groups = new Map();
  /** @type {Map<number, Cause>} */
  const known = new Map();
  findings.forEach((finding, index) => {
    const cause = { finding, following: [] };
    if (finding.follows !== null) {
      known.get(finding.follows)?.following.push(finding);
      return;
    }
    known.set(index, cause);
    const key = `${finding.severity} ${finding.rule}`;
    groups.set(key, [...(groups.get(key) ?? []), cause]);
  });
  return [...groups.values()];
}
