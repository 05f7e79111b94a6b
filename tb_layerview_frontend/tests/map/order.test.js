import { expect, test } from "vitest";

import { buildTree } from "../../src/data/model_tree.js";
import { badnessOf } from "../../src/data/statistics.js";
import { compareKeys, keyOfTensors, orderTree, rankByWorst } from "../../src/map/order.js";

const f = (/** @type {number[]} */ ...values) => Float32Array.from(values);

const layers = ["a", "b/x", "b/y", "c", "d"].map((path) => ({ path, class_name: "", inputs: [] }));
const tensors = layers.map((_, layer) => ({
  layer,
  call: 0,
  kind: /** @type {const} */ ("activation"),
  name: "output",
  shape: [],
  dtype: "float32",
  axes: [],
}));
const roots = buildTree(layers, tensors);

/** @param {import("../../src/map/rows.js").Node[]} nodes @returns {string[]} */
const layersIn = (nodes) =>
  nodes.flatMap((node) => (node.children.length ? layersIn(node.children) : [node.path]));

test("keys compare number by number, NaN last", () => {
  expect(compareKeys([1, 5], [1, 4])).toBe(1);
  expect(compareKeys([Infinity, 0], [3, 9])).toBe(1);
  expect(compareKeys([NaN], [Infinity])).toBe(1);
  expect(compareKeys([NaN, 1], [NaN, 2])).toBe(-1);
  expect(compareKeys([2], [2])).toBe(0);
});

test("the worst come first: what is not finite by its step, then the largest", () => {
  const values = [f(1, 1), f(9, 2), f(3, NaN), f(NaN, 50), f(4, 4)];
  const nonFinite = [f(0, 0.1), f(0, 0), f(0.5, 1), f(NaN, 0), f(0, 0)];
  const size = badnessOf({ scale: "size" });
  const key = keyOfTensors(rankByWorst([0, 1, 2, 3, 4], values, nonFinite, size));
  // b/y has NaN first, and takes its group along; in the group it is before b/x.
  expect(layersIn(orderTree(roots, key))).toEqual(["b/y", "b/x", "a", "c", "d"]);
});

test("what has no rank is last, in the model's order", () => {
  const key = keyOfTensors(new Map([[3, [0, 0]]]));
  expect(layersIn(orderTree(roots, key))).toEqual(["c", "a", "b/x", "b/y", "d"]);
});

test("ordering leaves the tree as it was", () => {
  const before = layersIn(roots);
  orderTree(roots, ({ path }) => [-path.charCodeAt(0)]);
  expect(layersIn(roots)).toEqual(before);
});
