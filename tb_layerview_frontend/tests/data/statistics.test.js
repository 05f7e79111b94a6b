import { describe, expect, test } from "vitest";

import { Columns } from "../../src/data/columns.js";
import {
  badnessOf,
  STATISTIC_GROUPS,
  statisticNamed,
  statisticOf,
  STATISTICS,
  worstInWords,
} from "../../src/data/statistics.js";
import { makeMapLayer } from "../../src/map/layer.js";

test("every statistic has a name of its own, and says in a sentence what it is", () => {
  expect(new Set(STATISTICS.map(({ name }) => name)).size).toBe(STATISTICS.length);
  for (const { meaning } of STATISTICS) expect(meaning).toMatch(/^[A-Z0-9−+].{20,}\.$/);
  expect(STATISTIC_GROUPS.flatMap(({ statistics }) => statistics)).toEqual(STATISTICS);
});

test("what a kind does not have is shown as rms there", () => {
  expect(statisticOf("update_ratio", "update").name).toBe("update_ratio");
  expect(statisticOf("update_ratio", "weight").name).toBe("rms");
  expect(statisticNamed("no such").name).toBe("rms");
});

test("of an update ratio far too small is as bad as far too large, and 0 the worst", () => {
  const badness = badnessOf(statisticNamed("update_ratio"));
  expect(badness(1e-3)).toBe(0);
  expect(badness(1e-5)).toBeCloseTo(badness(0.1));
  expect(badness(0)).toBeGreaterThan(badness(1e-30));
  expect(badness(NaN)).toBeNaN();
  expect(worstInWords(statisticNamed("update_ratio"))).toBe("the update ratio furthest from 0.001");
});

describe("a map", () => {
  const tensors = /** @type {import("../../src/data/types.js").Tensor[]} */ (
    /** @type {unknown} */ ([0, 1].map((layer) => ({ layer, kind: "weight", name: "w", call: 0 })))
  );
  const columns = new Columns("weight", tensors);
  columns.add("rms", [Float32Array.from([1, 2, 3]), Float32Array.from([100, 200, 300])]);
  columns.add("non_finite", [new Float32Array(3), new Float32Array(3)]);
  /** @param {number[]} of */
  const row = (of) => /** @type {import("../../src/map/rows.js").Row} */ ({ tensors: of });
  /** @param {Partial<Parameters<typeof makeMapLayer>[0]>} more */
  const layer = (more) =>
    makeMapLayer({
      columns: new Map([["weight", columns]]),
      kind: "weight",
      statistic: statisticNamed("rms"),
      transform: "",
      rowScales: false,
      ...more,
    });

  test("has one scale for all rows, or one a row", () => {
    const one = layer({});
    expect(one.scaleOf(row([0]))).toBe(one.scale);
    expect(one.scale.high).toBeGreaterThanOrEqual(200);
    const own = layer({ rowScales: true });
    expect(own.scaleOf(row([0])).high).toBeLessThanOrEqual(3);
    expect(own.scaleOf(row([1])).low).toBeGreaterThanOrEqual(100);
  });

  test("has the colours of the steps before numbers break, and says what overflows", () => {
    columns.add("peak", [Float32Array.from([1, 2, 3]), Float32Array.from([2, 4, 3e38])]);
    const peak = { ...statisticNamed("rms"), name: "peak" };
    const broken = layer({ statistic: peak, healthy: 2 });
    expect([broken.scale.high, broken.scale.over]).toEqual([2, 20]);
    expect(broken.beyond).toEqual({ tensor: 1, value: Math.fround(3e38), others: 0 });
    // What the scale is not of overflows nothing.
    const other = layer({ statistic: peak, healthy: 2, counts: (tensor) => tensor === 0 });
    expect(other.beyond).toBeNull();
    expect(other.scaleOf(row([1])).over).toBeUndefined();
    expect(other.scaleOf(row([0])).over).toBeGreaterThan(0);
    expect(layer({}).beyond).toBeNull();
  });

  test("is logarithmic or linear", () => {
    expect(layer({}).scale.transform).toBe("log");
    expect(layer({ transform: "linear" }).scale).toMatchObject({ transform: "linear", low: 0 });
  });

  test("of a statistic that is not here yet is not ready, and draws nothing", () => {
    const missing = layer({ statistic: statisticNamed("p5") });
    expect([missing.ready, missing.unknown]).toEqual([false, false]);
    expect(missing.seriesOf(row([0]))).toBeNull();
  });

  test("of a statistic that the log lacks says so", () => {
    columns.add("p95", [new Float32Array(3).fill(NaN), new Float32Array(3).fill(NaN)]);
    expect(layer({ statistic: statisticNamed("p95") }).unknown).toBe(true);
    expect(layer({}).unknown).toBe(false);
  });
});
