import { expect, test } from "vitest";

import { statisticNamed } from "../../src/data/statistics.js";
import { makeRankLayer } from "../../src/ranks/rank_layer.js";

const run = /** @type {any} */ ({
  info: {
    layers: [{ path: "conv" }, { path: "dense" }],
    tensors: [
      { layer: 0, kind: "activation", name: "output", call: 0 },
      { layer: 0, kind: "weight", name: "kernel", call: 0 },
      { layer: 1, kind: "activation", name: "output", call: 0 },
    ],
  },
});
const found = {
  ranks: [0, 1, 4],
  steps: [40, 38, null],
  tensors: [0, 2],
  statistics: {
    rms: [
      [1, 2],
      [1, 8],
      [NaN, NaN],
    ],
    non_finite: [
      [0, 0],
      [0, 0.25],
      [NaN, NaN],
    ],
  },
};
const layer = (/** @type {any} */ given = {}) =>
  makeRankLayer({
    run,
    kind: "activation",
    statistic: statisticNamed("rms"),
    found,
    transform: "",
    rowScales: false,
    problem: "",
    ...given,
  });
const row = (/** @type {number[]} */ ...tensors) => /** @type {any} */ ({ tensors });

test("a row draws how far each rank is from the median one", () => {
  const series = layer().seriesOf(row(0, 1, 2));
  expect([...(series?.values ?? [])]).toEqual([-1, 1, NaN]);
  expect([...(series?.nonFinite ?? [])]).toEqual([0, 0.25, NaN]);
  expect(layer().seriesOf(row(1))).toBeNull();
});

test("a cell says which rank, at which step, and how far", () => {
  const cell = layer().describe?.(row(2), 0, 0);
  expect(cell).toMatchObject({ tensor: 2, step: 0, bad: false });
  expect(cell?.lines).toEqual([
    "dense · activation output",
    "rank 0, step 40",
    "rms 2: 0.5 times the median rank’s",
  ]);
  const broken = layer().describe?.(row(0, 2), 1, 1);
  expect(broken).toMatchObject({ tensor: 2, step: 1, bad: true });
  expect(broken?.lines).toContain("25 % NaN or inf");
  expect(broken?.lines).toContain("rank 1, step 38");
  expect(layer().describe?.(row(0), 2, 2)?.lines.slice(1)).toEqual([
    "rank 4, no step yet",
    "not logged at this step",
  ]);
});

test("before the statistics are there, the map is not ready, and a problem is said", () => {
  expect(layer({ found: null })).toMatchObject({ ready: false, unknown: false });
  expect(layer({ found: null, problem: "No answer." }).problem).toBe("No answer.");
  expect(layer().anyTrouble).toBe(true);
});
