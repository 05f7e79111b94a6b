import { describe, expect, test } from "vitest";

import {
  beyondAxis,
  chooseRidges,
  healthySteps,
  heightOf,
  highestShare,
  layOutRidges,
  placeOf,
  ridgeOf,
  ridgeRange,
  ridgeUnder,
} from "../../src/distribution/ridges.js";
import { makeValueAxis } from "../../src/kit/value_axis.js";
import { histogram } from "../fixtures.js";

const axis = makeValueAxis([0, 10], "linear");
/** @param {ArrayLike<number>} values */
const sum = (values) => Array.from(values).reduce((a, b) => a + b, 0);

describe("a ridge", () => {
  test("has the shares of its pieces, each giving a quarter to either neighbour", () => {
    // [4, 6) is the third of five pieces of 2; its half goes to the second and the fourth.
    const { shares } = ridgeOf(histogram([4, 6, 8]), axis, 5);
    expect([...shares]).toEqual([0, 0.25, 0.5, 0.25, 0]);
  });

  test("shares a wide bin out over the pieces that it covers", () => {
    // [0, 8): a quarter in each of four pieces; what the fourth gives to the fifth comes from it alone.
    const { shares } = ridgeOf(histogram([0, 8, 4]), axis, 5);
    expect([...shares]).toEqual([0.25, 0.25, 0.25, 0.1875, 0.0625]);
  });

  test("loses nothing: its pieces, exact zeros and what is beyond add up to all", () => {
    // 20 elements: 2 below 0 of 4 in [-2, 2), 5 exactly 0, 3 in [9, 10), 8 beyond 10.
    const of = histogram([-2, 2, 4], [0, 0, 5], [9, 10, 3], [20, 30, 8]);
    const { shares, zeros, below, above } = ridgeOf(of, axis, 7);
    expect(zeros).toBe(0.25);
    expect(below).toBeCloseTo(0.1);
    expect(above).toBeCloseTo(0.4);
    expect(sum(shares)).toBeCloseTo(0.25);
  });

  test("of exact zeros alone is flat, and its spike holds all of them", () => {
    const { shares, zeros } = ridgeOf(histogram([0, 0, 9]), axis, 4);
    expect([...shares]).toEqual([0, 0, 0, 0]);
    expect(zeros).toBe(1);
  });
});

describe("the steps that have a ridge", () => {
  test("are all of few", () => {
    expect(chooseRidges(3)).toEqual([0, 1, 2]);
    expect(chooseRidges(1)).toEqual([0]);
    expect(chooseRidges(0)).toEqual([]);
  });

  test("lie evenly among many, the first and the last among them", () => {
    expect(chooseRidges(9, 5)).toEqual([0, 2, 4, 6, 8]);
    const many = chooseRidges(1000);
    expect(many).toHaveLength(40);
    expect([many[0], many[39], new Set(many).size]).toEqual([0, 999, 40]);
  });
});

describe("the range of the values", () => {
  const usual = histogram([-1, 1, 1000]);

  test("is that of the 0.5th to the 99.5th percentile, and a little more", () => {
    // Evenly in [-1, 1): the percentiles lie at -0.99 and 0.99, and 3 % of 1.98 is 0.0594.
    const [low, high] = ridgeRange([usual, usual], null, "linear") ?? [];
    expect(low).toBeCloseTo(-1.0494, 2);
    expect(high).toBeCloseTo(1.0494, 2);
  });

  test("does not begin below 0 where nothing lies there", () => {
    const [low] = ridgeRange([histogram([0, 1, 1000])], null, "linear") ?? [];
    expect(low).toBe(0);
  });

  test("is not pressed flat by a step whose values are a thousand times as large", () => {
    const [, high] = ridgeRange([usual, histogram([-1000, 1000, 10]), usual], null, "linear") ?? [];
    expect(high).toBeLessThan(1.1);
  });

  test("follows values that grow, however far in the end, as long as they grow by and by", () => {
    const growing = [1, 3, 9, 27, 81].map((most) => histogram([0, most, 1000]));
    const [, high] = ridgeRange(growing, null, "linear") ?? [];
    expect(high).toBeGreaterThan(80);
  });

  test("is of steps that hold numbers alone, as long as there are any", () => {
    const large = histogram([-5, 5, 1000]);
    expect(healthySteps([usual, large], [0, 0.1])).toHaveLength(1);
    expect(ridgeRange([large], [0.1], "linear")?.[1]).toBeGreaterThan(4.9);
  });

  test("does not count exact zeros, which have a spike of their own", () => {
    const [low, high] = ridgeRange([histogram([0, 0, 9990], [4, 8, 10])], null, "linear") ?? [];
    expect(low).toBeGreaterThan(3.8);
    expect(high).toBeGreaterThan(7.7);
  });

  test("is nothing where nothing lies above 0 and the axis is logarithmic", () => {
    expect(ridgeRange([histogram([-2, -1, 5])], null, "log")).toBeNull();
    expect(ridgeRange([], null, "linear")).toBeNull();
  });
});

/** @param {number[]} shares */
const ridge = (shares, below = 0, above = 0) => ({
  shares: Float64Array.from(shares),
  zeros: 0,
  below,
  above,
});

describe("ridges", () => {
  test("have one scale, and one needle among them does not flatten it", () => {
    expect(highestShare([ridge([0.1, 0.2]), ridge([0.3, 0])])).toBe(0.3);
    expect(highestShare([ridge([0.1]), ridge([0.1]), ridge([0.9])])).toBeCloseTo(0.3);
    expect(highestShare([])).toBe(1);
  });

  test("are as high as their shares, and no needle is higher than its room", () => {
    expect(heightOf(0.2, 0.4)).toBe(0.5);
    expect(heightOf(NaN, 0.4)).toBe(0);
    expect(heightOf(0.4, 0.4)).toBeGreaterThan(heightOf(0.36, 0.4));
    expect(heightOf(40, 0.4)).toBeLessThanOrEqual(1);
  });

  test("stand from the top to the bottom of their room", () => {
    for (const count of [1, 2, 12, 40]) {
      const { rise, gap, foot } = layOutRidges(count, 300);
      expect(foot(0) - rise).toBeCloseTo(0);
      expect(foot(count - 1)).toBeCloseTo(300);
      if (count > 1) expect(foot(1) - foot(0)).toBeCloseTo(gap);
    }
  });

  test("leave a place between them for a step that has none", () => {
    expect(placeOf([0, 10, 20], 10)).toBe(1);
    expect(placeOf([0, 10, 20], 15)).toBe(1.5);
    expect(placeOf([5, 10], 0)).toBe(0);
    expect(placeOf([5, 10], 99)).toBe(1);
  });

  test("are pointed at where one sees them: the foremost that covers the point", () => {
    // Three of them, 30 high, with feet at 30, 40 and 50.
    const layout = { rise: 30, gap: 10, foot: (/** @type {number} */ place) => 30 + 10 * place };
    const all = [ridge([1, 0]), ridge([1, 0]), ridge([0.5, 0])];
    expect(ridgeUnder(layout, all, 1, 0.2, 45)).toBe(2);
    expect(ridgeUnder(layout, all, 1, 0.2, 30)).toBe(1);
    expect(ridgeUnder(layout, all, 1, 0.2, 5)).toBe(0);
    // Where all are flat it is the one whose foot is next below.
    expect(ridgeUnder(layout, all, 1, 0.9, 33)).toBe(1);
    expect(ridgeUnder(layout, all, 1, 0.9, 99)).toBe(2);
  });

  test("say how much lies beyond the axis, and where most does", () => {
    const { mean, most, place } = beyondAxis([ridge([1]), ridge([0.5], 0.25, 0.25), ridge([1])]);
    expect(mean).toBeCloseTo(0.5 / 3);
    expect([most, place]).toEqual([0.5, 1]);
    expect(beyondAxis([]).mean).toBe(0);
  });
});
