import { describe, expect, test } from "vitest";

import {
  binAt,
  historyShares,
  positiveRange,
  quantiles,
  rangeOverSteps,
  rebin,
  shareBelow,
} from "../../src/distribution/histogram.js";
import { makeValueAxis } from "../../src/kit/value_axis.js";
import { histogram } from "../fixtures.js";

const unit = makeValueAxis([0, 10], "linear");

describe("rebin", () => {
  test("spreads a wide bin evenly over the pieces that it covers", () => {
    // [1, 5) covers one piece and a half of [0, 10) in five pieces of 2.
    const { shares } = rebin(histogram([1, 5, 8], [6, 7, 2]), unit, 5, true);
    expect([...shares]).toEqual([0.2, 0.4, 0.2, 0.2, 0]);
  });

  test("loses nothing: inside, below and above add up to all", () => {
    const { shares, below, above } = rebin(histogram([-5, 5, 10], [8, 16, 10]), unit, 7, true);
    expect(below).toBeCloseTo(0.25);
    expect(above).toBeCloseTo(0.375);
    expect(shares.reduce((a, b) => a + b) + below + above).toBeCloseTo(1);
  });

  test("counts exact zeros apart when they are not wanted in the pieces", () => {
    const data = histogram([0, 0, 6], [1, 2, 4]);
    expect(rebin(data, unit, 10, false).shares[0]).toBe(0);
    expect(rebin(data, unit, 10, false).zeros).toBe(0.6);
    expect(rebin(data, unit, 10, true).shares[0]).toBe(0.6);
  });

  test("keeps single values on both ends of the axis", () => {
    const { shares, below, above } = rebin(histogram([0, 0, 1], [10, 10, 1]), unit, 5, true);
    expect([...shares]).toEqual([0.5, 0, 0, 0, 0.5]);
    expect([below, above]).toEqual([0, 0]);
  });
});

describe("quantiles", () => {
  test("are those that numpy gives of the elements, spread evenly in their bins", () => {
    // numpy.quantile([1, 3, 5, 7, 9, 20.5, 21.5], [0, 0.25, 0.4, 0.5, 1])
    const data = histogram([0, 10, 5], [20, 22, 2]);
    [1, 4, 5.8, 7, 21.5].forEach((value, i) =>
      expect(quantiles(data, [0, 0.25, 0.4, 0.5, 1])[i]).toBeCloseTo(value, 10),
    );
    expect(quantiles(histogram(), [0.5])).toEqual([NaN]);
  });

  test("are single values where bins are", () => {
    expect(quantiles(histogram([0, 0, 3], [2, 2, 1]), [0, 0.5, 1])).toEqual([0, 0, 2]);
  });
});

describe("what lies at a value", () => {
  const data = histogram([-2, -1, 3], [0, 0, 5], [1, 3, 2]);

  test("is the bin that holds it", () => {
    expect(binAt(data, -1.5)).toBe(0);
    expect(binAt(data, 2.9)).toBe(2);
    expect(binAt(data, -1)).toBe(-1);
    expect(binAt(data, 0.5)).toBe(-1);
  });

  test("is a single value that is near enough to be pointed at", () => {
    expect(binAt(data, 0.04, 0.05)).toBe(1);
    expect(binAt(data, 0.06, 0.05)).toBe(-1);
  });

  test("has a share below it, that of its own bin in proportion", () => {
    expect(shareBelow(data, -3)).toBe(0);
    expect(shareBelow(data, -1.5)).toBeCloseTo(0.15);
    expect(shareBelow(data, 0)).toBeCloseTo(0.3);
    expect(shareBelow(data, 0.5)).toBeCloseTo(0.8);
    expect(shareBelow(data, 2)).toBeCloseTo(0.9);
    expect(shareBelow(data, 9)).toBe(1);
  });
});

describe("a logarithmic axis", () => {
  const data = histogram([-4, -2, 2], [0, 0, 4], [1, 10, 2], [10, 100, 2]);

  test("has places for what is above 0 alone, and says how much is not", () => {
    const axis = makeValueAxis([1, 100], "log");
    const { shares, below, zeros } = rebin(data, axis, 2, false);
    expect([...shares].map((share) => Number(share.toFixed(9)))).toEqual([0.2, 0.2]);
    expect(below).toBeCloseTo(0.2);
    expect(zeros).toBeCloseTo(0.4);
  });

  test("reaches over what is above 0 at any step", () => {
    expect(positiveRange([data, null, histogram([0.5, 0.7, 1])])).toEqual([0.5, 100]);
    expect(positiveRange([histogram([-1, 0, 3]), null])).toBeNull();
  });
});

test("the range over steps is that of the widest, and ignores steps without a histogram", () => {
  const steps = [histogram([0, 1, 4]), null, histogram([-5, -4, 4]), histogram()];
  expect(rangeOverSteps(steps, 0, 1)).toEqual([-5, 1]);
  expect(rangeOverSteps([null], 0, 1)).toBeNull();
});

test("the lowest float, which max pooling makes of NaN, is in no range of values", () => {
  const lowest = -3.4028234663852886e38;
  const pooled = histogram([lowest, -3.39e38, 3], [0, 1, 10], [4, 5, 10]);
  for (const [low, high] of [
    [0, 1],
    [0.01, 0.99],
    [0.002, 0.998],
  ]) {
    const range = rangeOverSteps([histogram([-1, 2, 5]), pooled], low, high);
    expect(range?.[0]).toBeGreaterThan(-1.1);
    expect(range?.[1]).toBeLessThanOrEqual(5);
  }
  expect(rangeOverSteps([pooled], 0, 1)).toEqual([0, 5]);
  expect(positiveRange([pooled, histogram([1, 2, 5], [3.3e38, 3.4e38, 1])])).toEqual([1, 5]);
  expect(rangeOverSteps([histogram([lowest, lowest, 3])], 0, 1)).toEqual([lowest, lowest]);
});

describe("a history", () => {
  const narrow = histogram([0, 2, 1]);
  const wide = histogram([0, 10, 5]);

  test("adds up the steps of a column: none is skipped", () => {
    const shares = historyShares(
      [narrow, wide, narrow],
      Int32Array.from([0]),
      Int32Array.from([2]),
      unit,
      5,
    );
    const rest = 0.2 / 3;
    [2 / 3 + rest, rest, rest, rest, rest].forEach((share, i) =>
      expect(shares[i]).toBeCloseTo(share),
    );
  });

  test("says NaN where a column has no histogram", () => {
    const shares = historyShares(
      [null, wide],
      Int32Array.from([0, 1]),
      Int32Array.from([0, 1]),
      unit,
      2,
    );
    expect([...shares]).toEqual([NaN, NaN, 0.5, 0.5]);
  });

  test("leaves exact zeros out beside other values, and shows them alone", () => {
    const relu = histogram([0, 0, 9], [5, 10, 1]);
    const dead = histogram([0, 0, 9]);
    const columns = Int32Array.from([0, 1]);
    const shares = historyShares([relu, dead], columns, columns, unit, 2);
    expect(shares[0]).toBe(0);
    expect(shares[1]).toBeCloseTo(0.1);
    expect(shares[2]).toBe(1);
  });
});
