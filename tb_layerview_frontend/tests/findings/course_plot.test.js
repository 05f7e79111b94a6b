import { expect, test } from "vitest";

import { courseAxis, courseOfScalar, heldRuns, linePath } from "../../src/findings/course_plot.js";
import { PLACES, placeOf, valueAt } from "../../src/findings/thresholds.js";
import { makeStepAxis } from "../../src/kit/axis.js";

/** @param {number[]} values @param {Record<string, number[]>} [compared] */
const course = (values, compared = {}) => ({
  steps: values.map((_, i) => i),
  measure: "rms",
  values,
  compared,
  held: values.map(() => false),
});

test("all lines fit on the axis, which is logarithmic where they are far apart", () => {
  const wide = courseAxis(course([1e-8, NaN, 1e-6], { largest: [0.1, 0.1, 0.1] }), false);
  expect(wide.spacing).toBe("log");
  expect([wide.low <= 1e-8, wide.high >= 0.1]).toEqual([true, true]);
  const near = courseAxis(course([0.3, 0, 0], { threshold: [0, 0, 0] }), false);
  expect([near.spacing, near.low]).toEqual(["linear", 0]);
  expect(courseAxis(course([0.95]), true)).toMatchObject({ low: 0, high: 1 });
  expect(courseAxis(course([NaN, Infinity]), false)).toMatchObject({ low: 0, high: 1 });
});

test("a line is broken where nothing is known", () => {
  const values = [0, NaN, 1, 0.5];
  const axis = makeStepAxis([0, 1, 2, 3], "linear");
  const heights = courseAxis(course(values), true);
  expect(linePath(values, axis, heights, { width: 80, height: 10 })).toBe(
    "M10.0 10.0M50.0 0.0L70.0 5.0",
  );
});

test("a line is broken where steps were not logged, and a step that stands alone is a dot", () => {
  const steps = [0, 1, 2, 3, 50, 99];
  const axis = makeStepAxis(steps, "linear");
  const path = linePath([0, 0, 0, 0, 1, 0], axis, courseAxis(course([0, 1]), true), {
    width: 100,
    height: 10,
  });
  expect(path).toBe("M0.5 10.0L1.5 10.0L2.5 10.0L3.5 10.0h0M50.5 0.0h0M99.5 10.0");
});

test("a rule that holds on both sides of what was not logged holds over neither of it", () => {
  const axis = makeStepAxis([0, 1, 2, 3, 99], "linear");
  expect(heldRuns([false, false, true, true, true], axis)).toEqual([
    { from: 0.02, to: 0.04 },
    { from: 0.99, to: 1 },
  ]);
});

test("one high step of many is in the line, though a pixel shows a hundred", () => {
  const values = Array.from({ length: 10_000 }, (_, i) => (i === 5678 ? 1 : 0.5));
  const axis = makeStepAxis(
    values.map((_, i) => i),
    "linear",
  );
  const path = linePath(values, axis, courseAxis(course(values), true), { width: 100, height: 10 });
  expect(path).toContain("L56.5 0.0");
  expect(path.length).toBeLessThan(4000);
});

test("a rule holds over stretches of the axis", () => {
  const axis = makeStepAxis([0, 1, 2, 3], "linear");
  expect(heldRuns([true, false, true, true], axis)).toEqual([
    { from: 0, to: 0.25 },
    { from: 0.5, to: 1 },
  ]);
});

test("the course of a loss leaves out the steps that lack it", () => {
  const history = /** @type {import("../../src/data/types.js").History} */ (
    /** @type {unknown} */ ({
      steps: [0, 1, 2],
      scalars: { loss: Float64Array.of(2, NaN, NaN) },
      absent: { loss: Uint8Array.of(0, 1, 0) },
    })
  );
  expect(courseOfScalar(history, "loss")).toEqual({
    steps: [0, 2],
    measure: "loss",
    values: [2, NaN],
    compared: {},
    held: [false, true],
  });
  expect(courseOfScalar(history, "accuracy")).toBeNull();
});

test("a threshold's slider leads from its usual value by factors, shares or whole numbers, and back", () => {
  for (const [name, usual, low, high] of /** @type {const} */ ([
    ["ratio", 1e-6, 1e-9, 1e-3],
    ["share", 0.9, 0, 1],
    ["patience", 10, 1, 50],
    ["patience", 1, 1, 50],
    ["least", 0.999, 0, 0.999999],
    ["least", 0.999999, 0.999, 0.999999999],
  ])) {
    expect([valueAt(name, usual, 0), valueAt(name, usual, PLACES)]).toEqual([low, high]);
    expect(valueAt(name, usual, placeOf(name, usual, usual))).toBe(usual);
    for (const place of [40, 200, 333]) {
      const value = valueAt(name, usual, place);
      expect(valueAt(name, usual, placeOf(name, usual, value))).toBe(value);
    }
  }
});
