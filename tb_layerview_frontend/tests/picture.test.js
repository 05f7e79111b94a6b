import { describe, expect, test } from "vitest";

import { levelOf, NAN, palette, pictureScale } from "../src/colour.js";
import {
  axisNames,
  baseOffset,
  cellAt,
  describeKept,
  describeLayout,
  finiteRange,
  layOut,
  nonFiniteCells,
  offsetAt,
  offsetOf,
  paint,
  planPicture,
  trueIndex,
} from "../src/picture.js";

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

/**
 * Every pixel's element, by brute force: which true index each pixel shows.
 * @param {string[]} names
 * @param {ReturnType<typeof kept>} axes
 * @param {Record<number, number>} chosen
 */
function shown(names, axes, chosen = {}, width = 300, height = 200) {
  const plan = planPicture(names);
  const counts = axes.map(({ count }) => count);
  const length = counts.reduce((a, b) => a * b, 1);
  const layout = layOut(plan, counts, width, height, 1);
  const base = baseOffset(plan, counts, chosen);
  /** @type {Map<string, {x: number, y: number}>} */
  const seen = new Map();
  for (let y = 0; y < layout.height; y++) {
    for (let x = 0; x < layout.width; x++) {
      const offset = offsetAt(layout, base, x, y, length);
      if (offset < 0) continue;
      const index = trueIndex(axes, offset).join();
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
      y: layout.panelHeight + layout.gap,
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

describe("painting", () => {
  test("gives each pixel its element's colour, gaps none, and NaN its own", () => {
    const data = Float32Array.from([0, 1, 2, NaN]);
    const plan = planPicture(kernel);
    const layout = layOut(plan, [1, 1, 1, 4], 100, 20, 1);
    const colours = palette("light", false);
    const scale = pictureScale([0, 2]);
    const pixels = new Uint32Array(layout.width * layout.height);
    paint(pixels, layout, data, 0, scale, colours);
    const firsts = [0, 1, 2, 3].map((panel) => pixels[panel * (layout.panelWidth + layout.gap)]);
    expect(firsts).toEqual([
      colours[levelOf(scale, 0)],
      colours[levelOf(scale, 1)],
      colours[levelOf(scale, 2)],
      colours[NAN],
    ]);
    expect(layout.gap).toBeGreaterThan(0);
    expect(pixels[layout.panelWidth]).toBe(0);
  });

  test("marks non-finite cells that are large enough", () => {
    const layout = layOut(planPicture(["input", "unit"]), [2, 2], 40, 40, 1);
    const cells = nonFiniteCells(layout, [0, NaN, Infinity, 1], 0, 7);
    expect(cells.map(({ value }) => value)).toEqual([NaN, Infinity]);
    expect(cells[0]).toMatchObject({ x: layout.width / 2, y: 0 });
    expect(nonFiniteCells(layout, [0, NaN, Infinity, 1], 0, 1000)).toEqual([]);
  });

  test("knows the rectangle of an element", () => {
    const layout = layOut(planPicture(["input", "unit"]), [2, 2], 40, 40, 1);
    const half = layout.width / 2;
    expect(cellAt(layout, half + 1, 3)).toEqual({
      x: half,
      y: 0,
      width: half,
      height: layout.height / 2,
    });
  });
});

test("the range of some data is that of its finite elements", () => {
  expect(finiteRange([NaN, 3, -Infinity, -1, Infinity])).toEqual([-1, 3]);
  expect(finiteRange([NaN])).toEqual([0, 0]);
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
