/** What attention looks at: how many positions effectively, and over which scores its colours reach. */

import { stridesOf } from "./plan.js";

/** @typedef {import("../data/payload.js").Values} Values */

/**
 * Whether a tensor is what attention looks at.
 * @param {import("../data/types.js").Tensor} tensor
 */
export function isAttention({ kind, name, axes }) {
  return kind === "activation" && (name.startsWith("scores") || axes.at(-1) === "key");
}

/**
 * How many keys each query's scores are shared out among; 0 where these are no shares, as before a softmax.
 * @param {import("../data/types.js").Tensor} tensor
 * @param {Values} values
 * @param {string[]} names of the axes
 */
export function keysOf(tensor, { axes, data }, names) {
  if (!isAttention(tensor)) return 0;
  const key = names.lastIndexOf("key");
  for (let i = 0; i < data.length; i++) if (data[i] < 0 || data[i] > 1.01) return 0;
  return axes[key < 0 ? axes.length - 1 : key]?.size ?? 0;
}

/** How many times what even attention would be the colours reach over at least, so that noise around it fills none. */
const LEAST_OF_EVEN = 3;

/**
 * The range of scores: from 0, so that even attention looks even.
 * @param {number} keys
 * @param {number} high the 99th percentile
 * @returns {[number, number]}
 */
export function scoreRange(keys, high) {
  return [0, Math.max(Math.min(1, LEAST_OF_EVEN / keys), high)];
}

/**
 * The 99th percentile of the finite values, for each index of an axis.
 * @param {ArrayLike<number>} data
 * @param {number} count of the axis
 * @param {number} stride of the axis
 * @returns {number[]} 0 where nothing is finite
 */
export function highestAlong(data, count, stride) {
  /** @type {number[][]} */
  const own = Array.from({ length: count }, () => []);
  for (let i = 0; i < data.length; i++) {
    if (Number.isFinite(data[i])) own[Math.floor(i / stride) % count].push(data[i]);
  }
  return own.map((values) => {
    const sorted = Float64Array.from(values).sort();
    return sorted[Math.floor(0.99 * (sorted.length - 1))] ?? 0;
  });
}

/**
 * @typedef {object} HeadReach
 * @property {number} head index in the whole tensor
 * @property {number} reach positions that it effectively looks at: 1 / (T · rms²) of its scores
 * @property {number} uniform what that would be if each query looked evenly at all keys that its mask leaves
 */

/**
 * The effective number of positions that each head of one example looks at. A row of T scores that sum to 1 has the mean
 * 1/T whatever it looks at; its sum of squares is 1 for a single position and 1/n for n positions evenly, so its inverse
 * counts positions (the inverse participation ratio). Over rows the squares are averaged: T · rms² of the matrix.
 *
 * A score of exactly 0 need not be a mask: where attention has collapsed, a softmax underflows to it. So what no head looks at
 * counts as masked only where masks lie: before the first and after the last key that any query sees (padding), and after the
 * query itself where none sees a later key (causal). Queries that look at nothing (padding) are left out.
 * @param {Values} values
 * @param {string[]} names of the axes: `query` and `key` are among them, `head` may be
 * @param {Record<number, number>} chosen by axis, a kept index: which example
 * @returns {HeadReach[] | string} or a sentence on why it cannot be told
 */
export function headReach(values, names, chosen) {
  const { axes, data } = values;
  const [head, query, key] = ["head", "query", "key"].map((name) => names.indexOf(name));
  if (query < 0 || key < 0) return "These scores have more than one axis of queries or keys.";
  if (axes[key].count < axes[key].size) {
    return `Only ${axes[key].count} of ${axes[key].size} keys are kept: how many positions a head looks at cannot be told.`;
  }
  const strides = stridesOf(axes.map(({ count }) => count));
  const base = axes.reduce(
    (sum, _, axis) =>
      [head, query, key].includes(axis) ? sum : sum + strides[axis] * (chosen[axis] ?? 0),
    0,
  );
  const heads = head < 0 ? 1 : axes[head].count;
  const at = (/** @type {number} */ h, /** @type {number} */ q, /** @type {number} */ k) =>
    data[base + (head < 0 ? 0 : h * strides[head]) + q * strides[query] + k * strides[key]];
  const squares = new Float64Array(heads);
  const counts = [axes[query].count, axes[key].count];
  /** @type {number[]} queries that look at something */
  const looking = [];
  let [firstKey, lastKey, causal] = [counts[1], -1, true];
  for (let q = 0; q < counts[0]; q++) {
    let seen = false;
    for (let k = 0; k < counts[1]; k++) {
      for (let h = 0; h < heads; h++) {
        const score = at(h, q, k);
        squares[h] += score * score;
        if (score === 0) continue;
        seen = true;
        firstKey = Math.min(firstKey, k);
        lastKey = Math.max(lastKey, k);
        causal &&= k <= q;
      }
    }
    if (seen) looking.push(q);
  }
  const rows = looking.length;
  const inverse = looking.reduce(
    (sum, q) => sum + 1 / ((causal ? Math.min(q, lastKey) : lastKey) - firstKey + 1),
    0,
  );
  if (!rows) return "No query of this example looks at anything.";
  return Array.from(squares, (sum, h) => ({
    head: head < 0 ? 0 : axes[head].start + axes[head].step * h,
    reach: rows / sum,
    uniform: rows / inverse,
  }));
}
