import { describe, expect, test } from "vitest";

import { encodeCsv, encodeNpy, losslessPrecision } from "../../src/kit/array_files.js";

describe("numpy's format", () => {
  test("has its magic, a header that ends at a multiple of 64, and the elements in C order", () => {
    const bytes = encodeNpy([1, -2.5, NaN, Infinity, 0, 3], [2, 3], "float32");
    expect([...bytes.slice(0, 8)]).toEqual([0x93, 78, 85, 77, 80, 89, 1, 0]);
    const length = bytes[8] + 256 * bytes[9];
    expect((10 + length) % 64).toBe(0);
    const header = new TextDecoder().decode(bytes.slice(10, 10 + length));
    expect(header).toMatch(/^\{'descr': '<f4', 'fortran_order': False, 'shape': \(2, 3\), \} *\n$/);
    const view = new DataView(bytes.buffer, 10 + length);
    expect([0, 1, 2, 3].map((i) => view.getFloat32(4 * i, true))).toEqual([1, -2.5, NaN, Infinity]);
    expect(bytes.length).toBe(10 + length + 24);
  });

  test("writes a tuple of one size, and of none", () => {
    const header = (/** @type {number[]} */ shape) => {
      const bytes = encodeNpy(new Array(shape[0] ?? 1).fill(1), shape, "float64");
      return new TextDecoder().decode(bytes.slice(10, 10 + bytes[8] + 256 * bytes[9]));
    };
    expect(header([5])).toContain("'shape': (5,)");
    expect(header([])).toContain("'shape': ()");
  });

  test("takes the precision that loses nothing", () => {
    expect(losslessPrecision([1, 0.5, NaN, -Infinity], "float16")).toBe("float16");
    expect(losslessPrecision([1, (1 + 2 ** -10) * 2 ** -20], "float16")).toBe("float32");
    expect(losslessPrecision([2 ** 300], "float16")).toBe("float64");
    expect(losslessPrecision([1], "float32")).toBe("float32");
    expect(losslessPrecision([1], "float64")).toBe("float64");
  });
});

test("comma-separated values quote what needs it and name what is not finite", () => {
  const rows = [
    ["a,b", 1.5],
    ['say "x"', -Infinity],
    ["c", NaN],
  ];
  expect(encodeCsv(["unit", "value"], rows)).toBe(
    'unit,value\r\n"a,b",1.5\r\n"say ""x""",-inf\r\nc,NaN\r\n',
  );
});
