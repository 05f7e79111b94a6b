import { describe, expect, test } from "vitest";

import { buildTree } from "../../src/data/model_tree.js";
import { findTensors, rowOf, visibleRows } from "../../src/map/rows.js";

const layers = [
  "input",
  "encoder/block_0/conv",
  "encoder/block_0/norm",
  "encoder/block_1/conv",
  "head",
].map((path, i) => ({ path, class_name: i === 2 ? "BatchNormalization" : "", inputs: [] }));

/**
 * @param {number} layer
 * @param {import("../../src/data/types.js").Kind} kind
 * @param {string} name
 */
const tensor = (layer, kind, name, call = 0) => ({
  layer,
  kind,
  name,
  call,
  shape: [],
  dtype: "float32",
  axes: [],
});

const tensors = [
  ...layers.map((_, layer) => tensor(layer, "activation", "output")),
  tensor(1, "weight", "kernel"),
  tensor(1, "weight", "bias"),
  tensor(1, "gradient", "kernel"),
  tensor(4, "weight", "kernel"),
];

const roots = buildTree(layers, tensors);

/** @param {Partial<Parameters<typeof visibleRows>[1]>} options */
const rows = (options = {}) =>
  visibleRows(roots, {
    tensors,
    kinds: ["activation"],
    filter: "",
    opened: new Map(),
    fit: 100,
    ...options,
  });

/** @param {import("../../src/map/rows.js").Row[]} shown */
const outline = (shown) => shown.map(({ node, depth }) => `${"  ".repeat(depth)}${node.label}`);

describe("the tree", () => {
  test("nests by paths, in the order in which the layers run", () => {
    expect(outline(rows())).toEqual([
      "input",
      "encoder",
      "  block_0",
      "    conv",
      "    norm",
      "  block_1/conv",
      "head",
    ]);
  });

  test("gives a group the tensors of all that is in it", () => {
    expect(rows()[1].tensors).toEqual([1, 2, 3]);
  });

  test("lets a layer be a group as well", () => {
    const nested = buildTree(
      [
        { path: "block", class_name: "Block", inputs: [] },
        { path: "block/dense", class_name: "Dense", inputs: [] },
      ],
      [tensor(0, "activation", "output"), tensor(1, "activation", "output")],
    );
    const shown = visibleRows(nested, {
      tensors: [tensor(0, "activation", "output"), tensor(1, "activation", "output")],
      kinds: ["activation"],
      filter: "",
      opened: new Map(),
      fit: 100,
    });
    expect(outline(shown)).toEqual(["block", "  dense", "  output"]);
    expect(shown[0].tensors.sort()).toEqual([0, 1]);
  });

  test("shows the calls of a shared layer as rows of their own", () => {
    const calls = [tensor(0, "activation", "output"), tensor(0, "activation", "output", 1)];
    const shown = visibleRows(buildTree([layers[0]], calls), {
      tensors: calls,
      kinds: ["activation"],
      filter: "",
      opened: new Map(),
      fit: 100,
    });
    expect(outline(shown)).toEqual(["input", "  output", "  output, call 1"]);
  });
});

describe("rows", () => {
  test("leave out what has no tensor of the kinds that are shown", () => {
    expect(outline(rows({ kinds: ["weight"] }))).toEqual([
      "encoder",
      "  block_0",
      "    conv",
      "      kernel",
      "      bias",
      "head",
    ]);
  });

  test("put the weight and the gradient of one name into one row", () => {
    const opened = new Map([["encoder/block_0/conv", true]]);
    const both = rows({ kinds: ["weight", "gradient"], opened });
    const kernel = both.find(({ node }) => node.label === "kernel");
    expect(kernel?.tensors).toEqual([5, 7]);
  });

  test("of single tensors are folded at first where several kinds stand side by side", () => {
    expect(outline(rows({ kinds: ["weight", "gradient"] }))).toEqual([
      "encoder",
      "  block_0",
      "    conv",
      "head",
    ]);
  });

  test("are folded until about as many are left as fit", () => {
    expect(outline(rows({ fit: 5 }))).toEqual([
      "input",
      "encoder",
      "  block_0",
      "  block_1/conv",
      "head",
    ]);
    expect(outline(rows({ fit: 2 }))).toEqual(["input", "encoder", "head"]);
  });

  test("stay as a person folded them", () => {
    const opened = new Map([["encoder", false]]);
    expect(outline(rows({ opened }))).toEqual(["input", "encoder", "head"]);
  });

  test("that match the filter are shown with what leads to them", () => {
    expect(outline(rows({ filter: "norm" }))).toEqual(["encoder", "  block_0", "    norm"]);
    expect(outline(rows({ filter: "batchnorm", fit: 2 }))).toEqual([
      "encoder",
      "  block_0",
      "    norm",
    ]);
    expect(outline(rows({ filter: "BLOCK_0 conv" }))).toEqual(["encoder", "  block_0", "    conv"]);
    expect(rows({ filter: "dnese" })).toEqual([]);
  });

  test("that a filter has found can still be folded, and stand for what was found alone", () => {
    const opened = new Map([["encoder", false]]);
    const [encoder] = rows({ filter: "block_0", opened });
    expect(encoder.node.label).toBe("encoder");
    expect(encoder.tensors).toEqual([1, 2]);
  });

  test("stand as they are ranked, within their groups", () => {
    const order = (/** @type {import("../../src/map/rows.js").Node} */ { path }) => [-path.length];
    expect(outline(rows({ order })).slice(0, 3)).toEqual([
      "encoder",
      "  block_1/conv",
      "  block_0",
    ]);
    expect(outline(rows({ order })).slice(-2)).toEqual(["input", "head"]);
  });
});

test("a tensor's row is the deepest that is shown", () => {
  const open = rows();
  expect(open[rowOf(open, 2)].node.label).toBe("norm");
  const folded = rows({ fit: 2 });
  expect(folded[rowOf(folded, 2)].node.label).toBe("encoder");
  // A weight, while activations are shown: its layer's row.
  expect(open[rowOf(open, 8)].node.label).toBe("head");
  expect(rowOf(rows({ filter: "norm" }), 8)).toBe(-1);
});

test("the filter's layers are counted, of those that have the kinds that are shown", () => {
  const count = (/** @type {string} */ filter) => {
    const { layers, of } = findTensors(roots, { tensors, kinds: ["activation"], filter });
    return [layers, of];
  };
  expect(count("")).toEqual([5, 5]);
  expect(count("conv")).toEqual([2, 5]);
  expect(count("kind:gradient")).toEqual([1, 5]);
  expect(count("class:BatchNormalization")).toEqual([1, 5]);
});
