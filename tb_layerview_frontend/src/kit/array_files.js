/** Arrays as files that other programs read: numpy's own format, and text. */

import { csvFormatRow } from "d3-dsv";

import { fromHalf, toHalf } from "../data/float16.js";

/** @typedef {"float16" | "float32" | "float64"} Precision */

const TYPES = /** @type {const} */ ({ float16: "<f2", float32: "<f4", float64: "<f8" });
const BYTES = /** @type {const} */ ({ float16: 2, float32: 4, float64: 8 });
const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0]; // "\x93NUMPY", version 1.0
const ALIGNMENT = 64;

/**
 * An array in numpy's format, version 1.0 (the specification is numpy.lib.format's).
 * @param {ArrayLike<number>} data in C order
 * @param {number[]} shape
 * @param {Precision} precision of the elements in the file
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function encodeNpy(data, shape, precision) {
  const sizes = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const words = `{'descr': '${TYPES[precision]}', 'fortran_order': False, 'shape': (${sizes}), }`;
  const unpadded = MAGIC.length + 2 + words.length + 1;
  const header = `${words}${" ".repeat((ALIGNMENT - (unpadded % ALIGNMENT)) % ALIGNMENT)}\n`;
  const start = MAGIC.length + 2 + header.length;
  const bytes = new Uint8Array(start + data.length * BYTES[precision]);
  bytes.set(MAGIC);
  const view = new DataView(bytes.buffer);
  view.setUint16(MAGIC.length, header.length, true);
  bytes.set(new TextEncoder().encode(header), MAGIC.length + 2);
  for (let i = 0; i < data.length; i++) {
    const at = start + i * BYTES[precision];
    if (precision === "float16") view.setUint16(at, toHalf(data[i]), true);
    else if (precision === "float32") view.setFloat32(at, data[i], true);
    else view.setFloat64(at, data[i], true);
  }
  return bytes;
}

/**
 * The precision in which a file holds values without a loss. What is kept as float16 is kept under a power of two: below
 * it a small one may need float32.
 * @param {ArrayLike<number>} data
 * @param {Precision} stored
 * @returns {Precision}
 */
export function losslessPrecision(data, stored) {
  if (stored !== "float16") return stored;
  let single = true;
  let half = true;
  for (let i = 0; i < data.length; i++) {
    const value = data[i];
    if (!Number.isFinite(value)) continue;
    half &&= fromHalf(toHalf(value)) === value;
    single &&= Math.fround(value) === value;
  }
  return half ? "float16" : single ? "float32" : "float64";
}

/** @typedef {{head: string[], rows: Iterable<(string | number)[]>}} Table */

/**
 * A table as comma-separated values (RFC 4180). Numbers that are not finite are written as numpy and pandas read them.
 * @param {string[]} header
 * @param {Iterable<(string | number)[]>} rows
 */
export function encodeCsv(header, rows) {
  const lines = [csvFormatRow(header)];
  for (const row of rows) lines.push(csvFormatRow(row.map(cell)));
  return `${lines.join("\r\n")}\r\n`;
}

/** @param {string | number} value */
function cell(value) {
  if (value === Infinity) return "inf";
  return value === -Infinity ? "-inf" : String(value);
}
