import { expect, test } from "vitest";

import { edgesOf } from "../../src/network/rail.js";

/**
 * Entries of one layer each.
 * @param {number[]} layers
 */
const entries = (layers) =>
  layers.map(
    (layer, i) =>
      /** @type {any} */ ({ part: { layer }, open: false, top: 52 * i, height: 52, depth: 0 }),
  );

test("neighbours are joined by straight lines, and what skips layers bows out", () => {
  const layers = [[], [0], [1], [2, 0]].map((inputs) => ({ inputs }));
  expect(edgesOf(entries([0, 1, 2, 3]), layers)).toEqual([
    { from: 0, to: 1, level: 0 },
    { from: 0, to: 3, level: 1 },
    { from: 1, to: 2, level: 0 },
    { from: 2, to: 3, level: 0 },
  ]);
});

test("a bow around another one lies further out; two that only touch share a level", () => {
  // A U-Net: 0 feeds 6, 1 feeds 5, and 6 feeds 8 past 7.
  const layers = [[], [0], [1], [2], [3], [4, 1], [5, 0], [6], [7, 6]].map((inputs) => ({
    inputs,
  }));
  const bows = edgesOf(entries([0, 1, 2, 3, 4, 5, 6, 7, 8]), layers).filter(({ level }) => level);
  expect(bows).toEqual([
    { from: 0, to: 6, level: 2 },
    { from: 1, to: 5, level: 1 },
    { from: 6, to: 8, level: 1 },
  ]);
});

test("what is not drawn is seen through, and a circle ends", () => {
  // 1 and 2 log nothing and read each other; 3 reads 2, which reads 0 too.
  const layers = [[], [2], [1, 0], [2]].map((inputs) => ({ inputs }));
  expect(edgesOf(entries([0, 3]), layers)).toEqual([{ from: 0, to: 1, level: 0 }]);
});

test("a folded block stands for its layers and has no connection to itself", () => {
  const layers = [[], [0], [1], [2]].map((inputs) => ({ inputs }));
  const folded = entries([0, 1, 3]);
  folded[1].part = { parts: [], lanes: [{ layer: 1 }, { layer: 2 }] };
  expect(edgesOf(folded, layers)).toEqual([
    { from: 0, to: 1, level: 0 },
    { from: 1, to: 2, level: 0 },
  ]);
});
