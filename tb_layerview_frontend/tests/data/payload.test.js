import { deflateSync } from "node:zlib";

import { afterEach, describe, expect, test, vi } from "vitest";

import { float16Table } from "../../src/data/float16.js";
import {
  cellEdge,
  decodeHistogram,
  decodeHistograms,
  decodeUnits,
  decodeValues,
  splitColumns,
} from "../../src/data/payload.js";
import { quantiles } from "../../src/distribution/histogram.js";
import { buffer, bytesOf, fixtures, numbersOf } from "../fixtures.js";

test("float16 bits mean what numpy says they mean", () => {
  const table = float16Table();
  const { bits, numbers } = fixtures.float16;
  expect(bits.map((bit) => table[bit])).toEqual(numbersOf(numbers));
});

describe("cell edges", () => {
  test("are the float32 whose upper bits are the cell's number", () => {
    // 1.0 is 0x3f800000: 0x3f800000 >> 19 is 2032, and the next edges are a sixteenth apart.
    expect(cellEdge(2032)).toBe(1);
    expect(cellEdge(2033)).toBe(1.0625);
    expect(cellEdge(2048)).toBe(2);
  });

  test("mirror at zero: cell -c ends where cell c begins", () => {
    expect(cellEdge(-2031)).toBe(-1);
    expect(cellEdge(-2032)).toBe(-1.0625);
    expect(cellEdge(0)).toBe(-cellEdge(1));
  });

  test("end at the largest float, not at infinity", () => {
    expect(cellEdge(4080)).toBe(3.4028234663852886e38);
    expect(cellEdge(-4079)).toBe(-3.4028234663852886e38);
  });
});

describe("histograms", () => {
  test("worked by hand: bins of one and of several cells, and the zero", () => {
    const bytes = new DataView(new ArrayBuffer(12 + 11));
    bytes.setFloat64(0, 0, true);
    bytes.setInt16(8, 1, true); // values are twice the cells' edges
    bytes.setUint16(10, 3, true);
    // Cell -2032 is (-1.0625, -1]: its gap from -4080 is 2048; 2 * 2048 as a varint is 0x80 0x20. Three elements.
    // Cell 0: gap 2031 from -2031; 4062 is 0xde 0x1f. 200 elements are 0xc8 0x01.
    // Cells 2032 to 2047 are [1, 2): gap 2031 from 1, wide: 4063 is 0xdf 0x1f, width 16, one element.
    [0x80, 0x20, 3, 0xde, 0x1f, 0xc8, 0x01, 0xdf, 0x1f, 16, 1].forEach((byte, i) =>
      bytes.setUint8(12 + i, byte),
    );
    const { lower, upper, counts, total } = decodeHistogram(
      /** @type {ArrayBuffer} */ (bytes.buffer),
    );
    expect([...lower]).toEqual([-2.125, 0, 2]);
    expect([...upper]).toEqual([-2, 0, 4]);
    expect([...counts]).toEqual([3, 200, 1]);
    expect(total).toBe(204);
  });

  for (const [name, fixture] of Object.entries(fixtures.histograms)) {
    test(`of ${name} data keep all elements and numpy's quantiles`, () => {
      const histogram = decodeHistogram(bytesOf(fixture.bytes));
      expect(histogram.total).toBe(fixture.total);
      const found = quantiles(histogram, fixture.fractions);
      found.forEach((value, i) => {
        const truth = fixture.quantiles[i];
        const allowed = Math.max(0.05 * fixture.std, 0.07 * Math.abs(truth));
        expect(Math.abs(value - truth)).toBeLessThanOrEqual(allowed);
      });
    });
  }

  test("that are cut off are an error, not a shorter histogram", () => {
    const whole = bytesOf(fixtures.histograms.normal.bytes);
    expect(() => decodeHistogram(whole.slice(0, -1))).toThrow(/ends after/);
    expect(() => decodeHistogram(whole.slice(0, 7))).toThrow(/ends after 7 bytes/);
  });

  test("with bytes left over are an error", () => {
    const whole = new Uint8Array(bytesOf(fixtures.histograms.normal.bytes));
    expect(() => decodeHistogram(buffer([...whole, 0]))).toThrow(/1 bytes too many/);
  });

  test("that say more bins than there are bytes for, or bins of nothing, are an error", () => {
    const whole = new Uint8Array(bytesOf(fixtures.histograms.normal.bytes));
    whole.set([255, 255], 10);
    expect(() => decodeHistogram(whole.buffer)).toThrow(/says 65535 bins and has/);
    const head = [...new Uint8Array(10), 1, 0];
    expect(() => decodeHistogram(buffer([...head, 2, 0]))).toThrow(/a bin that is empty/);
    expect(() => decodeHistogram(buffer([...head, 3, 0, 1]))).toThrow(/a bin that is empty/);
    expect(() => decodeHistogram(buffer([...head, 3, 255, 255, 127, 1]))).toThrow(/beyond the/);
  });

  test("of several steps come one by one, with gaps where none is kept", () => {
    const one = new Uint8Array(bytesOf(fixtures.histograms.constant.bytes));
    const length = [one.length, 0, 0, 0];
    const found = decodeHistograms(buffer([...length, ...one, 0, 0, 0, 0, ...length, ...one]));
    expect(found.map((histogram) => histogram?.total ?? null)).toEqual([50, null, 50]);
  });
});

describe("values", () => {
  for (const [name, fixture] of Object.entries(fixtures.values)) {
    test(`stored as ${name} are the numbers that numpy stored`, async () => {
      const { axes, data } = await decodeValues(bytesOf(fixture.bytes));
      expect(axes.map(({ count }) => count)).toEqual(fixture.shape);
      expect([...data]).toEqual(numbersOf(fixture.elements));
    });
  }

  test("say where in the whole tensor they lie, and how they were stored", async () => {
    const { axes, precision } = await decodeValues(bytesOf(fixtures.values.float16.bytes));
    expect(axes).toEqual([
      { start: 0, step: 1, size: 32, count: 2 },
      { start: 1, step: 2, size: 9, count: 3 },
      { start: 0, step: 1, size: 4, count: 4 },
    ]);
    expect(precision).toBe("float16");
  });

  test("that are damaged are an error", async () => {
    const bytes = new Uint8Array(bytesOf(fixtures.values.float16.bytes));
    bytes[bytes.length - 3] ^= 255;
    await expect(decodeValues(bytes.buffer)).rejects.toThrow(/damaged/);
  });

  test("of an unknown code are an error", async () => {
    await expect(decodeValues(buffer([0, 9, 0, 0, 0]))).rejects.toThrow(/unknown code 9/);
  });
});

/**
 * An array block that says this shape.
 * @param {number[]} shape
 * @param {Uint8Array} compressed
 * @returns {number[]}
 */
function block(shape, compressed) {
  const u32 = (/** @type {number} */ n) => [n, n >>> 8, n >>> 16, n >>> 24].map((b) => b & 255);
  return [0, shape.length, 0, 0, ...shape.flatMap(u32), ...u32(compressed.length), ...compressed];
}

/**
 * Values that are all there is of a tensor.
 * @param {number[]} shape
 * @param {Uint8Array} compressed
 */
function valuesOf(shape, compressed) {
  const heads = shape.flatMap(() => [0, 0, 0, 0, 1, 0, 0, 0, 255, 255, 255, 255]);
  return buffer([shape.length, ...heads, ...block(shape, compressed)]);
}

/** What has been asked of an inflater to inflate, and how much of it has come out. */
function watchInflater() {
  let out = 0;
  const Real = DecompressionStream;
  vi.stubGlobal(
    "DecompressionStream",
    class {
      /** @param {CompressionFormat} format */
      constructor(format) {
        const { readable, writable } = new Real(format);
        this.writable = writable;
        this.readable = readable.pipeThrough(
          new TransformStream({
            transform(chunk, controller) {
              out += chunk.byteLength;
              controller.enqueue(chunk);
            },
          }),
        );
      }
    },
  );
  return () => out;
}

describe("values that lie", () => {
  afterEach(() => void vi.unstubAllGlobals());

  const zeros = (/** @type {number} */ size) => new Uint8Array(deflateSync(Buffer.alloc(size)));

  test("about their size are inflated no further than it", async () => {
    const inflated = watchInflater();
    const bomb = valuesOf([2, 3], zeros(32 << 20)); // 32 KB
    await expect(decodeValues(bomb)).rejects.toThrow(/more than the 12 bytes that its shape says/);
    expect(inflated()).toBeLessThan(1 << 20);
  });

  test("about how much there is are an error, without memory for what is not there", async () => {
    await expect(decodeValues(valuesOf([2 ** 26], zeros(64)))).rejects.toThrow(
      /64 bytes of elements, not the 134217728/,
    );
  });

  test.each([
    [[2 ** 26 + 1]],
    [[2 ** 31, 2 ** 31, 2 ** 31]],
    [[0, 2 ** 31]], // nothing in it, and still a size that no array has
  ])("by saying the shape %j are refused before they are inflated", async (shape) => {
    const inflated = watchInflater();
    await expect(decodeValues(valuesOf(shape, zeros(64)))).rejects.toThrow(
      /says the shape .* 67,108,864 elements are the most/,
    );
    expect(inflated()).toBe(0);
  });

  test("by saying more axes than any array has are refused", async () => {
    const shape = Array(33).fill(1);
    await expect(decodeValues(valuesOf(shape, zeros(2)))).rejects.toThrow(/says 33 axes; 32/);
  });

  test("about which part of a tensor they are, are refused", async () => {
    const whole = new Uint8Array(bytesOf(fixtures.values.float16.bytes));
    for (const [at, value] of [
      [5, 0], // every 0th
      [1, 31], // two indices from 31 on, of 32
      [9, 1], // two indices of one
    ]) {
      const bytes = whole.slice();
      bytes[at] = value;
      await expect(decodeValues(bytes.buffer)).rejects.toThrow(/indices from .* are kept of/);
    }
  });

  test("of any damage are an error in a sentence, or numbers as many as their axes say", async () => {
    const whole = new Uint8Array(bytesOf(fixtures.values.float16.bytes));
    let state = 1;
    const below = (/** @type {number} */ most) => (state = (state * 48271) % (2 ** 31 - 1)) % most;
    for (let i = 0; i < 500; i++) {
      const bytes = whole.slice(0, below(4) ? whole.length : below(whole.length));
      for (let n = below(4); n >= 0; n--) bytes[below(bytes.length || 1)] = below(256);
      try {
        const { axes, data } = await decodeValues(bytes.buffer);
        expect(data.length).toBe(axes.reduce((product, { count }) => product * count, 1));
      } catch (error) {
        expect(String(error)).toMatch(/^Error: The payload.*\.$/);
      }
    }
  });
});

test("units whose columns differ in length are an error", async () => {
  const one = (/** @type {number} */ units) =>
    block([units], new Uint8Array(deflateSync(Buffer.alloc(2 * units))));
  await expect(decodeUnits(buffer([...one(3), ...one(3), ...one(2), ...one(3)]))).rejects.toThrow(
    /have the shapes \[3\], \[3\], \[2\], \[3\]/,
  );
  const many = block([2 ** 22 + 1], new Uint8Array(deflateSync(Buffer.alloc(9))));
  await expect(decodeUnits(buffer(many))).rejects.toThrow(/4,194,304 elements are the most/);
});

test("units come as mean, rms, zero share and peak", async () => {
  const { mean, rms, zero, peak } = await decodeUnits(bytesOf(fixtures.units.bytes));
  expect([mean, rms, zero, peak].map((row) => [...Array.from(row)])).toEqual(
    fixtures.units.rows.map(numbersOf),
  );
});

describe("columns of statistics", () => {
  test("are split by statistic, then by tensor", () => {
    const sent = Float32Array.from([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    const split = splitColumns(sent.buffer, 2, 3);
    expect(split.map((tensors) => tensors.map((column) => [...column]))).toEqual([
      [
        [1, 2],
        [3, 4],
        [5, 6],
      ],
      [
        [7, 8],
        [9, 10],
        [11, 12],
      ],
    ]);
  });

  test("that do not divide are an error", () => {
    expect(() => splitColumns(new ArrayBuffer(20), 2, 3)).toThrow(/do not divide into 6 columns/);
  });
});
