import { expect, test } from "vitest";

import {
  formatBytes,
  formatCount,
  formatExact,
  formatMilliseconds,
  formatSeconds,
  formatShape,
  formatShare,
  formatTicks,
  formatValue,
} from "../../src/kit/format.js";

test("values are short, and what is not finite is said", () => {
  expect(
    [0, 0.41234, -12.3456, 1234.5, 2e-7, 3e12, NaN, Infinity, -Infinity].map(formatValue),
  ).toEqual(["0", "0.412", "−12.3", "1,235", "2e−7", "3e12", "NaN", "+inf", "−inf"]);
});

test("no two numbers of an axis read the same", () => {
  expect(formatTicks([0.08, 0.1, 0.12, 0.14])).toEqual(["0.08", "0.1", "0.12", "0.14"]);
  expect(formatTicks([0.7, 0.75, 0.8])).toEqual(["0.7", "0.75", "0.8"]);
  expect(formatTicks([10, 10.5, 11])).toEqual(["10", "10.5", "11"]);
  expect(formatTicks([0.1, 1, 10])).toEqual(["0.1", "1", "10"]);
  expect(formatTicks([0.06245, 0.0625, 0.06255], formatValue)).toEqual([
    "0.06245",
    "0.0625",
    "0.06255",
  ]);
  expect(formatTicks([0.25, 1.25, 2.25], formatValue)).toEqual(["0.25", "1.25", "2.25"]);
});

test("exact values have the digits that float16 and float32 keep", () => {
  expect([0.4132080078125, 1.5e-9, -65504].map(formatExact)).toEqual([
    "0.413208",
    "1.5e−9",
    "−65504",
  ]);
});

test("a share that is neither none nor all is never rounded to that", () => {
  expect([0, 1e-9, 0.0123, 0.52, 0.995, 1 - 1e-9, 1, NaN].map(formatShare)).toEqual([
    "0 %",
    "< 0.1 %",
    "1.2 %",
    "52 %",
    "99.5 %",
    "> 99.9 %",
    "100 %",
    "–",
  ]);
});

test("sizes and times have units that fit", () => {
  expect([12, 81234, 84123456, 84e9].map(formatBytes)).toEqual([
    "12 bytes",
    "81 KB",
    "84 MB",
    "84 GB",
  ]);
  expect([0.94, 31.2, 600, 9000].map(formatSeconds)).toEqual(["0.9 s", "31 s", "10 min", "2.5 h"]);
  expect([4e-4, 0.0062, 0.123, 0.734, 0.9996, 1.2].map(formatMilliseconds)).toEqual([
    "0.4 ms",
    "6.2 ms",
    "120 ms",
    "730 ms",
    "1000 ms",
    "1.2 s",
  ]);
  expect(formatCount(1234567)).toBe("1,234,567");
});

test("shapes say which sizes vary", () => {
  expect([[], [3], [-1, 28, 16]].map(formatShape)).toEqual(["scalar", "3", "? × 28 × 16"]);
});
