import { describe, expect, test } from "vitest";

import {
  countsForRange,
  healthySteps,
  largestBeyond,
  overflowOf,
  pastOf,
  scaleRange,
} from "../../src/kit/scale_range.js";

const f = (/** @type {number[]} */ ...values) => Float32Array.from(values);

describe("the range of colours", () => {
  test("covers sizes without zeros, NaN and infinities", () => {
    const [low, high] = scaleRange([f(0, 1, NaN, 10), f(Infinity, 100)], "size");
    expect(low).toBe(1);
    expect(high).toBeGreaterThanOrEqual(10);
  });

  test("is symmetric where the sign matters", () => {
    const [low, high] = scaleRange([f(-4, 1, 2)], "signed", "linear");
    expect(low).toBe(-high);
  });

  test("of shares is all that a share can be", () => {
    expect(scaleRange([f(0.5)], "share")).toEqual([0, 1]);
  });

  test("exists where nothing is known", () => {
    expect(scaleRange([f(NaN, 0)], "size")).toEqual([0.1, 1]);
    expect(scaleRange([], "signed", "linear")).toEqual([-1, 1]);
  });

  test("of a ratio lies around its right value, by a factor of ten at least", () => {
    const range = (/** @type {number[]} */ ...values) =>
      scaleRange([f(...values)], "ratio", "log", 1e-3).map((end) => Number(end.toPrecision(3)));
    expect(range(1e-3, 2e-3)).toEqual([1e-4, 1e-2]);
    expect(range(1e-3, 0.1, 0.1)).toEqual([1e-5, 0.1]);
  });

  test("of shares on a logarithmic scale reaches down to the smallest", () => {
    const [low, high] = scaleRange([f(0, 1e-5, 0.2)], "share", "log");
    expect([low, high]).toEqual([Math.fround(1e-5), 1]);
  });

  test("is never so narrow that noise fills it", () => {
    const [low, high] = scaleRange([f(1, 1.001)], "size");
    expect(high / low).toBeGreaterThanOrEqual(4);
  });
});

describe("what max pooling makes of NaN, and what comes after it", () => {
  const lowest = -3.4028234663852886e38;
  const healthy = f(0.1, 0.2, 0.4, 0.8);
  // rms and extremes of a layer that pools, and of one after it that multiplies.
  const broken = [f(0.1, 6e37, 3.4028234663852886e38), f(0.3, lowest, 1e36), f(1, -1e25, NaN)];

  test.for(/** @type {const} */ (["size", "signed", "ratio"]))(
    "leaves the range of a %s to the healthy steps",
    (scale) => {
      for (const transform of /** @type {const} */ (["log", "linear"])) {
        const range = scaleRange([healthy, ...broken], scale, transform);
        expect(range).toEqual(scaleRange([healthy, f(0.1), f(0.3), f(1)], scale, transform));
        expect(range[1]).toBeLessThan(1e5);
      }
    },
  );

  test("has a range of its own where there is nothing else", () => {
    expect(scaleRange([f(lowest, NaN)], "size")[1]).toBeGreaterThan(1e38);
  });

  test("does not take what merely runs away out of the range", () => {
    expect(scaleRange([healthy, f(1e12, 1e12)], "size", "linear")[1]).toBe(Math.fround(1e12));
  });
});

describe("the healthy past", () => {
  test("ends where numbers break, and is all where none does or the first step is broken", () => {
    const steps = [0, 10, 20, 30];
    expect([20, 15, 0, null, 99].map((at) => healthySteps(steps, at))).toEqual([2, 2, 4, 4, 4]);
  });

  test("alone is what a range is of, if anything is known of it", () => {
    expect(pastOf([f(1, 2, 9e9), f(3, NaN, 9e9)], 2).map((past) => [...past])).toEqual([
      [1, 2],
      [3, NaN],
    ]);
    expect(pastOf([f(NaN, NaN, 9)], 2)[0]).toHaveLength(3);
  });

  test("is exceeded by what is ten times as large, where numbers break; else by what no training works with", () => {
    expect(overflowOf([0.1, 4], true)).toBe(40);
    expect(overflowOf([-4, 4], true)).toBe(40);
    expect(overflowOf([0.1, 4], false)).toBeGreaterThan(1e19);
  });

  test("is exceeded most by the one of the largest magnitude", () => {
    expect(largestBeyond(f(1, -50, 41, NaN, Infinity), 40)).toBe(-50);
    expect(largestBeyond(f(1, 39, -Infinity), 40)).toBe(0);
  });
});

test("a range is not of what a model takes, nor of integers", () => {
  const counts = (/** @type {any} */ tensor, class_name = "Dense") =>
    countsForRange({ kind: "activation", dtype: "float32", ...tensor }, { class_name });
  expect(counts({})).toBe(true);
  expect(counts({ dtype: "int64" })).toBe(false);
  expect(counts({ dtype: "uint8" })).toBe(false);
  expect(counts({ dtype: "bool" })).toBe(false);
  expect(counts({}, "InputLayer")).toBe(false);
  expect(counts({}, "InputProjection")).toBe(true);
  // Quantised weights are numbers.
  expect(counts({ kind: "weight", dtype: "int8" })).toBe(true);
});
