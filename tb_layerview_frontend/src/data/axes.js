/** What the axes of a tensor are called. */

/** @typedef {import("./types.js").Kind} Kind */

/**
 * What they are where the log names none, by rank: in Keras and TensorFlow, channels last, as `default_axes` of the package
 * has them.
 */
const DEFAULTS = {
  activation: [
    [],
    ["example"],
    ["example", "unit"],
    ["example", "timestep", "unit"],
    ["example", "row", "column", "channel"],
    ["example", "depth", "row", "column", "channel"],
  ],
  other: [
    [],
    ["unit"],
    ["input", "unit"],
    ["position", "input channel", "channel"],
    ["row", "column", "input channel", "channel"],
    ["depth", "row", "column", "input channel", "channel"],
  ],
};

/**
 * The axes' names, guessed where the log has none.
 * @param {string[]} names as logged
 * @param {number} rank
 * @param {Kind} kind
 * @returns {string[]}
 */
export function axisNames(names, rank, kind) {
  if (names.length === rank) return names;
  const known = DEFAULTS[kind === "activation" ? kind : "other"][rank];
  return known ?? Array.from({ length: rank }, (_, axis) => `axis ${axis}`);
}
