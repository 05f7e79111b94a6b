import { describe, expect, test } from "vitest";

import { columnSteps, makeStepAxis } from "../../src/kit/axis.js";
import {
  appendUnits,
  BROKEN,
  decodeUnitColumn,
  latestKept,
  orderUnits,
  PARTLY_SILENT,
  SILENT,
  silenceInWords,
  silenceNamed,
  silences,
  silentSince,
  sizeRange,
  summary,
  toPixels,
  unitScale,
} from "../../src/units/units.js";

/**
 * What the server sends, written by the document.
 * @param {number[]} indices
 * @param {number[][]} rows
 * @param {number} units
 */
function sent(indices, rows, units) {
  const bytes = new ArrayBuffer(8 + 4 * indices.length * (1 + units));
  const view = new DataView(bytes);
  [indices.length, units, ...indices].forEach((n, i) => view.setUint32(4 * i, n, true));
  rows.flat().forEach((x, i) => view.setFloat32(8 + 4 * (indices.length + i), x, true));
  return bytes;
}

/** @param {number[][]} rows by step */
const column = (rows) =>
  decodeUnitColumn(
    sent(
      rows.map((_, i) => i),
      rows,
      rows[0].length,
    ),
  );

describe("what the server sends", () => {
  test("is read as steps × units", () => {
    const read = decodeUnitColumn(
      sent(
        [2, 5],
        [
          [1, 2, 3],
          [4, NaN, Infinity],
        ],
        3,
      ),
    );
    expect(read.units).toBe(3);
    expect([...read.indices]).toEqual([2, 5]);
    expect([...read.values]).toEqual([1, 2, 3, 4, NaN, Infinity]);
  });

  test("may hold no step", () => {
    expect(decodeUnitColumn(sent([], [], 7)).indices.length).toBe(0);
  });

  test("is refused where bytes are missing", () => {
    const bytes = sent([0], [[1, 2]], 2);
    expect(() => decodeUnitColumn(bytes.slice(0, 12))).toThrow(/12 bytes of units are not the 20/);
    expect(() => decodeUnitColumn(new ArrayBuffer(0))).toThrow(/0 bytes/);
  });

  test("is put after what is known", () => {
    const known = decodeUnitColumn(
      sent(
        [0, 1],
        [
          [1, 2],
          [3, 4],
        ],
        2,
      ),
    );
    const all = appendUnits(known, decodeUnitColumn(sent([4], [[5, 6]], 2)));
    expect([...all.indices]).toEqual([0, 1, 4]);
    expect([...all.values]).toEqual([1, 2, 3, 4, 5, 6]);
    expect(appendUnits(known, decodeUnitColumn(sent([], [], 2)))).toBe(known);
  });
});

test("the latest kept step up to one that is not is shown, else the first", () => {
  expect([0, 4, 5, 6, 99].map((index) => latestKept([4, 6], index))).toEqual([0, 0, 0, 1, 1]);
  expect(latestKept([], 3)).toBe(-1);
});

describe("silence", () => {
  // Unit 0 never, 1 always, 2 from the second step on, 3 came back twice, 4 is NaN in between.
  const peaks = column([
    [1, 0, 3, 0, 0],
    [1, 0, 0, 1, NaN],
    [2, 0, 0, 0, 0],
    [1, 0, 0, 2, 1],
  ]);
  const found = silences(peaks.values, 5);
  const steps = [0, 100, 380, 1420];
  const words = found.map((own) => silenceInWords(own, steps, "silent on the probe"));

  test("is the stretches in which a unit's peak is 0", () => {
    expect(found).toEqual([
      [],
      [[0, 3]],
      [[1, 3]],
      [
        [0, 0],
        [2, 2],
      ],
      [
        [0, 0],
        [2, 2],
      ],
    ]);
  });

  test("is said in words, with the steps' numbers", () => {
    expect(words.slice(0, 4)).toEqual([
      "never silent on the probe at the 4 steps kept",
      "silent on the probe at all 4 steps kept, since step 0",
      "silent on the probe since step 100",
      "silent on the probe at step 0 and at step 380, came back",
    ]);
    expect(silenceInWords([[0, 1]], [100, 380, 420], "silent")).toBe(
      "silent from 100 to 380, came back",
    );
  });

  test("of many stretches is cut to the latest", () => {
    const many = /** @type {[number, number][]} */ ([0, 2, 4, 6, 8, 10].map((i) => [i, i]));
    const numbers = Array.from({ length: 11 }, (_, i) => i);
    expect(silenceInWords(many, numbers, "silent")).toBe(
      "silent at step 4, at step 6, at step 8 and since step 10, and 2 times before",
    );
  });

  test("is known at a step", () => {
    expect(found.map((own) => silentSince(own, 2))).toEqual([-1, 0, 1, 2, 2]);
  });

  test("is summed up for a step", () => {
    expect(summary(found, 2, "units", "silent")).toBe(
      "4 of 5 units silent at this step (80 %), 1 since the first step",
    );
    expect(summary(found.slice(0, 1), 2, "units", "silent")).toBe(
      "0 of 1 units silent at this step, none at any other",
    );
    expect(summary(found.slice(3), 1, "units", "silent")).toBe(
      "0 of 2 units silent at this step; 2 at other steps",
    );
  });

  test("names the inputs on which it was looked for, and is no silence where it is no activation", () => {
    expect(silenceNamed("activation", { examples: 32 }).long).toBe(
      "silent on the probe (32 examples)",
    );
    expect(silenceNamed("activation", null).long).toBe("silent on what was logged");
    expect(silenceNamed("gradient", { examples: 32 }).long).toBe("all zero");
  });
});

describe("the order of units", () => {
  const rms = column([
    [1, 5, 0, 2],
    [1, 4, 0, 9],
    [3, 4, 0, 9],
  ]);
  const silence = silences(rms.values, 4);
  /** @param {import("../../src/units/units.js").UnitOrder} order */
  const order = (order) => [...orderUnits(order, rms, silence, 2)];

  test("is by index, activity, or change since the first or the previous step", () => {
    expect(order("index")).toEqual([0, 1, 2, 3]);
    expect(order("activity")).toEqual([3, 1, 0, 2]);
    expect(order("change")).toEqual([3, 0, 1, 2]);
    expect(order("previous")).toEqual([0, 1, 2, 3]);
  });

  test("has the silent ones first, the longest before, then those that were", () => {
    const peaks = column([
      [1, 0, 0, 1],
      [1, 0, 1, 0],
      [1, 1, 1, 0],
    ]);
    const found = silences(peaks.values, 4);
    expect([...orderUnits("silence", rms, found, 2)]).toEqual([3, 1, 2, 0]);
  });

  test("has what is not a number first", () => {
    const broken = column([[1, NaN, 3]]);
    expect([...orderUnits("activity", broken, [[], [], []], 0)]).toEqual([1, 2, 0]);
  });
});

describe("pixels", () => {
  /** @param {number[][]} rows @param {number} height @param {number} width */
  const draw = (rows, height, width) => {
    const own = column(rows);
    const axis = makeStepAxis(
      rows.map((_, i) => i),
      "linear",
    );
    const order = orderUnits("index", own, [], 0);
    return toPixels(own, own.values, order, height, columnSteps(axis, width));
  };

  test("hold the largest magnitude of their cells: one among a thousand units and steps is seen", () => {
    const rows = Array.from({ length: 1000 }, () => new Array(1000).fill(1));
    rows[617][333] = -50;
    const { values } = draw(rows, 100, 100);
    expect([...values].filter((value) => value === -50).length).toBe(1);
    expect(values[33 * 100 + 61]).toBe(-50);
  });

  test("say if all or some of their cells are silent, or any is not finite", () => {
    const { marks, values } = draw([[0, 0, 1, 0, NaN, 2, 3, 4]], 4, 1);
    expect([...marks]).toEqual([SILENT, PARTLY_SILENT, BROKEN, 0]);
    expect([...values]).toEqual([0, 1, 2, 4]);
  });

  test("repeat units that are fewer than the rows of pixels", () => {
    expect([...draw([[1, 2]], 4, 1).values]).toEqual([1, 1, 2, 2]);
  });
});

test("a ramp of sizes leaves out the smallest and largest hundredth, and never blows up what is alike", () => {
  const many = Float32Array.from({ length: 1001 }, (_, i) => 1 + i / 100);
  const [low, high] = sizeRange(many);
  expect(low).toBeCloseTo(1.1);
  expect(high).toBeCloseTo(10.9);
  expect(sizeRange(Float32Array.from([3, 3, 0, NaN, Infinity]))).toEqual([2, 3]);
  expect(sizeRange(Float32Array.from([0, NaN]))).toEqual([0.1, 1]);
});

test("the colours of units are of the steps before numbers break", () => {
  const column = {
    indices: Uint32Array.of(0, 4, 8),
    units: 2,
    values: Float32Array.of(1, 2, 2, 4, 3e30, 5),
  };
  expect(unitScale(column, "size", 8, true)).toMatchObject({ high: 4, over: 40 });
  expect(unitScale(column, "signed", 5, true).high).toBeLessThan(5);
  expect(unitScale(column, "size", 20, false).over).toBeGreaterThan(1e19);
});
