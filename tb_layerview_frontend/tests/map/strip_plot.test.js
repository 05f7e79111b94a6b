import { expect, test } from "vitest";

import { brokenRuns, alone } from "../../src/map/strip_plot.js";
import { makeStepAxis } from "../../src/kit/axis.js";

test("a value that no line leads to stands alone, and is drawn as a point", () => {
  const ends = [false, false, true, true, false];
  expect(alone([1, 1, 1, 1, 1], ends)).toEqual([3, 4]);
  expect(alone([1, null, null, 1, null], ends)).toEqual([0, 3]);
  expect(alone([1, 1, 1], [false, false, false])).toEqual([]);
});

test("what is not finite is marked where it was logged alone", () => {
  const axis = makeStepAxis([0, 1, 2, 3, 99], "linear");
  const curve = /** @type {import("../../src/map/curves.js").Curve} */ (
    /** @type {unknown} */ ({
      values: Float64Array.of(1, 1, NaN, NaN, NaN),
      absent: Uint8Array.of(0, 0, 0, 0, 0),
    })
  );
  expect(brokenRuns(axis, [curve])).toEqual([
    [0.02, 0.04],
    [0.99, 1],
  ]);
});
