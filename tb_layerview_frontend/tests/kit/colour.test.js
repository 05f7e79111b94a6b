import { describe, expect, test } from "vitest";

import {
  EMPTY,
  fromUnit,
  LEVELS,
  levelOf,
  NAN,
  NEG_INF,
  OVER,
  palette,
  pictureScale,
  POS_INF,
  scaleTicks,
  statisticScale,
  toUnit,
} from "../../src/kit/colour.js";

describe("scales", () => {
  test("lead there and back", () => {
    for (const scale of [
      statisticScale("size", [1e-6, 10]),
      statisticScale("signed", [1e-3, 2]),
      statisticScale("signed", [-2, 2], "linear"),
      statisticScale("ratio", [1e-5, 0.1]),
      statisticScale("share", [0, 1]),
      pictureScale([-3, 1]),
      pictureScale([0, 5]),
    ]) {
      for (const unit of [0, 0.2, 0.5, 0.9, 1]) {
        expect(toUnit(scale, fromUnit(scale, unit))).toBeCloseTo(unit, 10);
      }
    }
  });

  test("of sizes give each factor of ten the same room", () => {
    const scale = statisticScale("size", [1e-3, 1e3]);
    expect([1e-3, 1e-1, 1, 1e3].map((value) => toUnit(scale, value))).toEqual([
      0,
      expect.closeTo(1 / 3),
      expect.closeTo(0.5),
      1,
    ]);
    expect(levelOf(scale, 0)).toBe(0);
  });

  test("of ratios have their right value in the middle", () => {
    expect(toUnit(statisticScale("ratio", [1e-5, 0.1]), 1e-3)).toBeCloseTo(0.5);
  });

  test("of signed statistics have 0 in the middle, and room for small values of both signs", () => {
    const scale = statisticScale("signed", [1e-3, 10]);
    expect(toUnit(scale, 0)).toBe(0.5);
    expect(toUnit(scale, 0.1) - 0.5).toBeCloseTo(0.25, 1);
    expect(toUnit(scale, -0.1) - 0.5).toBeCloseTo(-0.25, 1);
    expect(scaleTicks(scale)).toEqual([-10, -0.1, 0, 0.1, 10]);
  });

  test("of pictures diverge around 0, and are sequential when nothing is negative", () => {
    expect(pictureScale([-1, 3])).toMatchObject({ diverging: true, low: -3, high: 3 });
    expect(toUnit(pictureScale([-1, 3]), 0)).toBe(0.5);
    expect(pictureScale([0, 3])).toMatchObject({ diverging: false, low: 0, high: 3 });
    expect(pictureScale([99, 101])).toMatchObject({ diverging: false, low: 99, high: 101 });
    expect(pictureScale([0, 0]).high).toBeGreaterThan(0);
  });

  test("label round numbers", () => {
    expect(scaleTicks(statisticScale("size", [2e-4, 30]))).toEqual([1e-3, 1e-2, 0.1, 1, 10]);
    expect(scaleTicks(statisticScale("size", [0.045, 0.18]))).toEqual([0.05, 0.1]);
    expect(scaleTicks(pictureScale([-2, 2]))).toEqual([-2, 0, 2]);
  });
});

describe("levels", () => {
  const scale = pictureScale([0, 1]);

  test("of what is not finite are of their own", () => {
    expect([NaN, Infinity, -Infinity].map((value) => levelOf(scale, value))).toEqual([
      NAN,
      POS_INF,
      NEG_INF,
    ]);
  });

  test("of what lies beyond the ends are the ends'", () => {
    expect([-5, 0, 1, 7].map((value) => levelOf(scale, value))).toEqual([
      0,
      0,
      LEVELS - 1,
      LEVELS - 1,
    ]);
  });
});

test("palettes have a colour for every level and five for what is no level, all opaque", () => {
  for (const theme of /** @type {const} */ (["light", "dark"])) {
    for (const diverging of [true, false]) {
      const colours = palette(theme, diverging);
      expect(colours.length).toBe(LEVELS + 5);
      expect([...colours].every((colour) => colour >>> 24 === 255)).toBe(true);
      // Troubled and empty cells are told apart from each other and from the whole ramp.
      const ramp = new Set(colours.subarray(0, LEVELS));
      const special = [NAN, POS_INF, NEG_INF, EMPTY, OVER].map((level) => colours[level]);
      expect(new Set(special).size).toBe(5);
      expect(special.some((colour) => ramp.has(colour))).toBe(false);
    }
  }
});

test("what lies far beyond a scale has a colour of its own, and what lies a little beyond the end's", () => {
  const scale = {
    transform: /** @type {const} */ ("log"),
    diverging: false,
    low: 1,
    high: 4,
    over: 40,
  };
  expect([4, 39, 41, -41, 3e38].map((value) => levelOf(scale, value))).toEqual([
    LEVELS - 1,
    LEVELS - 1,
    OVER,
    OVER,
    OVER,
  ]);
  expect(levelOf(scale, Infinity)).toBe(POS_INF);
  expect(levelOf({ ...scale, over: undefined }, 3e38)).toBe(LEVELS - 1);
});
