/** What the rules themselves know, and the server does not send: which panel shows what, what a threshold is, what led to what. */

/** @typedef {import("../data/types.js").Finding} Finding */

/** Which panel shows what a rule finds: units where some of them are its matter, the distribution where all elements are. */
const PANELS = /** @type {Record<string, string>} */ ({
  silent_units: "units",
  dead_units: "units",
  alike_units: "units",
  vanishing_gradient: "distribution",
  exploding_gradient: "distribution",
  gradient_spike: "distribution",
  update_ratio: "distribution",
  update_spike: "distribution",
  small_update: "distribution",
  unmoved_weight: "distribution",
  saturated_activation: "distribution",
  depth_scale: "distribution",
});

/** @param {Finding} finding */
export function panelOf({ rule }) {
  return PANELS[rule] ?? "picture";
}

/** What is held against a threshold, and how: by rule and threshold, or for all rules that have one of that name. */
const THRESHOLDS = /** @type {Record<string, string>} */ ({
  patience: "training steps in a row",
  "silent_units.share": "share of units",
  "dead_units.share": "share of units",
  "alike_units.share": "share of units",
  "saturated_activation.share": "share of elements",
  "constant_output.tolerance": "std / |mean| up to",
  "collapsed_representation.most": "spread below",
  "collapsed_representation.apart": "another’s above",
  "depth_scale.grows": "grows by more than",
  "depth_scale.shrinks": "shrinks to less than",
  "depth_scale.layers": "layers in a row",
  "vanishing_gradient.ratio": "of the largest layer’s",
  "fading_gradient.ratio": "of its largest before",
  "fading_gradient.stays": "another’s stays above",
  "exploding_gradient.growth": "times the start’s",
  "gradient_spike.factor": "times the largest before",
  "gradient_spike.least": "logged steps before",
  "update_ratio.most": "update ratio above",
  "update_spike.factor": "times the largest before",
  "update_spike.least": "logged steps before",
  "small_update.least": "update ratio below",
  "collapsed_attention.most": "positions below",
  "uniform_attention.least": "evenness above",
  "uniform_attention.after": "logged steps before",
  "alike_heads.least": "likeness above",
});

/**
 * @param {string} rule
 * @param {string} name of its threshold
 */
export function thresholdInWords(rule, name) {
  return THRESHOLDS[`${rule}.${name}`] ?? THRESHOLDS[name] ?? name.replaceAll("_", " ");
}

/**
 * The first error, of a tensor if any is.
 * @param {Finding[]} findings
 */
export function firstError(findings) {
  const errors = findings.filter(({ severity }) => severity === "error");
  return errors.find(({ tensor }) => tensor !== null) ?? errors[0];
}

/**
 * Of each warning that led to errors the first of these.
 * @param {Finding[]} findings
 * @returns {Map<number, Finding>} by the warning's index
 */
export function ledTo(findings) {
  /** @type {Map<number, Finding>} */
  const found = new Map();
  for (const [cause, following] of groupBy(findings, ({ follows }) => follows)) {
    const led = firstError(following);
    if (led && findings[cause].severity === "warning") found.set(cause, led);
  }
  return found;
}

/**
 * @template T
 * @param {Finding[]} findings
 * @param {(finding: Finding) => T | null} key null: it is in no group
 * @returns {Map<T, Finding[]>} in their order
 */
export function groupBy(findings, key) {
  /** @type {Map<T, Finding[]>} */
  const groups = new Map();
  for (const finding of findings) {
    const of = key(finding);
    if (of === null) continue;
    const own = groups.get(of);
    if (own) own.push(finding);
    else groups.set(of, [finding]);
  }
  return groups;
}
