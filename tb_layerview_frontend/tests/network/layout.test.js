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
        if (flow) expect(end).toBeGreaterThan(width - 20);
        if (!flows || width >= 600) expect(flow !== null).toBe(flows);
      }
    }
  },
);

test.each([320, 600, 1280, 2560])(
  "at %i pixels what is compared with shares the place of the pictures, and all else stays",
  (width) => {
    const needs = { levels: 1, flows: true, ridged: true };
    const side = sideOf(width, 800, 12);
    const alone = layoutOf(width, side, needs);
    for (const beside of /** @type {const} */ ([-1, 1])) {
      const { pictures, others, tiles, ...rest } = layoutOf(width, side, { ...needs, beside });
      expect(alone).toMatchObject(rest);
      const [left, right] = beside > 0 ? [pictures, others] : [others, pictures];
      expect(left?.x).toBe(alone.pictures.x);
      expect(right?.x).toBeGreaterThan((left?.x ?? 0) + (left?.width ?? 0));
      expect((right?.x ?? 0) + pictures.width).toBeCloseTo(alone.pictures.x + alone.pictures.width);
      expect(tiles * (side + 4) - 4).toBeLessThanOrEqual(Math.max(side, pictures.width));
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
