import { expect, test } from "vitest";

import { layoutOf, sideOf } from "../../src/network/layout.js";

test.each([320, 500, 600, 840, 1024, 1280, 1440, 1920, 2560])(
  "at %i pixels columns lie beside each other and within the width",
  (width) => {
    for (const flows of [true, false]) {
      for (const levels of [0, 3, 9]) {
        const { names, pictures, ridges, flow, rail } = layoutOf(width, sideOf(width, 800, 12), {
          levels,
          flows,
          ridged: true,
        });
        const columns = [names, pictures, ridges, flow].filter((column) => column !== null);
        let end = rail;
        for (const { x, width: own } of columns) {
          expect(x).toBeGreaterThanOrEqual(end);
          expect(own).toBeGreaterThan(0);
          end = x + own;
        }
        expect(end).toBeLessThanOrEqual(width);
        if (!flows || width >= 600) expect(flow !== null).toBe(flows);
      }
    }
  },
);

test("a wide screen has more of everything than a narrow one", () => {
  const [narrow, wide] = [560, 2000].map((width) =>
    layoutOf(width, sideOf(width, 800, 10), { levels: 1, flows: true, ridged: true }),
  );
  expect(wide.tiles).toBeGreaterThan(narrow.tiles);
  expect(wide.side).toBeGreaterThan(narrow.side);
  expect(narrow.ridges).toBeNull();
  expect(wide.ridges).not.toBeNull();
});

test("pictures are larger where the window is, as long as all lanes fit", () => {
  expect(sideOf(1000, 800, 3)).toBe(40);
  expect(sideOf(1280, 600, 8)).toBe(56);
  expect(sideOf(1280, 600, 9)).toBe(40);
  expect(sideOf(1600, 1000, 11)).toBe(72);
  expect(sideOf(1600, 1000, 13)).toBe(56);
  expect(sideOf(2560, 1300, 12)).toBe(96);
  expect(sideOf(2560, 1300, 14)).toBe(72);
  expect(sideOf(2560, 1300, 177)).toBe(56);
});
