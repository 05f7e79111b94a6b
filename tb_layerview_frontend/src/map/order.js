/** In which order the rows stand. */

import { firstTrouble } from "./aggregate.js";

/** @typedef {import("../data/model_tree.js").Node} Node */

/**
 * What ranks a part of the model, smaller first: compared number by number, NaN last. Parts with equal keys stay in the
 * model's order.
 * @typedef {(node: Node) => number[]} RankKey
 */

/** The orders that are offered. `meaning` is a sentence. */
export const ORDERS = [
  { name: "model", label: "model order", meaning: "In the order in which the layers run." },
  {
    name: "worst",
    label: "worst first",
    meaning:
      "Rows with NaN or inf first, the earliest on top; then by the worst value at any step so far. New steps do not move the rows.",
  },
];

/** What is offered besides while two runs are compared. */
export const PARTING_ORDER = {
  name: "part",
  label: "parts first",
  meaning:
    "Where the two runs part first; what parts at the same step by how far it ever gets. What the threshold is stands above.",
};

/**
 * @param {number[]} a
 * @param {number[]} b
 */
export function compareKeys(a, b) {
  for (let i = 0; i < a.length; i++) {
    if (a[i] === b[i]) continue;
    const [first, second] = [Number.isNaN(a[i]), Number.isNaN(b[i])];
    if (first && second) continue;
    if (first || second) return first ? 1 : -1;
    return a[i] < b[i] ? -1 : 1;
  }
  return 0;
}

/**
 * Orders the parts of each group; what is nested stays so.
 * @param {Node[]} nodes
 * @param {RankKey} key
 * @returns {Node[]}
 */
export function orderTree(nodes, key) {
  return nodes
    .map((node) => ({ node, rank: key(node) }))
    .sort((a, b) => compareKeys(a.rank, b.rank))
    .map(({ node }) =>
      node.children.length ? { ...node, children: orderTree(node.children, key) } : node,
    );
}

/**
 * A key from one of each tensor: a group ranks as its first tensor does.
 * @param {Map<number, number[]>} byTensor the tensors that rank; the others do not count
 * @returns {RankKey}
 */
export function keyOfTensors(byTensor) {
  return ({ tensors }) => {
    /** @type {number[]} */
    let best = [];
    for (const tensor of tensors) {
      const rank = byTensor.get(tensor);
      if (rank && (!best.length || compareKeys(rank, best) < 0)) best = rank;
    }
    return best.length ? best : [NaN, NaN];
  };
}

/**
 * Ranks tensors by how bad they ever are: with NaN or inf before all others, the earliest first; then by their worst value.
 * @param {number[]} tensors
 * @param {Float32Array[]} values of each, by step
 * @param {Float32Array[]} nonFinite of each, by step
 * @param {import("../data/statistics.js").Badness} badness
 * @returns {Map<number, number[]>}
 */
export function rankByWorst(tensors, values, nonFinite, badness) {
  return new Map(
    tensors.map((tensor, i) => {
      const since = firstTrouble(nonFinite[i]);
      let worst = NaN;
      const own = values[i];
      for (let step = 0; step < own.length; step++) {
        const bad = badness(own[step]);
        if (bad > worst || (worst !== worst && bad === bad)) worst = bad;
      }
      return [tensor, [since < 0 ? Infinity : since, -worst]];
    }),
  );
}
