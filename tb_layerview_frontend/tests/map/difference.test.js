import { expect, test } from "vitest";

import {
  differ,
  differenceScale,
  differenceSeries,
  partingOf,
  partingStep,
  rankPartings,
  thresholdInWords,
  thresholdOf,
} from "../../src/map/difference.js";

const floats = (/** @type {number[]} */ ...values) => Float32Array.from(values);

test("sizes differ by the logarithm of their ratio, other statistics by their difference", () => {
  expect(differ("ratio", 2, 8)).toBe(2);
  expect(differ("ratio", 8, 2)).toBe(-2);
  expect(differ("difference", -0.5, 0.25)).toBe(0.75);
});

test("two zeros are equal, one zero is infinitely far away", () => {
  expect(differ("ratio", 0, 0)).toBe(0);
  expect(differ("ratio", 0, 1)).toBe(Infinity);
  expect(differ("ratio", 1, 0)).toBe(-Infinity);
  expect(differ("ratio", NaN, 1)).toBeNaN();
});

test("each step is compared with its own of B, and trouble of either run is kept", () => {
  const a = { values: floats(1, 2, 4, 8), nonFinite: floats(0, 0, 0.5, 0) };
  const b = { values: floats(2, 16), nonFinite: floats(0, 0.25) };
  const found = differenceSeries("ratio", a, b, Int32Array.of(-1, 0, 0, 1));
  expect([...found.values]).toEqual([NaN, 0, -1, 1]);
  expect([...found.nonFinite]).toEqual([NaN, 0, 0.5, 0.25]);
});

test("runs part at the first step from which on they stay apart", () => {
  expect(partingStep(floats(0, 0, 0.3, 0.4, 0.5), 0.25)).toBe(2);
  // An excursion that ends is no parting.
  expect(partingStep(floats(0, 1, 0, 0, 0.5, 0.6), 0.25)).toBe(4);
  expect(partingStep(floats(0, 1, 0, 0, 0), 0.25)).toBe(-1);
  expect(partingStep(floats(0, -0.3, -0.3), 0.25)).toBe(1);
});

test("one of ten steps that comes near again is no return; unknown steps do not count", () => {
  expect(partingStep(floats(0, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1), 0.5)).toBe(1);
  expect(partingStep(floats(0, 1, 0, 0, 1, 1, 1, 1, 1, 1), 0.5)).toBe(4);
  expect(partingStep(floats(NaN, 1, NaN, NaN, 1), 0.5)).toBe(1);
});

test("what parts first comes first, ties by magnitude, then what does not part, then the unknown", () => {
  const partings = [
    { step: -1, most: 0.5 },
    { step: 7, most: 2 },
    null,
    { step: 3, most: 1.5 },
    { step: 7, most: 4 },
    { step: -1, most: 0.9 },
  ];
  expect(rankPartings(partings)).toEqual([3, 4, 1, 5, 0, 2]);
});

test("a magnitude counts in thresholds, so that statistics of any unit compare", () => {
  expect(partingOf(floats(0, 0.5, -1), 0.25)).toEqual({ step: 1, most: 4 });
});

test("the threshold of a signed statistic follows its size, and is said in words", () => {
  expect(thresholdOf("size", floats(1, 1e6))).toBe(0.25);
  expect(thresholdOf("signed", floats(-20, 5, NaN))).toBeCloseTo(2);
  expect(thresholdInWords("size")).toContain("0.25 (a factor of 1.19)");
  expect(thresholdInWords("share")).toContain("5 % of the elements");
});

test("the colours reach evenly to both sides, over the finite differences", () => {
  expect(differenceScale("ratio", [floats(-3.2, 1, Infinity, NaN)])).toMatchObject({
    low: -1,
    high: 1,
    diverging: true,
  });
  const many = Float32Array.from({ length: 1000 }, (_, i) => -i / 300);
  expect(differenceScale("ratio", [many])).toMatchObject({ low: -5, high: 5 });
  // Equal runs show no colour.
  expect(differenceScale("ratio", [floats(0, 0, 1e-7)])).toMatchObject({ high: 0.5 });
});
