import { expect, test } from "vitest";

import { subtract } from "../../src/compare/subtract.js";

/**
 * @param {number[]} data
 * @param {"float16" | "float32" | "float64"} precision
 * @returns {import("../../src/data/payload.js").Values}
 */
const values = (data, precision) => ({
  axes: [2, 2].map((count) => ({ start: 0, step: 1, count, size: count })),
  data: Float32Array.from(data),
  precision,
});

test("the difference is B − A at each element, what is no number stays none", () => {
  const found = subtract(
    values([1, 2, 3, Infinity], "float32"),
    values([1, 0, NaN, Infinity], "float32"),
  );
  expect([...found.data]).toEqual([0, -2, NaN, NaN]);
});

test("a difference is as precise as the less precise of the two", () => {
  const zeros = [0, 0, 0, 0];
  expect(subtract(values(zeros, "float64"), values(zeros, "float32")).precision).toBe("float32");
  expect(subtract(values(zeros, "float16"), values(zeros, "float64")).precision).toBe("float16");
});
