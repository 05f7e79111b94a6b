import { describe, expect, test } from "vitest";

import { axisNames } from "../../src/data/axes.js";
import {
  cellShape,
  chosenIndices,
  describeKept,
  describeLayout,
  offsetOf,
  planPicture,
  putAxis,
  readPlan,
  shownElements,
  trueIndex,
  unitAxis,
  writePlan,
} from "../../src/picture/plan.js";

const feature = ["example", "row", "column", "channel"];
const kernel = ["row", "column", "input channel", "channel"];

/** @param {[number, number, number, number][]} axes start, step, count, size */
const kept = (...axes) => axes.map(([start, step, count, size]) => ({ start, step, count, size }));

describe("the plan of a picture", () => {
  test("of feature maps: channels are panels, an example is chosen", () => {
    expect(planPicture(feature)).toEqual({
      row: 1,
      column: 2,
      panelRow: null,
      panelColumn: 3,
      choosers: [0],
    });
  });

  test("of a convolution kernel: input by output channel", () => {
    expect(planPicture(kernel)).toEqual({
      row: 0,
      column: 1,
      panelRow: 2,
      panelColumn: 3,
      choosers: [],
    });
  });

  test("of sequences: time across, units down, an example is chosen", () => {
    expect(planPicture(["example", "timestep", "unit"])).toEqual({
      row: 2,
      column: 1,
      panelRow: null,
      panelColumn: null,
      choosers: [0],
    });
  });

  test("of attention: heads are panels", () => {
    expect(planPicture(["example", "head", "query", "key"])).toEqual({
      row: 2,
      column: 3,
      panelRow: null,
      panelColumn: 1,
      choosers: [0],
    });
  });

  test("of volumes: examples and depths are chosen", () => {
    const plan = planPicture(["example", "timestep", "row", "column", "channel"]);
    expect(plan).toMatchObject({ row: 2, column: 3, panelColumn: 4, choosers: [0, 1] });
  });

  test("gives every axis of any rank exactly one place", () => {
    for (let rank = 0; rank <= 7; rank++) {
      for (const kind of /** @type {const} */ (["activation", "weight"])) {
        const plan = planPicture(axisNames([], rank, kind));
        const places = [plan.row, plan.column, plan.panelRow, plan.panelColumn, ...plan.choosers];
        const used = places.filter((axis) => axis !== null).sort();
        expect(used).toEqual(Array.from({ length: rank }, (_, axis) => axis));
      }
    }
  });

  test("is said in words", () => {
    expect(describeLayout(planPicture(kernel), kernel)).toBe(
      "down: input channel · across: channel · each: row × column",
    );
    expect(describeLayout(planPicture(feature), feature)).toBe(
      "panels: channel · each: row × column",
    );
    expect(describeLayout(planPicture(["input", "unit"]), ["input", "unit"])).toBe(
      "down: input · across: unit",
    );
  });
});

describe("where a person puts the axes", () => {
  test("an axis that is elsewhere changes places with the one that was there", () => {
    const plan = putAxis(planPicture(feature), "column", 3);
    expect(plan).toEqual({ row: 1, column: 3, panelRow: null, panelColumn: 2, choosers: [0] });
  });

  test("an axis of which one index was shown takes the place, and the other one's index is chosen", () => {
    const plan = putAxis(planPicture(feature), "panelColumn", 0);
    expect(plan).toMatchObject({ panelColumn: 0, choosers: [3] });
  });

  test("a grid with one direction left wraps", () => {
    const plan = putAxis(planPicture(kernel), "panelColumn", null);
    expect(plan).toMatchObject({ panelColumn: 2, panelRow: null, choosers: [3] });
  });

  test("is written by names, and read back where the tensor has these axes", () => {
    const plan = putAxis(planPicture(kernel), "row", 3);
    const text = writePlan(plan, kernel);
    expect(text).toBe("down=channel,across=column,grid=row,grid-down=input channel");
    expect(readPlan(text, kernel)).toEqual(plan);
    expect(readPlan(text, feature)).toEqual(planPicture(feature));
    expect(readPlan("down=row,across=row", kernel)).toEqual(planPicture(kernel));
    expect(readPlan("nonsense", kernel)).toEqual(planPicture(kernel));
  });

  test("every choice of any rank leaves each axis in one place", () => {
    for (let rank = 1; rank <= 6; rank++) {
      const plan = planPicture(axisNames([], rank, "activation"));
      for (const place of /** @type {const} */ (["row", "column", "panelColumn", "panelRow"])) {
        for (let axis = -1; axis < rank; axis++) {
          const next = putAxis(plan, place, axis < 0 ? null : axis);
          const used = [next.row, next.column, next.panelRow, next.panelColumn, ...next.choosers];
          expect(used.filter((one) => one !== null).sort()).toEqual([...Array(rank).keys()]);
        }
      }
    }
  });
});

test("heads make panels wherever they are among the axes", () => {
  expect(planPicture(["input", "head", "unit"])).toMatchObject({
    row: 0,
    column: 2,
    panelColumn: 1,
  });
});

test("units are the last axis, but of attention the heads", () => {
  expect(unitAxis(feature)).toBe(3);
  expect(unitAxis(["example", "head", "query", "key"])).toBe(1);
  expect(unitAxis([])).toBe(-1);
});

test("a cell is higher where more rows than columns are left out", () => {
  const axes = kept([0, 1, 2, 2], [0, 2, 16, 32], [0, 1, 32, 32], [0, 1, 3, 3]);
  expect(cellShape(axes, feature, planPicture(feature))).toEqual({ wide: 1, high: 2 });
  const matrix = kept([0, 2, 5, 10], [0, 1, 5, 5]);
  expect(cellShape(matrix, ["input", "unit"], planPicture(["input", "unit"]))).toEqual({
    wide: 1,
    high: 1,
  });
});

describe("what is shown", () => {
  const axes = kept([0, 1, 2, 32], [4, 3, 3, 20], [0, 1, 2, 2]);

  test("is the kept index nearest to the one that is asked for", () => {
    const names = ["example", "depth", "unit"];
    expect(chosenIndices(axes, names, [0, 1], { example: 9, depth: 6 })).toEqual({ 0: 1, 1: 1 });
    expect(chosenIndices(axes, names, [0, 1], {})).toEqual({ 0: 0, 1: 0 });
  });

  test("keeps the tensor's own order", () => {
    const found = shownElements([2, 3, 2], { 1: 2 });
    expect([...found.offsets]).toEqual([4, 5, 10, 11]);
    expect(found).toMatchObject({ shape: [2, 2], axes: [0, 2] });
    expect([...shownElements([], {}).offsets]).toEqual([0]);
  });
});

describe("indices", () => {
  const axes = kept([0, 1, 2, 32], [1, 2, 3, 9], [5, 5, 2, 20]);

  test("of the whole tensor follow from start and step", () => {
    // Place 9 of [2, 3, 2] is [1, 1, 1].
    expect(trueIndex(axes, 9)).toEqual([1, 3, 10]);
  });

  test("lead back to their place", () => {
    for (let place = 0; place < 12; place++)
      expect(offsetOf(axes, trueIndex(axes, place))).toBe(place);
  });

  test("that are not kept have no place", () => {
    expect(offsetOf(axes, [0, 2, 5])).toBe(-1);
    expect(offsetOf(axes, [2, 1, 5])).toBe(-1);
    expect(offsetOf(axes, [0, 1, 0])).toBe(-1);
  });
});

describe("what is kept, in words", () => {
  test("says which part of each axis", () => {
    const axes = kept([0, 1, 2, 32], [0, 2, 14, 28], [0, 1, 28, 28], [0, 1, 16, 16]);
    expect(describeKept(axes, feature)).toBe(
      "2 of 32 examples, every 2nd row, all 28 columns, all 16 channels",
    );
  });

  test("says when it is all", () => {
    expect(describeKept(kept([0, 1, 3, 3]), ["unit"])).toBe("all of it");
    expect(describeKept([], [])).toBe("the one value");
  });
});
