import { expect, test } from "vitest";

import { planPicture } from "../src/picture.js";
import {
  changeOfUnits,
  neighbourOffset,
  originalOffset,
  rankUnits,
  reorderUnits,
  sameElements,
  subtract,
} from "../src/picture_difference.js";

/**
 * @param {number[]} counts
 * @param {number[]} data
 * @returns {import("../src/payload.js").Values}
 */
const values = (counts, data) => ({
  axes: counts.map((count) => ({ start: 0, step: 1, count, size: count })),
  data: Float32Array.from(data),
  precision: "float32",
});

test("the difference is B − A at each element", () => {
  const found = subtract(values([2, 2], [1, 2, 3, 4]), values([2, 2], [1, 0, 6, NaN]));
  expect([...found.data]).toEqual([0, -2, 3, NaN]);
});

test("only the same elements have a difference", () => {
  const a = values([2, 2], [1, 2, 3, 4]);
  expect(sameElements(a, values([2, 2], [0, 0, 0, 0]))).toBe(true);
  const thinned = { ...a, axes: [{ ...a.axes[0], step: 2, size: 4 }, a.axes[1]] };
  expect(sameElements(a, thinned)).toBe(false);
});

test("units rank by the rms of their change; one that is not known comes first", () => {
  // Units are the last axis: unit 0 holds 3 and 4, unit 1 nothing finite, unit 2 holds 10 and nothing else.
  const changes = changeOfUnits(values([2, 3], [3, NaN, 10, 4, Infinity, NaN]));
  expect([...changes]).toEqual([Math.sqrt(12.5), NaN, 10]);
  expect(rankUnits(changes)).toEqual([1, 2, 0]);
});

test("units in another order keep their values, and the way back is known", () => {
  const order = [2, 0, 1];
  const moved = reorderUnits(values([2, 3], [0, 1, 2, 10, 11, 12]), order);
  expect([...moved.data]).toEqual([2, 0, 1, 12, 10, 11]);
  for (let offset = 0; offset < 6; offset++) {
    expect(moved.data[offset]).toBe([0, 1, 2, 10, 11, 12][originalOffset(offset, order)]);
  }
});

test("arrows walk within a panel, and over its edge into the next one", () => {
  const plan = planPicture(["row", "column", "channel"]);
  const counts = [2, 2, 3];
  // Row 0, column 0 of channel 0 is at 0; a column is 3 further, a row 6.
  expect(neighbourOffset(plan, counts, 0, "ArrowRight")).toBe(3);
  expect(neighbourOffset(plan, counts, 0, "ArrowDown")).toBe(6);
  // From the last column of channel 0 into the first column of channel 1.
  expect(neighbourOffset(plan, counts, 3, "ArrowRight")).toBe(1);
  // And back.
  expect(neighbourOffset(plan, counts, 1, "ArrowLeft")).toBe(3);
  expect(neighbourOffset(plan, counts, 0, "ArrowLeft")).toBe(0);
});
