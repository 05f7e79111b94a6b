import { expect, test } from "vitest";

import { float16Table, toHalf } from "../../src/data/float16.js";

test("all float16 numbers are kept bit by bit", () => {
  const table = float16Table();
  const changed = [...table.keys()].filter(
    (bits) => (bits & 0x7fff) <= 0x7c00 && toHalf(table[bits]) !== bits,
  );
  expect(changed).toEqual([]);
  expect(float16Table()[toHalf(NaN)]).toBeNaN();
});

test("other numbers are rounded to the nearest float16, ties to even", () => {
  expect(toHalf(1 + 2 ** -11)).toBe(toHalf(1));
  expect(toHalf(1 + 3 * 2 ** -11)).toBe(toHalf(1 + 2 ** -9));
  expect(toHalf(65519)).toBe(0x7bff);
  expect(toHalf(65520)).toBe(0x7c00);
  expect(toHalf(-(2 ** -25))).toBe(0x8000);
  expect(toHalf(2 - 2 ** -12)).toBe(0x4000);
});
