import { describe, expect, test } from "vitest";

import {
  linearTicks,
  makeValueAxis,
  positionToValue,
  valueTicks,
  valueToPosition,
} from "../../src/kit/value_axis.js";

const linear = makeValueAxis([-3, 8], "linear");
const symlog = makeValueAxis([-3, 8], "symlog", 1);
const log = makeValueAxis([0.001, 100], "log");

describe("value axes", () => {
  test("lead there and back", () => {
    for (const axis of [linear, symlog]) {
      for (const value of [-3, -0.001, 0, 0.5, 8]) {
        expect(positionToValue(axis, valueToPosition(axis, value))).toBeCloseTo(value, 10);
      }
      expect(valueToPosition(axis, -3)).toBe(0);
      expect(valueToPosition(axis, 8)).toBe(1);
    }
    for (const value of [0.001, 0.02, 1, 100]) {
      expect(positionToValue(log, valueToPosition(log, value)) / value).toBeCloseTo(1, 10);
    }
  });

  test("give each decade of a logarithmic axis the same room, and none to what is not above 0", () => {
    expect(valueToPosition(log, 0.01)).toBeCloseTo(0.2);
    expect(valueToPosition(log, 10)).toBeCloseTo(0.8);
    expect(valueToPosition(log, 0)).toBe(-Infinity);
    expect(valueToPosition(log, -5)).toBe(-Infinity);
  });

  test("show both signs alike on a symmetric logarithmic axis", () => {
    const axis = makeValueAxis([-100, 100], "symlog", 1);
    expect(valueToPosition(axis, 0)).toBeCloseTo(0.5);
    expect(valueToPosition(axis, 10) + valueToPosition(axis, -10)).toBeCloseTo(1);
    // Far from 0 a factor is a distance, whatever it is a factor of.
    const step = valueToPosition(axis, 100) - valueToPosition(axis, 10);
    expect(valueToPosition(axis, 10) - valueToPosition(axis, 1)).toBeCloseTo(step, 2);
  });

  test("have a width even where all values are the same", () => {
    for (const value of [0, 3, -1e-9]) {
      const { low, high } = makeValueAxis([value, value], "linear");
      expect(low).toBeLessThan(value === 0 ? 0 : value);
      expect(high).toBeGreaterThan(value);
    }
    const { low, high } = makeValueAxis([3, 3], "log");
    expect([low, high]).toEqual([1.5, 6]);
  });

  test("reach to zero where values come near it, but for logarithmic ones", () => {
    expect(makeValueAxis([0.1, 5], "linear").low).toBe(0);
    expect(makeValueAxis([99, 101], "linear").low).toBe(99);
    expect(makeValueAxis([0.1, 5], "log").low).toBe(0.1);
  });
});

describe("labels", () => {
  test("are round numbers on a linear axis", () => {
    expect(linearTicks(-3, 8, 6)).toEqual([-2, 0, 2, 4, 6, 8]);
    expect(valueTicks(makeValueAxis([0, 0.031], "linear"), 4)).toEqual([0, 0.01, 0.02, 0.03]);
  });

  test("are powers of ten on a logarithmic one, and finer where there are few", () => {
    expect(valueTicks(log, 6).sort((a, b) => a - b)).toEqual([0.001, 0.01, 0.1, 1, 10, 100]);
    expect(valueTicks(makeValueAxis([2, 60], "log"), 8)).toContain(5);
  });

  test("never stand closer than there is room for", () => {
    for (const axis of [symlog, log]) {
      const at = valueTicks(axis, 5)
        .map((value) => valueToPosition(axis, value))
        .sort((a, b) => a - b);
      for (let i = 1; i < at.length; i++) expect(at[i] - at[i - 1]).toBeGreaterThanOrEqual(0.19);
    }
  });
});
