import { describe, expect, test } from "vitest";

import {
  historyShares,
  makeValueAxis,
  positionToValue,
  quantiles,
  rangeOverSteps,
  rebin,
  valueToPosition,
} from "../src/histogram.js";

/** @param {[number, number, number][]} bins lower, upper, count */
function histogram(...bins) {
  return {
    lower: Float64Array.from(bins, ([lower]) => lower),
    upper: Float64Array.from(bins, ([, upper]) => upper),
    counts: Float64Array.from(bins, ([, , count]) => count),
    total: bins.reduce((sum, [, , count]) => sum + count, 0),
  };
}

const unit = { low: 0, high: 10, unit: null };

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

describe("value axes", () => {
  test("lead there and back, linear and logarithmic", () => {
    for (const axis of [makeValueAxis([-3, 8], false), makeValueAxis([-3, 8], true)]) {
      for (const value of [-3, -0.001, 0, 0.5, 8]) {
        expect(positionToValue(axis, valueToPosition(axis, value))).toBeCloseTo(value, 10);
      }
      expect(valueToPosition(axis, -3)).toBe(0);
      expect(valueToPosition(axis, 8)).toBe(1);
    }
  });

  test("have a width even where all values are the same", () => {
    for (const value of [0, 3, -1e-9]) {
      const { low, high } = makeValueAxis([value, value], false);
      expect(low).toBeLessThan(value === 0 ? 0 : value);
      expect(high).toBeGreaterThan(value);
    }
  });

  test("reach to zero where values come near it", () => {
    expect(makeValueAxis([0.1, 5], false).low).toBe(0);
    expect(makeValueAxis([99, 101], false).low).toBe(99);
  });
});

test("quantiles lie within their bin, in proportion", () => {
  const data = histogram([0, 10, 10], [20, 30, 30]);
  expect(quantiles(data, [0, 0.125, 0.25, 0.5, 1])).toEqual([0, 5, 10, 20 + 10 / 3, 30]);
  expect(quantiles(histogram(), [0.5])).toEqual([NaN]);
});

test("the range over steps is that of the widest, and ignores steps without a histogram", () => {
  const steps = [histogram([0, 1, 4]), null, histogram([-5, -4, 4]), histogram()];
  expect(rangeOverSteps(steps, 0, 1)).toEqual([-5, 1]);
  expect(rangeOverSteps([null], 0, 1)).toBeNull();
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
