import { describe, expect, test } from "vitest";

import { blocksOf, entriesOf, entryOfLayer, hasHeads, isBlock, lanesOf, openAtFirst, pictured } from "../../src/network/lanes.js"; // prettier-ignore
import { makeInfo } from "../make_info.js";

/**
 * A model in which each layer logs what it gives.
 * @param {string[]} paths
 */
const modelOf = (paths) =>
  makeInfo(Object.fromEntries(paths.map((path) => [path, [["activation", "output", [4, 3]]]])));

/**
 * Blocks in a text: "conv2 × 2(conv2_block1(…)…)".
 * @param {(import("../../src/network/lanes.js").Lane | import("../../src/network/lanes.js").Block)[]} parts
 * @returns {string}
 */
const written = (parts) =>
  parts
    .map((part) => (isBlock(part) ? `${part.name}(${written(part.parts)})` : part.path))
    .join(" ");

/** @param {string[]} paths */
const blocks = (paths) => written(blocksOf(lanesOf(modelOf(paths))));

describe("blocks", () => {
  test("those of a residual network are found by the beginnings of their layers' names", () => {
    const block = (/** @type {number} */ i) =>
      ["1_conv", "1_bn", "out"].map((part) => `conv2_block${i}_${part}`);
    expect(blocks(["input", ...block(1), ...block(2), "avg_pool"])).toBe(
      "input conv2 × 2(conv2_block1(conv2_block1_1_conv conv2_block1_1_bn conv2_block1_out) " +
        "conv2_block2(conv2_block2_1_conv conv2_block2_1_bn conv2_block2_out)) avg_pool",
    );
  });

  test("modules within modules are blocks, and one that holds but another one is that", () => {
    const layer = (/** @type {number} */ i) =>
      ["attention", "mlp/0", "mlp/1", "norm"].map((part) => `encoder/layers/${i}/${part}`);
    expect(blocks([...layer(0), ...layer(1), "head"])).toBe(
      "encoder × 2(0(encoder/layers/0/attention encoder/layers/0/mlp/0 encoder/layers/0/mlp/1 encoder/layers/0/norm) " +
        "1(encoder/layers/1/attention encoder/layers/1/mlp/0 encoder/layers/1/mlp/1 encoder/layers/1/norm)) head",
    );
  });

  test("layers that are merely numbered are none, and neither are two", () => {
    const dense = ["dense", "dense_1", "dense_2", "dense_3"];
    expect(blocks(dense)).toBe(dense.join(" "));
    const two = ["pool1_pad", "pool1_pool", "last"];
    expect(blocks(two)).toBe(two.join(" "));
  });

  test("every lane is in exactly one place, in the model's order", () => {
    const paths = ["a/b/c", "a/b/d", "a/e", "x_1", "x_2_y", "x_2_z", "x_2_w", "a/f", "a/g/h"];
    const lanes = lanesOf(modelOf(paths));
    const entries = entriesOf(blocksOf(lanes), () => true, { lane: 52, head: 28, heads: false });
    expect(entries.map(({ part }) => part.path)).toEqual(paths);
    expect(entries.map(({ top }) => top)).toEqual(paths.map((_, i) => 52 * i));
  });
});

describe("what is open at first", () => {
  const block = (/** @type {number} */ i) =>
    Array.from({ length: 10 }, (_, part) => `stage_${i}/part_${"abcdefghij"[part]}`);
  const paths = ["input", ...block(0), ...block(1), "dense"];
  const lanes = lanesOf(modelOf(paths));
  const parts = blocksOf(lanes);

  test("a large model is folded, but for what it nearly consists of", () => {
    const open = openAtFirst(parts, lanes.length, -1);
    const entries = entriesOf(parts, ({ key }) => open.has(key), {
      lane: 52,
      head: 28,
      heads: hasHeads(lanes.length),
    });
    expect(entries.map(({ part }) => (isBlock(part) ? part.name : part.path))).toEqual([
      "input",
      "stage × 2",
      "stage_0",
      "stage_1",
      "dense",
    ]);
    expect(entries.map(({ open: shown }) => shown)).toEqual([false, true, false, false, false]);
    expect(entries.map(({ depth }) => depth)).toEqual([0, 0, 1, 1, 0]);
  });

  test("the worst layer is never hidden", () => {
    const worst = paths.indexOf("stage_1/part_c");
    const open = openAtFirst(parts, lanes.length, worst);
    const entries = entriesOf(parts, ({ key }) => open.has(key), {
      lane: 52,
      head: 28,
      heads: true,
    });
    const at = entryOfLayer(entries, worst);
    expect(entries[at].part.path).toBe("stage_1/part_c");
  });

  test("a small model has no blocks to see", () => {
    const few = lanesOf(modelOf(["block_1/conv", "block_1/norm", "block_1/relu", "dense"]));
    const open = openAtFirst(blocksOf(few), few.length, -1);
    const entries = entriesOf(blocksOf(few), ({ key }) => open.has(key), {
      lane: 52,
      head: 28,
      heads: hasHeads(few.length),
    });
    expect(entries.map(({ part }) => part.path)).toEqual(few.map(({ path }) => path));
  });
});

describe("lanes", () => {
  test("attention scores have one of their own, and a kernel's gradient is that of most axes", () => {
    const info = makeInfo({
      attention: [
        ["activation", "output", [4, 8, 16]],
        ["activation", "attention", [4, 2, 8, 8]],
        ["weight", "bias", [16]],
        ["weight", "kernel", [16, 16]],
        ["gradient", "bias", [16]],
        ["gradient", "kernel", [16, 16]],
        ["gradient", "output", [4, 8, 16]],
        ["update", "kernel", [16, 16]],
      ],
      silent: [],
    });
    info.tensors[1].axes = ["example", "head", "query", "key"];
    const [lane, scores, ...others] = lanesOf(info);
    expect(others).toEqual([]);
    expect([lane.tensor, lane.gradient, lane.update]).toEqual([0, 5, 7]);
    expect([scores.tensor, scores.scores, scores.gradient]).toEqual([1, true, -1]);
  });

  test("a block's picture is what its last layer gives", () => {
    const parts = blocksOf(lanesOf(modelOf(["b_1/x", "b_1/y", "b_1/z"])));
    expect(parts).toHaveLength(1);
    expect(pictured(parts[0])?.path).toBe("b_1/z");
  });
});
