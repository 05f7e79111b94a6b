import { expect, test } from "vitest";

import { layOut } from "../../src/picture/layout.js";
import { isInside, transformOf, unitRects } from "../../src/picture/screen.js";

const space = { width: 400, height: 400, ratio: 1 };
const none = { row: null, column: null, panelRow: null, panelColumn: null, choosers: [] };

/** @param {Partial<import("../../src/picture/plan.js").Plan>} plan @param {number[]} counts @param {Record<number, number[]>} orders */
function rects(plan, counts, unit = 1, orders = {}) {
  const grid = layOut({ ...none, ...plan }, counts, orders, space);
  const units = counts[counts.length - 1];
  return { grid, found: unitRects(grid, transformOf(grid, null, space), units, unit) };
}

test("a unit that has a panel lies in that panel alone, wherever it is sorted to", () => {
  const plan = { row: 0, column: 1, panelColumn: 2 };
  const { grid, found } = rects(plan, [5, 4, 3], 1, { 2: [2, 0, 1] });
  expect(found).toHaveLength(1);
  const [{ x, y, width, height }] = found;
  expect(width).toBeCloseTo(grid.panelWidth, -1);
  expect(height).toBeCloseTo(grid.panelHeight, -1);
  // It is the third one, for its order is so.
  const pitch = [grid.panelWidth + grid.gap, grid.head + grid.panelHeight + grid.gap];
  const at = Math.round(x / pitch[0]) + grid.panelsPerRow * Math.round((y - grid.head) / pitch[1]);
  expect(at).toBe(2);
});

test("a unit across or down is a column or a row of each panel", () => {
  const across = rects({ row: 0, column: 1 }, [6, 4], 3);
  expect(across.found).toHaveLength(1);
  expect(across.found[0].x + across.found[0].width).toBeCloseTo(across.grid.panelWidth, 0);
  expect(across.found[0].height).toBeCloseTo(across.grid.panelHeight, 0);
  const down = rects({ row: 2, column: 1, panelColumn: 0 }, [2, 5, 4], 0);
  expect(down.found).toHaveLength(2);
  for (const { width, height } of down.found) {
    expect(width).toBeCloseTo(down.grid.panelWidth, -1);
    expect(height).toBeCloseTo(down.grid.panelHeight / 4, 0);
  }
});

test("a unit of a vector is its cell", () => {
  const { found } = rects({ column: 0 }, [7], 4);
  expect(found).toHaveLength(1);
});

test("what is on the screen as a whole is there, and what is larger than it where it fills it", () => {
  const rect = (/** @type {number} */ x, /** @type {number} */ width) => ({
    x,
    y: 0,
    width,
    height: 9,
  });
  expect(isInside(rect(90, 10), 100, 100)).toBe(true);
  expect(isInside(rect(91, 10), 100, 100)).toBe(false);
  expect(isInside(rect(-1, 10), 100, 100)).toBe(false);
  expect(isInside(rect(90, 10), 100, 8)).toBe(true);
  expect(isInside(rect(-200, 400), 100, 100)).toBe(true);
  expect(isInside(rect(60, 400), 100, 100)).toBe(false);
});
