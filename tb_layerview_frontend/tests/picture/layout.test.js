import { describe, expect, test } from "vitest";

import { levelOf, NAN, palette, pictureScale } from "../../src/kit/colour.js";
import { layOut } from "../../src/picture/layout.js";
import { ABOVE, BELOW, countMarks, levelsOf, paint } from "../../src/picture/paint.js";
import { baseOffset, planPicture, trueIndex } from "../../src/picture/plan.js";
import {
  cellOfOffset,
  cellRect,
  enlarged,
  largestZoom,
  middleCell,
  offsetOfCell,
  project,
  transformOf,
  viewOf,
  visibleCells,
} from "../../src/picture/screen.js";

const feature = ["example", "row", "column", "channel"];
const kernel = ["row", "column", "input channel", "channel"];
const ALL = { scale: 1, x: 0, y: 0 };

/** @param {[number, number, number, number][]} axes start, step, count, size */
const kept = (...axes) => axes.map(([start, step, count, size]) => ({ start, step, count, size }));

/**
 * Every pixel's element, by brute force: which true index each pixel shows.
 * @param {string[]} names
 * @param {ReturnType<typeof kept>} axes
 * @param {Record<number, number>} chosen
 */
function shown(names, axes, chosen = {}, width = 300, height = 200) {
  const plan = planPicture(names);
  const counts = axes.map(({ count }) => count);
  const wanted = Object.fromEntries(plan.choosers.map((axis) => [axis, chosen[axis] ?? 0]));
  const layout = layOut(plan, counts, {}, { width, height, ratio: 1 });
  const base = baseOffset(counts, wanted);
  const { columnAt, rowAt } = project(
    layout,
    { scale: 1, x: 0, y: 0 },
    layout.width,
    layout.height,
  );
  /** @type {Map<string, {x: number, y: number}>} */
  const seen = new Map();
  for (let y = 0; y < layout.height; y++) {
    for (let x = 0; x < layout.width; x++) {
      const offset = offsetOfCell(layout, columnAt[x], rowAt[y]);
      if (offset < 0) continue;
      const index = trueIndex(axes, base + offset).join();
      if (!seen.has(index)) seen.set(index, { x, y });
    }
  }
  return { layout, seen, base };
}

describe("the layout", () => {
  test("shows each kept element of the chosen example once, where its axes say", () => {
    // 2 of 32 examples, every second of 9 rows, 4 columns, 5 channels.
    const axes = kept([0, 1, 2, 32], [0, 2, 5, 9], [0, 1, 4, 4], [3, 1, 5, 16]);
    const { seen, layout } = shown(feature, axes, { 0: 1 });
    expect(seen.size).toBe(5 * 4 * 5);
    const at = (/** @type {number[]} */ ...index) => {
      const place = seen.get(index.join());
      if (!place) throw new Error(`${index} is not shown`);
      return place;
    };
    // Rows go down, columns across; the next channel is another panel.
    expect(at(1, 2, 0, 3).y).toBeGreaterThan(at(1, 0, 0, 3).y);
    expect(at(1, 0, 1, 3).x).toBeGreaterThan(at(1, 0, 0, 3).x);
    expect(at(1, 0, 0, 4).x - at(1, 0, 0, 3).x).toBe(layout.panelWidth + layout.gap);
    expect(seen.has("0,0,0,3")).toBe(false);
  });

  test("of a kernel puts input channels down and output channels across", () => {
    const { seen, layout } = shown(
      kernel,
      kept([0, 1, 3, 3], [0, 1, 3, 3], [0, 1, 2, 2], [0, 1, 4, 4]),
    );
    expect(seen.size).toBe(3 * 3 * 2 * 4);
    expect(seen.get("0,0,1,2")).toEqual({
      x: 2 * (layout.panelWidth + layout.gap),
      y: layout.head + layout.panelHeight + layout.gap + layout.head,
    });
  });

  test("never leaves the space it was given", () => {
    for (const [width, height] of [
      [300, 200],
      [37, 200],
      [520, 60],
      [64, 64],
    ]) {
      for (const [names, axes] of /** @type {[string[], ReturnType<typeof kept>][]} */ ([
        [feature, kept([0, 1, 2, 32], [0, 1, 14, 14], [0, 1, 14, 14], [0, 1, 64, 64])],
        [kernel, kept([0, 1, 3, 3], [0, 1, 3, 3], [0, 1, 16, 16], [0, 1, 16, 16])],
        [["input", "unit"], kept([0, 1, 200, 200], [0, 1, 10, 10])],
        [["unit"], kept([0, 1, 1000, 1000])],
        [["unit"], kept([0, 1, 3, 3])],
      ])) {
        const { layout } = shown(names, axes, {}, width, height);
        expect(layout.width).toBeLessThanOrEqual(width + 1);
        expect(layout.height).toBeLessThanOrEqual(height + 1);
      }
    }
  });

  test("wraps a long vector into lines and loses no element", () => {
    const { seen } = shown(["unit"], kept([0, 1, 131, 131]));
    expect(seen.size).toBe(131);
    expect(seen.get("130")?.y).toBeGreaterThan(seen.get("0")?.y ?? Infinity);
  });

  test("shows a scalar", () => {
    const { seen } = shown([], []);
    expect([...seen.keys()]).toEqual([""]);
  });

  test("shows no element in the free places of a last row that is not full", () => {
    const axes = kept([0, 1, 1, 1], [0, 1, 8, 8], [0, 1, 8, 8], [0, 1, 7, 7]);
    const { layout, seen } = shown(feature, axes, {}, 100, 100);
    expect(layout.panelsPerRow * layout.panelRows).toBeGreaterThan(7);
    expect(seen.size).toBe(8 * 8 * 7);
  });
});

describe("an order of units", () => {
  const plan = planPicture(feature);
  const space = { width: 300, height: 200, ratio: 1 };

  test("moves panels, and each cell knows its element", () => {
    const grid = layOut(plan, [1, 2, 2, 3], { 3: [2, 0, 1] }, space);
    expect([...grid.panelOffsets]).toEqual([2, 0, 1]);
    for (let column = 0; column < grid.columns * grid.panelsPerRow; column++) {
      for (let row = 0; row < grid.rows * grid.panelRows; row++) {
        const offset = offsetOfCell(grid, column, row);
        if (offset >= 0) expect(cellOfOffset(grid, offset)).toEqual({ column, row });
      }
    }
  });

  test("moves the elements of a vector through its lines", () => {
    const order = [...Array(131).keys()].reverse();
    const grid = layOut(planPicture(["unit"]), [131], { 0: order }, { ...space, height: 30 });
    expect(grid.panels).toBeGreaterThan(1);
    expect(offsetOfCell(grid, 0, 0)).toBe(130);
    expect(offsetOfCell(grid, 0, 1)).toBe(130 - grid.columns);
    expect(cellOfOffset(grid, 0)).toEqual({
      column: 130 % grid.columns,
      row: Math.floor(130 / grid.columns),
    });
  });
});

describe("the screen", () => {
  const space = { width: 200, height: 100, ratio: 1 };
  const grid = layOut(planPicture(["input", "unit"]), [10, 20], {}, space);

  test("enlarges around a point that stays where it is", () => {
    const before = project(grid, ALL, grid.width, grid.height);
    const at = { x: 83, y: 41 };
    const transform = enlarged(grid, ALL, 4, at, space);
    const after = project(grid, transform, space.width, space.height);
    expect(after.columnAt[at.x]).toBe(before.columnAt[at.x]);
    expect(after.rowAt[at.y]).toBe(before.rowAt[at.y]);
    expect(cellRect(grid, transform, 3, 3).width).toBe(4 * cellRect(grid, ALL, 3, 3).width);
  });

  test("leaves no room beside the picture while there is more of it", () => {
    const { x, y, scale } = enlarged(grid, ALL, 3, { x: 0, y: 0 }, space);
    expect({ x, y }).toEqual({ x: 0, y: 0 });
    const moved = transformOf(grid, { scale, x: 1, y: 1 }, space);
    expect(moved.x).toBeCloseTo(space.width - scale * grid.width);
    expect(moved.y).toBeCloseTo(space.height - scale * grid.height);
  });

  test("is kept as shares of the picture, whatever its size", () => {
    const view = { scale: 4, x: 0.4, y: 0.5 };
    const transform = transformOf(grid, view, space);
    expect(viewOf(grid, transform, space)).toEqual(view);
    expect(viewOf(grid, ALL, space)).toBeNull();
  });

  test("ends where a cell has room for any number", () => {
    const transform = enlarged(grid, ALL, 1e9, { x: 50, y: 50 }, space);
    expect(transform.scale).toBe(largestZoom(grid, 1));
    expect(cellRect(grid, transform, 5, 5).width).toBeGreaterThanOrEqual(95);
  });

  test("shows each visible cell once, at the pixels that its rectangle covers", () => {
    const transform = transformOf(grid, { scale: 3, x: 0.3, y: 0.6 }, space);
    const projection = project(grid, transform, space.width, space.height);
    const cells = [...visibleCells(grid, projection)];
    expect(new Set(cells.map(({ offset }) => offset)).size).toBe(cells.length);
    for (const { column, row } of cells) {
      const { x, y, width, height } = cellRect(grid, transform, column, row);
      const inX = Math.min(space.width - 1, Math.max(0, x + Math.floor(width / 2)));
      const inY = Math.min(space.height - 1, Math.max(0, y + Math.floor(height / 2)));
      expect([projection.columnAt[inX], projection.rowAt[inY]]).toEqual([column, row]);
    }
  });
});

describe("levels", () => {
  const scale = pictureScale([0, 2]);

  test("are those of the scale, with a mark beyond its ends", () => {
    const levels = levelsOf([0, 1, 2, -0.5, 3, NaN, Infinity, -Infinity], [scale], 1);
    expect([...levels.slice(0, 3)]).toEqual([0, 1, 2].map((value) => levelOf(scale, value)));
    expect(levels[3] & BELOW).toBeTruthy();
    expect(levels[4] & ABOVE).toBeTruthy();
    expect(countMarks(levels, levels.keys())).toEqual({
      nan: 1,
      posInf: 1,
      negInf: 1,
      low: 1,
      high: 1,
    });
    expect(countMarks(levels, [0, 1, 5])).toMatchObject({ nan: 1, low: 0, high: 0 });
  });

  test("can have a scale for each index of an axis", () => {
    const scales = [pictureScale([0, 1]), pictureScale([0, 10])];
    // [2 rows, 2 channels]
    const levels = levelsOf([1, 10, 0.5, 5], scales, 1);
    expect(levels[0]).toBe(levels[1]);
    expect(levels[2]).toBe(levels[3]);
  });
});

describe("painting", () => {
  const data = [0, 1, 2, NaN];
  const scale = pictureScale([0, 2]);
  const colours = palette("light", false);
  const levels = levelsOf(data, [scale], 1);
  const space = { width: 100, height: 20, ratio: 1 };
  const layout = layOut(planPicture(kernel), [1, 1, 1, 4], {}, space);
  const projection = project(layout, ALL, layout.width, layout.height);

  test("gives each pixel its element's colour, gaps none, and NaN its own", () => {
    const pixels = new Uint32Array(layout.width * layout.height);
    paint(pixels, layout, projection, levels, 0, colours, 0);
    const line = layout.head * layout.width;
    const firsts = [0, 1, 2, 3].map(
      (panel) => pixels[line + panel * (layout.panelWidth + layout.gap)],
    );
    expect(firsts).toEqual([
      colours[levelOf(scale, 0)],
      colours[levelOf(scale, 1)],
      colours[levelOf(scale, 2)],
      colours[NAN],
    ]);
    expect(layout.gap).toBeGreaterThan(0);
    expect(pixels[line + layout.panelWidth]).toBe(0);
  });

  test("stripes what is no number, and nothing else", () => {
    const pixels = new Uint32Array(layout.width * layout.height);
    paint(pixels, layout, projection, levels, 0, colours, 2);
    const coloursOf = (/** @type {number} */ panel) => {
      const found = new Set();
      const left = panel * (layout.panelWidth + layout.gap);
      for (let y = layout.head; y < layout.height; y++) {
        for (let x = left; x < left + layout.panelWidth; x++)
          found.add(pixels[y * layout.width + x]);
      }
      return found.size;
    };
    expect([0, 1, 2, 3].map(coloursOf)).toEqual([1, 1, 1, 2]);
  });
});

test("what is enlarged without a pointer is the cell nearest to the middle, never a gap", () => {
  const cells = (/** @type {number[]} */ ...at) => Int32Array.from(at);
  const middle = middleCell({ columnAt: cells(0, 0, -1, -1, -1, 1), rowAt: cells(0, 1, 2) });
  expect(middle).toEqual({ x: 1.5, y: 1.5 });
  expect(middleCell({ columnAt: cells(-1, -1), rowAt: cells() })).toEqual({ x: 1, y: 0 });
});
