import { expect, test } from "vitest";

import { exactText } from "../../src/data/numbers.js";

test("a number keeps the nine digits of a float32, and a small one needs no row of zeros", () => {
  expect(
    [0.0625, 8.672794606536627e-5, -1.5e-10, 123456.789, 4240, 1.23456789e20].map(exactText),
  ).toEqual([
    "0.0625",
    "8.67279461e−5",
    "−1.5e−10",
    "123456.789",
    "4,240",
    "123456789000000000000",
  ]);
  expect([NaN, Infinity, -Infinity].map(exactText)).toEqual(["NaN", "+inf", "−inf"]);
});
