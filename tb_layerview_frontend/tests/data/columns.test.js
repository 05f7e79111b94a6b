import { expect, test } from "vitest";

import { Columns } from "../../src/data/columns.js";

const tensors = /** @type {import("../../src/data/types.js").Tensor[]} */ (
  ["weight", "activation", "weight"].map((kind) => ({
    layer: 0,
    call: 0,
    kind,
    name: "",
    shape: [],
    dtype: "float32",
    axes: [],
  }))
);

const f = (/** @type {number[]} */ ...values) => Float32Array.from(values);

/** @param {Columns} columns @param {string} statistic @param {number[]} of */
const read = (columns, statistic, of) => columns.of(statistic, of).map((column) => [...column]);

test("columns belong to the tensors of their kind, in the run's order", () => {
  const columns = new Columns("weight", tensors);
  columns.add("rms", [f(1, 2), f(3, 4)]);
  expect(columns.tensors).toEqual([0, 2]);
  expect(read(columns, "rms", [2])).toEqual([[3, 4]]);
  expect(read(columns, "rms", [0, 1, 2])).toEqual([
    [1, 2],
    [3, 4],
  ]);
});

test("later steps follow the earlier ones, of all statistics at once", () => {
  const columns = new Columns("weight", tensors);
  columns.add("rms", [f(1), f(2)]);
  columns.add("mean", [f(-1), f(-2)]);
  for (let step = 1; step < 9; step++) {
    columns.append(
      new Map([
        ["rms", [f(step * 10), f(step * 20)]],
        ["mean", [f(-step * 10), f(-step * 20)]],
      ]),
    );
  }
  expect(columns.steps).toBe(9);
  expect(read(columns, "rms", [0])).toEqual([[1, 10, 20, 30, 40, 50, 60, 70, 80]]);
  expect(read(columns, "mean", [2])).toEqual([[-2, -20, -40, -60, -80, -100, -120, -140, -160]]);
});

test("a statistic that came with a step too many is cut to the steps that are known of all", () => {
  const columns = new Columns("weight", tensors);
  columns.add("rms", [f(1), f(2)]);
  columns.add("mean", [f(5, 6), f(7, 8)]);
  expect(read(columns, "mean", [0, 2])).toEqual([[5], [7]]);
});

test("a statistic that lacks steps is an error", () => {
  const columns = new Columns("weight", tensors);
  columns.add("rms", [f(1, 2), f(3, 4)]);
  expect(() => columns.add("mean", [f(1), f(2)])).toThrow(
    /sent 1 steps of 'mean' where 2 are known/,
  );
});
