import { expect, test } from "vitest";

import { changeInWords, makeChangeLayer } from "../../src/map/change.js";
import { makeMapLayer } from "../../src/map/layer.js";
import { statisticNamed } from "../../src/data/statistics.js";

const STEPS = [3, 4, 8];
/** rms by tensor: doubles and halves, unknown at first, 0 at first, an input that is the same, one that becomes 0. */
const RMS = [
  [0.5, 1, 0.25],
  [NaN, 1, 2],
  [0, 1, 2],
  [100, 100, 100],
  [2, 2, 0],
];

/** @param {string} name @param {Partial<Parameters<typeof makeChangeLayer>[1]>} more */
function layerOf(name, more = {}) {
  const all = { rms: RMS, max: RMS, zero: RMS, non_finite: RMS.map(() => [0, 0, 0]) };
  const columns = {
    steps: STEPS.length,
    tensors: RMS.map((_, tensor) => tensor),
    has: (/** @type {string} */ one) => one in all,
    of: (/** @type {keyof typeof all} */ one, /** @type {number[]} */ tensors) =>
      tensors.map((tensor) => Float32Array.from(all[one][tensor])),
  };
  const what = /** @type {any} */ ({
    columns: new Map([["activation", columns]]),
    kind: "activation",
    statistic: statisticNamed(name),
    transform: "",
    rowScales: false,
    steps: STEPS,
    healthy: STEPS.length,
    counts: (/** @type {number} */ tensor) => tensor < 4,
    ...more,
  });
  return makeChangeLayer(makeMapLayer(what), what);
}

test("a change is log2 of now over the first logged step; without a ratio nothing is known", () => {
  const layer = layerOf("rms");
  expect(layer.columnOf(0)).toEqual(Float32Array.of(0, 1, -1));
  expect(layer.columnOf(1)).toEqual(Float32Array.of(NaN, NaN, NaN));
  expect(layer.columnOf(2)).toEqual(Float32Array.of(NaN, NaN, NaN));
  expect(layer.columnOf(3)).toEqual(Float32Array.of(0, 0, 0));
  expect(layer.words?.(0, 2)).toBe("rms 0.25, × 1/2 since step 3 (0.5)");
  expect(layer.words?.(2, 1)).toBe("rms 1; no ratio to 0 at step 3");
  expect(layer.words?.(4, 2)).toBe("rms 0, × 0 since step 3 (2)");
  expect(layer.statistic.label).toBe("rms: change since step 3");
  expect(layer.scale).toMatchObject({ diverging: true, transform: "linear", low: -1, high: 1 });
});

test("shares, and a run of one step, have no change", () => {
  expect(layerOf("zero").level).toBeUndefined();
  expect(layerOf("max").level).toBeDefined();
});

test("what became 0 has the end's colour and no part in the range", () => {
  const layer = layerOf("rms", { counts: () => true });
  expect(layer.columnOf(4)?.[2]).toBe(-Infinity);
  expect(layer.scale).toMatchObject({ low: -1, high: 1 });
});

test("a change in words is a factor", () => {
  expect([2, 1, 0, -0.5, -2, -1000].map(changeInWords)).toEqual([
    "× 4",
    "× 2",
    "× 1",
    "× 0.707",
    "× 1/4",
    "× 0",
  ]);
});
