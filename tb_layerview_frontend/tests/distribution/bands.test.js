import { describe, expect, test } from "vitest";

import {
  BAND_STATISTICS,
  bandRange,
  bandsOf,
  extremes,
  fillBands,
  knownSteps,
  typicalMagnitude,
} from "../../src/distribution/bands.js";
import { histogram } from "../fixtures.js";

/** @param {Partial<Record<(typeof BAND_STATISTICS)[number], number[]>>} given @param {number} steps */
function columns(given, steps) {
  return /** @type {import("../../src/distribution/bands.js").Bands} */ (
    Object.fromEntries(
      BAND_STATISTICS.map((name) => [
        name,
        Float32Array.from(given[name] ?? new Array(steps).fill(NaN)),
      ]),
    )
  );
}

test("what the server has no columns of comes from histograms, what it has stays", () => {
  const bands = columns({ p50: [5, NaN, NaN], p1: [4, NaN, NaN] }, 3);
  const filled = fillBands(bands, [histogram([0, 1, 1]), histogram([0, 0, 3], [2, 2, 3]), null]);
  expect([...filled.p50]).toEqual([5, 1, NaN]);
  expect([...filled.p1]).toEqual([4, 0, NaN]);
  expect([...bands.p50]).toEqual([5, NaN, NaN]);
  expect(knownSteps(filled)).toEqual([0, 1]);
});

test("histograms alone give the ends by their outermost edges", () => {
  const bands = bandsOf([null, histogram([-3, -2, 5], [1, 4, 5])], 3);
  expect([...bands.min]).toEqual([NaN, -3, NaN]);
  expect([...bands.max]).toEqual([NaN, 4, NaN]);
});

test("a column reaches over all of its steps, and over unknown ones", () => {
  const { low, high } = extremes(
    Float32Array.from([1, 9, NaN, 4, NaN]),
    Int32Array.from([0, 2, 4]),
    Int32Array.from([2, 3, 4]),
  );
  expect([...low]).toEqual([1, 4, NaN]);
  expect([...high]).toEqual([9, 4, NaN]);
});

describe("the range of the axis", () => {
  const bands = columns({ min: [-9, -1], p1: [-2, -1], p50: [0, 0], p99: [3, 2], max: [50, 2] }, 2);

  test("leaves outliers off a linear axis and keeps them on a logarithmic one", () => {
    const [low, high] = /** @type {[number, number]} */ (bandRange(bands, "linear"));
    expect(low).toBeCloseTo(-2.2);
    expect(high).toBeCloseTo(3.2);
    expect(bandRange(bands, "symlog")).toEqual([-9, 50]);
  });

  test("is above 0 on a logarithmic axis, and there is none where nothing is", () => {
    const range = bandRange(bands, "log");
    expect(range?.[0]).toBeGreaterThan(0);
    expect(range?.[1]).toBe(50);
    expect(bandRange(columns({ p1: [-2], p99: [-1], max: [-1] }, 1), "log")).toBeNull();
    expect(bandRange(columns({}, 1), "linear")).toBeNull();
  });
});

test("the lowest float, which max pooling makes of NaN, is in no range of bands", () => {
  const lowest = -3.4028234663852886e38;
  const bands = columns(
    { min: [-9, lowest], p1: [-2, lowest], p50: [0, 0], p99: [3, 2], max: [50, 1e37] },
    2,
  );
  expect(bandRange(bands, "linear")?.[0]).toBeCloseTo(-2.2);
  expect(bandRange(bands, "symlog")).toEqual([-9, 50]);
  expect(bandRange(bands, "log")?.[1]).toBe(50);
  const alone = columns(
    { min: [lowest], p1: [lowest], p50: [lowest], p99: [lowest], max: [lowest] },
    1,
  );
  expect(bandRange(alone, "symlog")?.[0]).toBeLessThan(-3e38);
});

test("the typical magnitude is that of the middle half, over the steps that have one", () => {
  expect(typicalMagnitude([-2, 0, NaN, -1], [1, 0, NaN, 5])).toBe(5);
  expect(typicalMagnitude([0], [0])).toBe(0);
});
