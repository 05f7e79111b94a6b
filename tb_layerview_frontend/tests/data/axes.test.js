import { expect, test } from "vitest";

import { axisNames } from "../../src/data/axes.js";

test("axes that the log names are called so", () => {
  expect(axisNames(["a", "b"], 2, "weight")).toEqual(["a", "b"]);
});

test("axes without a name are what they are in Keras, up to volumes", () => {
  expect(axisNames([], 2, "gradient")).toEqual(["input", "unit"]);
  expect(axisNames([], 5, "weight")).toEqual([
    "depth",
    "row",
    "column",
    "input channel",
    "channel",
  ]);
  expect(axisNames([], 5, "activation")).toEqual(["example", "depth", "row", "column", "channel"]);
  expect(axisNames([], 0, "weight")).toEqual([]);
  // Names that fit another rank fit none.
  expect(axisNames(["unit"], 3, "activation")).toEqual(["example", "timestep", "unit"]);
});

test("axes beyond are numbered", () => {
  expect(axisNames([], 6, "weight")).toEqual([0, 1, 2, 3, 4, 5].map((axis) => `axis ${axis}`));
});
