import { expect, test } from "vitest";

import { flowOf, flowRange, nearestFlow, vanishingBelow } from "../../src/network/flow.js";
import { Columns } from "../../src/data/columns.js";
import { makeInfo } from "../make_info.js";

const lane = (/** @type {number} */ gradient) =>
  /** @type {any} */ ({ gradient, update: -1, layer: gradient });
const entry = (/** @type {any} */ part) => ({ part, open: false, depth: 0, top: 0, height: 52 });

test("a lane has its kernel's gradient, a block the median of all of its own", () => {
  const rms = [0.1, 1e-3, 1e-2, 0, NaN];
  const entries = [
    entry(lane(0)),
    entry({ parts: [], lanes: [lane(1), lane(2), lane(0), lane(3)] }),
    entry(lane(3)),
    entry(lane(4)),
    entry(lane(-1)),
  ];
  const line = flowOf(entries, "gradient", (tensor) => rms[tensor] ?? NaN);
  expect(line.map(({ entry: at }) => at)).toEqual([0, 1]);
  expect(line[0].middle).toBeCloseTo(-1);
  expect(line[1].middle).toBeCloseTo(-2);
  expect(line[1].all.map((power) => Math.round(power))).toEqual([-3, -2, -1]);
  expect(vanishingBelow(line, 1e-6)).toBeCloseTo(-7);
});

test("the axis has whole powers of ten, and no step after the first error moves it", () => {
  const column = Float32Array.of(0.02, 0.03, 0.5, 1e30, Infinity);
  expect(flowRange([column], 3)).toEqual([-3, 0]);
  expect(flowRange([column], 4)).toEqual([-2, 30]);
  expect(flowRange([], 0)).toEqual([-4, -1]);
  expect(flowRange([Float32Array.of(0, NaN)], 2)).toEqual([-4, -1]);
});

test("a step without gradients shows those before it, and one whose gradients are NaN shows none", () => {
  const info = makeInfo({ dense: [["gradient", "kernel", [2, 2]]] });
  const columns = new Columns("gradient", info.tensors);
  columns.add("rms", [Float32Array.of(NaN, 0.1, NaN, NaN)]);
  columns.add("non_finite", [Float32Array.of(NaN, 0, NaN, 1)]);
  const run = /** @type {any} */ ({
    columns: new Map([["gradient", columns]]),
    history: { steps: [0, 1, 2, 3] },
  });
  const at = (/** @type {number} */ from, /** @type {1 | -1} */ direction) =>
    nearestFlow([entry(lane(0))], run, "gradient", from, direction).map(({ middle }) =>
      Math.round(middle),
    );
  expect(at(0, 1)).toEqual([-1]);
  expect(at(2, -1)).toEqual([-1]);
  expect(at(3, -1)).toEqual([]);
});
