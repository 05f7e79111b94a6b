import { describe, expect, test } from "vitest";

import {
  columnSteps,
  indexAt,
  makeStepAxis,
  nearestIndex,
  positionOf,
  stepTicks,
} from "../../src/kit/axis.js";

describe("a step axis", () => {
  test("gives each step the stretch to half way to its neighbours", () => {
    const { edges, positions } = makeStepAxis([0, 10, 40], "linear");
    // Raw edges -5, 5, 25, 55: sixty steps in all.
    expect([...edges]).toEqual([0, 10 / 60, 30 / 60, 1]);
    expect([...positions]).toEqual([5 / 60, 15 / 60, 45 / 60]);
  });

  test("gives each logged step the same width when it is even", () => {
    expect([...makeStepAxis([0, 10, 1000, 1001], "even").edges]).toEqual([0, 0.25, 0.5, 0.75, 1]);
  });

  test("puts powers of two at the same distance when it is logarithmic", () => {
    const { positions } = makeStepAxis([0, 1, 3, 7], "log");
    expect(positions[2] - positions[1]).toBeCloseTo(positions[1] - positions[0]);
    expect(positions[3] - positions[2]).toBeCloseTo(positions[1] - positions[0]);
  });

  test("exists for one step and for none", () => {
    expect([...makeStepAxis([7], "linear").edges]).toEqual([0, 1]);
    expect([...makeStepAxis([], "linear").positions]).toEqual([]);
  });

  test("finds the step that owns a position", () => {
    const axis = makeStepAxis([0, 10, 40], "linear");
    expect([-1, 0, 0.16, 0.17, 0.49, 0.51, 1, 2].map((at) => indexAt(axis, at))).toEqual([
      0, 0, 0, 1, 1, 2, 2, 2,
    ]);
  });
});

test("the nearest step is found, the earlier of two that are equally near", () => {
  const steps = [0, 10, 20, 100];
  expect([-5, 4, 5, 6, 15, 61, 1000].map((step) => nearestIndex(steps, step))).toEqual([
    0, 0, 0, 1, 1, 3, 3,
  ]);
  expect(nearestIndex([], 3)).toBe(-1);
});

describe("pixel columns", () => {
  test("show every step, however many there are to a pixel", () => {
    const steps = Array.from({ length: 10_000 }, (_, i) => (i < 127 ? i : i * 3));
    const { first, last } = columnSteps(makeStepAxis(steps, "linear"), 461);
    const seen = new Set();
    for (let column = 0; column < 461; column++) {
      for (let i = first[column]; i <= last[column]; i++) seen.add(i);
    }
    expect(seen.size).toBe(10_000);
  });

  test("repeat a step that is wider than a pixel", () => {
    const { first, last } = columnSteps(makeStepAxis([0, 1], "linear"), 4);
    expect([...first]).toEqual([0, 0, 1, 1]);
    expect([...last]).toEqual([0, 0, 1, 1]);
  });

  test("show nothing where there is no step", () => {
    expect([...columnSteps(makeStepAxis([], "linear"), 2).last]).toEqual([-1, -1]);
  });
});

describe("ticks", () => {
  test("are round, and lie where their steps lie", () => {
    const axis = makeStepAxis([0, 50, 100], "linear");
    const ticks = stepTicks(axis, 6);
    expect(ticks.map(({ step }) => step)).toEqual([0, 20, 40, 60, 80, 100]);
    expect(ticks[0].position).toBeCloseTo(axis.positions[0]);
    expect(ticks[5].position).toBeCloseTo(axis.positions[2]);
  });

  test("are never more than fit", () => {
    const steps = Array.from({ length: 613 }, (_, i) => i);
    for (const most of [1, 2, 3, 5, 7]) {
      expect(stepTicks(makeStepAxis(steps, "linear"), most).length).toBeLessThanOrEqual(most + 1);
      expect(stepTicks(makeStepAxis(steps, "even"), most).length).toBeLessThanOrEqual(most);
    }
  });

  test("of a logarithmic axis are powers of ten", () => {
    const ticks = stepTicks(makeStepAxis([0, 1, 10, 100, 999], "log"), 6);
    expect(ticks.map(({ step }) => step)).toEqual([0, 1, 10, 100]);
  });
});

test("a step that is not logged lies between its neighbours, and never beyond the ends", () => {
  const axis = makeStepAxis([0, 10, 40], "linear");
  const [first, second, last] = axis.positions;
  expect(positionOf(axis, 10)).toBe(second);
  expect(positionOf(axis, 25)).toBeCloseTo((second + last) / 2);
  expect(positionOf(axis, -5)).toBe(first);
  expect(positionOf(axis, 99)).toBe(last);
  expect(positionOf(makeStepAxis([], "linear"), 3)).toBe(0);
});
