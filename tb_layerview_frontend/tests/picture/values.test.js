import { describe, expect, test } from "vitest";

import { mostOf } from "../../src/kit/plausible.js";
import { headReach, highestAlong, keysOf, scoreRange } from "../../src/picture/attention.js";
import { scaleFor } from "../../src/picture/colours.js";
import { endsOf, prediction } from "../../src/picture/companions.js";
import { exampleIn } from "../../src/picture/example.js";
import { largestFirst, samePart, sizesAlong } from "../../src/picture/order.js";
import { pythonLines } from "../../src/picture/python_lines.js";
import {
  finiteRange,
  rangeByHand,
  rangeOverAllSteps,
  rangesAlong,
} from "../../src/picture/range.js";

/** @param {number[]} counts @param {ArrayLike<number>} data @returns {import("../../src/data/payload.js").Values} */
const whole = (counts, data) => ({
  axes: counts.map((count) => ({ start: 0, step: 1, count, size: count })),
  data: Float32Array.from(data),
  precision: "float32",
});

describe("the range of the colours", () => {
  test("of some data is that of its finite elements", () => {
    expect(finiteRange([NaN, 3, -Infinity, -1, Infinity])).toEqual([-1, 3]);
    expect(finiteRange([NaN])).toEqual([0, 0]);
    expect(finiteRange([])).toEqual([0, 0]);
  });

  test("leaves the lowest float, which max pooling makes of NaN, out of the range", () => {
    const lowest = -3.4028234663852886e38;
    expect(finiteRange([lowest, 3, -1, 1e37])).toEqual([-1, 3]);
    expect(rangesAlong([lowest, -2, 3, 4], 2, 1)).toEqual([
      [3, 3],
      [-2, 4],
    ]);
    // Of bfloat16 and of float16 it is another number.
    expect(finiteRange([-3.3895313892515355e38, 3], mostOf("bfloat16"))).toEqual([3, 3]);
    expect(finiteRange([-65504, 3], mostOf("float16"))).toEqual([3, 3]);
    expect(finiteRange([-65504, 3], mostOf("float32"))).toEqual([-65504, 3]);
    // Where there is nothing else, that is what is shown.
    expect(finiteRange([lowest, NaN])).toEqual([lowest, lowest]);
  });

  test("of each channel", () => {
    expect(rangesAlong([1, -2, 3, Infinity, NaN, 5], 2, 1)).toEqual([
      [1, 3],
      [-2, 5],
    ]);
    expect(rangesAlong([NaN, 1], 2, 1)[0]).toEqual([0, 0]);
  });

  test("over all steps is the widest, and the values' own where that says nothing", () => {
    const histogram = (/** @type {number} */ low, /** @type {number} */ high) => ({
      lower: Float64Array.of(low),
      upper: Float64Array.of(high),
      counts: Float64Array.of(100),
      total: 100,
    });
    const [low, high] = rangeOverAllSteps([histogram(0, 1), null, histogram(-1, 0)], [5, 6]);
    expect(low).toBeCloseTo(-0.99);
    expect(high).toBeCloseTo(0.99);
    expect(rangeOverAllSteps([histogram(0, 0)], [5, 6])).toEqual([5, 6]);
    expect(rangeOverAllSteps(null, [5, 6])).toEqual([5, 6]);
    // A percentile lies somewhere in its bin, which may be wider than what there is.
    expect(rangeOverAllSteps([histogram(0, 1)], [5, 6], [0.25, 0.75])).toEqual([0.25, 0.75]);
    expect(rangeOverAllSteps([histogram(0, 1)], [5, 6], [-9, 9])[1]).toBeCloseTo(0.99);
    expect(rangeOverAllSteps([histogram(0, 1)], [0.5, 0.5], [0.5, 0.5])).toEqual([0.5, 0.5]);
  });

  test("of all steps is of those before numbers break", () => {
    const histogram = (/** @type {number} */ high) => ({
      lower: Float64Array.of(0),
      upper: Float64Array.of(high),
      counts: Float64Array.of(100),
      total: 100,
    });
    const both = [histogram(1), histogram(1e6)];
    const over = (/** @type {number} */ healthy) =>
      rangeOverAllSteps(both, [5, 6], undefined, undefined, healthy)[1];
    expect(over(1)).toBeCloseTo(0.99);
    expect(over(2)).toBeGreaterThan(1e5);
    expect(rangeOverAllSteps([null, histogram(1)], [5, 6], undefined, undefined, 1)[1]).toBeCloseTo(
      0.99,
    );
  });

  test("by hand is read as typed, or says what is wrong", () => {
    expect(rangeByHand(" −0.5", "1e-1")).toEqual({ range: [-0.5, 0.1] });
    expect(rangeByHand("", "1")).toEqual({ problem: "“” is no number." });
    expect(rangeByHand("2", "1")).toEqual({
      problem: "The lower end, 2, must lie below the upper one, 1.",
    });
  });

  test("is symmetric around 0 in a map that diverges", () => {
    expect(scaleFor([-1, 3], "auto", false)).toMatchObject({ diverging: true, low: -3, high: 3 });
    expect(scaleFor([1, 3], "blue-red", false)).toMatchObject({ low: -3, high: 3 });
    expect(scaleFor([0, 3], "auto", false)).toMatchObject({ diverging: false, low: 0, high: 3 });
    expect(scaleFor([-1, 3], "viridis", false)).toMatchObject({
      diverging: false,
      low: -1,
      high: 3,
    });
    expect(scaleFor([0.5, 3], "auto", true)).toMatchObject({ low: 0.5, high: 3 });
  });
});

describe("the order of units", () => {
  test("follows their rms, whatever is not finite", () => {
    // [2 examples, 3 units]
    const sizes = sizesAlong([3, 1, NaN, 4, -1, 5], 3, 1);
    expect([...sizes]).toEqual([Math.sqrt(12.5), 1, 5]);
    expect([...largestFirst(sizes)]).toEqual([2, 0, 1]);
  });

  test("follows their change, equal ones by index", () => {
    const sizes = sizesAlong([1, 1, 1, 1], 2, 1, [1, 0, 1, 4]);
    expect([...sizes]).toEqual([0, Math.sqrt(5)]);
    expect([...largestFirst([1, 2, 1])]).toEqual([1, 0, 2]);
  });

  test("needs the same part of the tensor", () => {
    expect(samePart(whole([2, 3], []), whole([2, 3], []))).toBe(true);
    expect(samePart(whole([2, 3], []), whole([2, 4], []))).toBe(false);
  });
});

describe("how many positions attention looks at", () => {
  const names = ["example", "head", "query", "key"];

  test("is 1 for a single position, and all for all", () => {
    const single = [1, 0, 0, 0, 1, 0, 0, 0, 1];
    const even = new Array(9).fill(1 / 3);
    const found = headReach(whole([1, 2, 3, 3], [...single, ...even]), names, { 0: 0 });
    expect(found).toHaveLength(2);
    expect(found[0]).toMatchObject({ head: 0, reach: 1 });
    expect(/** @type {any} */ (found[1]).reach).toBeCloseTo(3, 5);
  });

  test("is 1 / (T rms²), and the mask says what even attention would be", () => {
    const causal = [1, 0, 0, 0.5, 0.5, 0, 0.2, 0.3, 0.5];
    const [found] = /** @type {any} */ (headReach(whole([1, 1, 3, 3], causal), names, { 0: 0 }));
    const meanSquare = causal.reduce((sum, score) => sum + score * score, 0) / 9;
    expect(found.reach).toBeCloseTo(1 / (3 * meanSquare), 5);
    expect(found.uniform).toBeCloseTo(3 / (1 + 1 / 2 + 1 / 3), 5);
  });

  test("leaves out queries that look at nothing, and looks at the chosen example", () => {
    const values = whole([2, 1, 2, 2], [1, 0, 1, 0, 0.5, 0.5, 0, 0]);
    const [found] = /** @type {any} */ (headReach(values, names, { 0: 1 }));
    expect(found).toEqual({ head: 0, reach: 2, uniform: 2 });
    expect(headReach(whole([1, 1, 1, 2], [0, 0]), names, { 0: 0 })).toMatch("looks at anything");
  });

  test("takes scores that underflow to 0 for scores, and padding at either end for a mask", () => {
    const uniformOf = (/** @type {number[]} */ scores) =>
      /** @type {any} */ (headReach(whole([1, 1, 4, 4], scores), names, { 0: 0 }))[0].uniform;
    expect(uniformOf([0, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0])).toBe(4);
    const padded = [0.5, 0.5, 0, 0, 0.5, 0.5, 0, 0, 0.5, 0.5, 0, 0, 0.5, 0.5, 0, 0];
    expect(uniformOf(padded)).toBe(2);
    expect(uniformOf([...padded].reverse())).toBe(2);
    // Causal, and the last key is padding: its query looks at none of its own.
    expect(uniformOf([1, 0, 0, 0, 0.5, 0.5, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0])).toBeCloseTo(
      3 / (1 + 1 / 2 + 1 / 3),
    );
  });

  test("cannot be told where keys are left out", () => {
    const values = whole([1, 1, 2, 2], [1, 0, 0, 1]);
    values.axes[3] = { start: 0, step: 2, count: 2, size: 4 };
    expect(headReach(values, names, { 0: 0 })).toMatch("Only 2 of 4 keys are kept");
  });
});

describe("what stands beside a picture", () => {
  const layer = (/** @type {string} */ class_name, /** @type {number[]} */ inputs) => ({
    path: class_name,
    class_name,
    inputs,
  });
  const activation = (/** @type {number} */ at) => ({
    layer: at,
    call: 0,
    kind: /** @type {const} */ ("activation"),
    name: "output",
    shape: [4, 3],
    dtype: "float32",
    axes: ["example", "unit"],
  });
  const layers = [layer("Input", []), layer("Input", []), layer("Dense", [1]), layer("Dense", [2])];
  const outputs = [[], [2], [3], []];

  test("is the input that the layer sees, and the output that sees the layer", () => {
    const info = { layers, tensors: [0, 1, 2, 3].map(activation) };
    expect(endsOf(info, outputs, 2)).toEqual({ input: 1, output: 3 });
    expect(endsOf(info, outputs, 1)).toEqual({ input: 0, output: 3 });
    const weight = {
      ...activation(2),
      kind: /** @type {const} */ ("weight"),
      axes: ["input", "unit"],
    };
    expect(endsOf({ layers, tensors: [weight] }, outputs, 0)).toBeNull();
  });

  test("is a class where every score is kept", () => {
    const names = ["example", "unit"];
    const scores = whole([2, 3], [1, 5, -2, 0.25, 0.25, 0.5]);
    expect(prediction(scores, names, 0)).toEqual({ unit: 1, score: 5, probability: false });
    expect(prediction(scores, names, 1)).toEqual({ unit: 2, score: 0.5, probability: true });
    expect(prediction(scores, names, 7)).toBeNull();
    const part = whole([2, 3], [1, 5, -2, 0.25, 0.25, 0.5]);
    part.axes[1].size = 1000;
    expect(prediction(part, names, 0)).toBeNull();
    expect(prediction(whole([1, 2], [NaN, 1]), names, 0)).toBeNull();
  });

  test("is a picture in colour or grey, or numbers", () => {
    const names = ["example", "row", "column", "channel"];
    const grey = exampleIn(whole([2, 1, 2, 1], [0, 1, 2, 4]), names, 1);
    expect(grey).toMatchObject({ kind: "picture", rows: 1, columns: 2, colours: null });
    expect(/** @type {any} */ (grey).values).toEqual(Float32Array.of(0.5, 1));
    const red = exampleIn(whole([1, 1, 1, 3], [1, 0, 0]), names, 0);
    expect(/** @type {any} */ (red).colours[0]).toBe(0xff0000ff);
    const tokens = exampleIn(whole([1, 3], [4, 37, 2]), ["example", "timestep"], 0);
    expect(tokens).toMatchObject({ kind: "numbers", texts: ["4", "37", "2"], more: 0 });
    expect(exampleIn(whole([1, 3], [4, 37, 2]), ["example", "timestep"], 1)).toMatchObject({
      kind: "missing",
    });
  });
});

describe("the Python lines", () => {
  const tensor = {
    layer: 0,
    call: 1,
    kind: /** @type {const} */ ("activation"),
    name: "output",
    shape: [2, 3],
    dtype: "float32",
    axes: ["example", "unit"],
  };
  const what = {
    folder: "/home/me/logs/a/b",
    run: "a/b",
    layer: 'an "odd" name',
    tensor,
    step: 12,
    values: whole([2, 3], [1, 2, 3, 4, 5, 6]),
    names: ["example", "unit"],
    chosen: {},
  };

  test("name run, layer, call and step", () => {
    const lines = pythonLines({ ...what, chosen: { 0: 1 } });
    expect(lines).toContain('lv.LayerReader("/home/me/logs").run("a/b")');
    expect(lines).toContain(
      'run.tensor("an \\"odd\\" name", kind="activation", name="output", call=1)',
    );
    expect(lines).toContain("run.values(tensor, step=12)");
    expect(lines).toContain("shown = values.array[1, :]");
  });

  test("read the run's own folder where the log folder is not known", () => {
    expect(pythonLines({ ...what, folder: "/data/x" })).toContain(
      'LayerReader("/data/x").run(".")',
    );
    expect(pythonLines({ ...what, folder: "" })).toContain('LayerReader("logs").run("a/b")');
    expect(pythonLines(what)).toContain("shown = values.array\n");
  });
});

describe("the colours of attention", () => {
  const scores = /** @type {import("../../src/data/types.js").Tensor} */ (
    /** @type {unknown} */ ({ kind: "activation", name: "scores", axes: ["query", "key"] })
  );

  test("reach from 0 over three times what even attention would be, or the 99th percentile", () => {
    expect(scoreRange(32, 0.0314)).toEqual([0, 3 / 32]);
    expect(scoreRange(32, 0.8)).toEqual([0, 0.8]);
    expect(scoreRange(2, 0.5)).toEqual([0, 1]);
  });

  test("are those of shares alone", () => {
    const names = ["query", "key"];
    expect(keysOf(scores, whole([2, 4], new Array(8).fill(0.25)), names)).toBe(4);
    expect(keysOf(scores, whole([2, 4], [-3, ...new Array(7).fill(0)]), names)).toBe(0);
    expect(
      keysOf({ ...scores, name: "output", axes: ["query", "unit"] }, whole([1, 1], [0]), names),
    ).toBe(0);
  });

  test("are of each head where that is asked for", () => {
    expect(highestAlong([0, 0.2, NaN, 0.9], 2, 1)).toEqual([0, 0.2]);
    expect(highestAlong([NaN], 1, 1)).toEqual([0]);
  });
});
