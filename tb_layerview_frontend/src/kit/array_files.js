/** Arrays as files that other programs read: numpy's own format, and text. */

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

const scratch = new DataView(new ArrayBuffer(4));

/**
 * The bits of the float16 nearest to a number, ties to even.
 * @param {number} value
 */
export function toHalf(value) {
  scratch.setFloat32(0, value);
  const sign = (scratch.getUint32(0) >>> 16) & 0x8000;
  const size = Math.abs(value);
  if (value !== value) return sign | 0x7e00;
  if (size >= 65520) return sign | 0x7c00;
  if (size < 2 ** -14) return sign | evenRound(size * 2 ** 24);
  const exponent = Math.floor(Math.log2(size));
  // log2 may be off by one at the edges of a power of two.
  const power =
    2 ** exponent > size ? exponent - 1 : 2 ** (exponent + 1) <= size ? exponent + 1 : exponent;
  // A mantissa that rounds up to the next power of two carries into the exponent, as it should.
  return sign | ((power + 15) * 1024 + evenRound((size / 2 ** power - 1) * 1024));
}

/** @param {number} bits @returns {number} */
function fromHalf(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const mantissa = bits & 1023;
  if (exponent === 31) return mantissa ? NaN : sign * Infinity;
  if (exponent === 0) return sign * mantissa * 2 ** -24;
  return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}

/** @param {number} value not negative */
function evenRound(value) {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}

/** @typedef {{head: string[], rows: Iterable<(string | number)[]>}} Table */

/**
 * A table as comma-separated values (RFC 4180). Numbers that are not finite are written as numpy and pandas read them.
 * @param {string[]} header
 * @param {Iterable<(string | number)[]>} rows
 */
export function encodeCsv(header, rows) {
  const lines = [header.map(cell).join(",")];
  for (const row of rows) lines.push(row.map(cell).join(","));
  return `${lines.join("\r\n")}\r\n`;
}

/** @param {string | number} value */
function cell(value) {
  if (value === Infinity) return "inf";
  if (value === -Infinity) return "-inf";
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
}
