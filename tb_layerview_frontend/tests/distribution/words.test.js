import { expect, test } from "vitest";

import { rebin } from "../../src/distribution/histogram.js";
import { countAt, notShown, perBar, spread } from "../../src/distribution/words.js";
import { makeValueAxis } from "../../src/kit/value_axis.js";

const histogram = {
  lower: Float64Array.from([-4, 0, 1, 10]),
  upper: Float64Array.from([-2, 0, 10, 100]),
  counts: Float64Array.from([1, 5, 2, 2]),
  total: 10,
};

test("a point says the exact count of the bin that it lies in", () => {
  expect(countAt(histogram, 3, 0)).toBe("1 to 10: 2 of 10 elements (20 %)");
  expect(countAt(histogram, 0.01, 0.1)).toBe("exactly 0: 5 of 10 elements (50 %)");
  expect(countAt(histogram, -1, 0.1)).toBe("no element near −1");
});

test("what bars do not show is said: zeros, what is below 0 on a logarithmic axis, what lies beyond", () => {
  /** @param {import("../../src/kit/value_axis.js").ValueAxis} axis */
  const words = (axis) => notShown(rebin(histogram, axis, 8, false), axis, histogram);
  expect(words(makeValueAxis([1, 100], "log"))).toEqual(["50 % are exactly 0", "10 % are below 0"]);
  expect(words(makeValueAxis([10, 100], "log"))).toContain("20 % lie beyond");
  expect(words(makeValueAxis([-4, 100], "linear"))).toEqual(["50 % are exactly 0"]);
});

test("the count axis says of what its shares are", () => {
  expect(perBar(makeValueAxis([0, 5], "linear"), 50)).toBe("share per bar, 0.1 wide");
  expect(perBar(makeValueAxis([0.01, 100], "log"), 56)).toBe("share per bar, 14 a decade");
});

test("some of many are told, the first and the last among them", () => {
  expect(spread([1, 2, 3], 5)).toEqual([1, 2, 3]);
  const some = spread(
    Array.from({ length: 100 }, (_, i) => i),
    4,
  );
  expect(some).toEqual([0, 33, 66, 99]);
});
