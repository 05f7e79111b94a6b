/** How many positions attention effectively looks at. */

import { stridesOf } from "./picture.js";

/** @typedef {import("./payload.js").Values} Values */

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
 * A key counts as masked for a query where all heads give it exactly 0. Queries that look at nothing (padding) are left out.
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
  let inverse = 0;
  let rows = 0;
  for (let q = 0; q < axes[query].count; q++) {
    let open = 0;
    for (let k = 0; k < axes[key].count; k++) {
      let seen = false;
      for (let h = 0; h < heads; h++) {
        const score = at(h, q, k);
        if (score !== 0) seen = true;
        squares[h] += score * score;
      }
      if (seen) open++;
    }
    if (open) {
      inverse += 1 / open;
      rows++;
    }
  }
  if (!rows) return "No query of this example looks at anything.";
  return Array.from(squares, (sum, h) => ({
    head: head < 0 ? 0 : axes[head].start + axes[head].step * h,
    reach: rows / sum,
    uniform: rows / inverse,
  }));
}
