/** One run as far as it is known, and what may not be known yet. */

/**
 * @template T
 * @typedef {{status: "loading"} | {status: "error", message: string} | {status: "ready", value: T}} Loadable
 */

/**
 * A run as far as it is known: replaced as a whole, so that names of one run never meet numbers of another.
 * @typedef {object} Run
 * @property {string} name
 * @property {import("./types.js").RunInfo} info
 * @property {import("./types.js").History} history
 * @property {import("./model_tree.js").Node[]} tree
 * @property {number[][]} outputs by layer, the layers that read it
 * @property {Map<import("./types.js").Kind, import("./columns.js").Columns>} columns
 */

export {};
