import { describe, expect, test } from "vitest";

import { badnessOf } from "../../src/data/statistics.js";
import { columnSteps, makeStepAxis } from "../../src/kit/axis.js";
import {
  findWorst,
  firstTrouble,
  toColumns,
  troubleRuns,
  worstOf,
} from "../../src/map/aggregate.js";

const size = badnessOf({ scale: "size" });
const signed = badnessOf({ scale: "signed" });
const f = (/** @type {number[]} */ ...values) => Float32Array.from(values);

describe("a folded group", () => {
  test("shows its largest child at each step", () => {
    const { values } = worstOf([f(1, 5, NaN), f(2, 3, 4)], [f(0, 0, 0), f(0, 0, 0)], size);
    expect([...values]).toEqual([2, 5, 4]);
  });

  test("shows the largest magnitude, with its sign, where the sign matters", () => {
    const { values } = worstOf([f(1, -5), f(-2, 3)], [f(0, 0), f(0, 0)], signed);
    expect([...values]).toEqual([-2, -5]);
  });

  test("is troubled where any child is", () => {
    const { nonFinite } = worstOf([f(1, 1), f(1, NaN)], [f(0, 0), f(0, 0.5)], size);
    expect([...nonFinite]).toEqual([0, 0.5]);
  });

  test("says nothing where no child was logged", () => {
    const { values, nonFinite } = worstOf([f(NaN), f(NaN)], [f(NaN), f(NaN)], size);
    expect([...values, ...nonFinite]).toEqual([NaN, NaN]);
  });
});

describe("a pixel column", () => {
  test("shows one NaN among ten thousand steps", () => {
    const steps = Array.from({ length: 10_000 }, (_, i) => i);
    const columns = columnSteps(makeStepAxis(steps, "linear"), 460);
    const nonFinite = new Float32Array(10_000);
    nonFinite[6_789] = 1e-6;
    const { trouble } = toColumns({ values: new Float32Array(10_000), nonFinite }, columns, size);
    const at = trouble.indexOf(1);
    expect(at).toBe(Math.floor((6_789 / 10_000) * 460));
    expect(trouble.reduce((a, b) => a + b)).toBe(1);
  });

  test("shows the worst of its steps", () => {
    const columns = { first: Int32Array.from([0, 3]), last: Int32Array.from([2, 3]) };
    const { values } = toColumns(
      { values: f(1, 9, 2, 4), nonFinite: f(0, 0, 0, 0) },
      columns,
      size,
    );
    expect([...values]).toEqual([9, 4]);
  });
});

describe("troubled stretches", () => {
  const runs = (/** @type {string} */ text, /** @type {number} */ least) =>
    troubleRuns(Uint8Array.from(text, Number), least);

  test("are at least as wide as can be seen", () => {
    expect(runs("0000100000", 4)).toEqual([[3, 7]]);
  });

  test("stay within the map at its ends", () => {
    expect(runs("1000000000", 4)).toEqual([[0, 4]]);
    expect(runs("0000000001", 4)).toEqual([[6, 10]]);
  });

  test("grow together where they would overlap", () => {
    expect(runs("0010100000", 4)).toEqual([[1, 7]]);
    expect(runs("0111111000", 4)).toEqual([[1, 7]]);
  });
});

test("of a ratio the value furthest from its right one is the worst, in factors", () => {
  const ratio = badnessOf({ scale: "ratio", target: 1e-3 });
  const none = f(0, 0, 0);
  const { values } = worstOf([f(2e-3, 1e-3, 0), f(1e-4, 5e-3, 1)], [none, none], ratio);
  expect([...values]).toEqual([1e-4, 5e-3, 0].map(Math.fround));
});

test("the worst cell is the troubled one before all larger ones", () => {
  const values = [f(1, 100), f(2, 3)];
  expect(findWorst(values, [f(0, 0), f(0, 0)], size, 0, 1)).toEqual({ tensor: 0, step: 1 });
  expect(findWorst(values, [f(0, 0), f(0.1, 0)], size, 0, 1)).toEqual({ tensor: 1, step: 0 });
});

test("the first trouble is found, and none is -1", () => {
  expect(firstTrouble(f(0, NaN, 0.2, 1))).toBe(2);
  expect(firstTrouble(f(0, NaN))).toBe(-1);
});
