/** Decoding of what `/payload` and `/histograms` send; `docs/http_api.md` defines the bytes. */

import { Reader, inflate } from "./bytes.js";
import { float16Table } from "./float16.js";

/**
 * The distribution of a tensor's finite elements at one step.
 * @typedef {object} Histogram
 * @property {Float64Array} lower each bin's lower edge, ascending, in the tensor's own unit
 * @property {Float64Array} upper each bin's upper edge; equal to the lower one where the bin is a single value
 * @property {Float64Array} counts elements in each bin
 * @property {number} total the sum of `counts`
 */

/**
 * @typedef {object} Block
 * @property {number[]} shape
 * @property {Float32Array | Float64Array} data in C order
 * @property {"float16" | "float32" | "float64"} precision as which it was stored
 */

/**
 * What is kept of one axis of a tensor: `count` indices, from `start` on, every `step`-th of `size`.
 * @typedef {{start: number, step: number, count: number, size: number}} KeptAxis
 */

/**
 * The kept part of a tensor at one step.
 * @typedef {object} Values
 * @property {KeptAxis[]} axes
 * @property {Float32Array | Float64Array} data in C order, the axes' counts long
 * @property {Block["precision"]} precision
 */

/**
 * Statistics per unit of a tensor's last axis, of the finite elements.
 * @typedef {{mean: ArrayLike<number>, rms: ArrayLike<number>, zero: ArrayLike<number>, peak: ArrayLike<number>}} Units
 */

const FIRST_CELL = -4080;
const LAST_CODE = 4080;
const LARGEST_FLOAT32 = (2 - 2 ** -23) * 2 ** 127;
const PRECISIONS = /** @type {const} */ (["float16", "float32", "float64"]);
const BYTES = { float16: 2, float32: 4, float64: 8 };
// What no writer exceeds, so that bytes which say more are refused before there is memory for them (docs/reliability.md).
const MOST_AXES = 32;
const MOST_ELEMENTS = 2 ** 26;
const MOST_UNITS = 2 ** 22;

const scratch = new DataView(new ArrayBuffer(4));

/**
 * The lower edge of a histogram cell before centre and scale.
 * @param {number} cell its signed number
 */
export function cellEdge(cell) {
  const code = cell >= 1 ? cell : 1 - cell;
  // The code after the last one means infinity; the cells end at the largest float.
  if (code >= LAST_CODE) return cell >= 1 ? LARGEST_FLOAT32 : -LARGEST_FLOAT32;
  scratch.setUint32(0, code << 19);
  const magnitude = scratch.getFloat32(0);
  return cell >= 1 ? magnitude : -magnitude;
}

/**
 * @param {ArrayBuffer} buffer
 * @returns {Histogram}
 */
export function decodeHistogram(buffer) {
  const reader = new Reader(buffer);
  const center = reader.float64();
  const scale = 2 ** reader.int16();
  const bins = reader.uint16();
  if (2 * bins > reader.left) {
    throw new Error(`The histogram says ${bins} bins and has ${reader.left} bytes for them.`);
  }
  const lower = new Float64Array(bins);
  const upper = new Float64Array(bins);
  const counts = new Float64Array(bins);
  let end = FIRST_CELL;
  let total = 0;
  for (let bin = 0; bin < bins; bin++) {
    const gapAndWide = reader.varint();
    const start = end + Math.floor(gapAndWide / 2);
    end = start + (gapAndWide % 2 ? reader.varint() : 1);
    counts[bin] = reader.varint();
    if (!counts[bin] || start <= FIRST_CELL || end <= start || end > LAST_CODE) {
      throw new Error("The histogram has a bin that is empty or lies beyond the largest float.");
    }
    total += counts[bin];
    // Cell 0 stands for exactly the centre.
    const isZero = start === 0 && end === 1;
    lower[bin] = isZero ? center : center + scale * cellEdge(start);
    upper[bin] = isZero ? center : center + scale * cellEdge(end);
  }
  if (reader.left) throw new Error(`The histogram has ${reader.left} bytes too many.`);
  return { lower, upper, counts, total };
}

/**
 * The histograms of one tensor, one a step.
 * @param {ArrayBuffer} buffer
 * @returns {(Histogram | null)[]} null where a step keeps none
 */
export function decodeHistograms(buffer) {
  const reader = new Reader(buffer);
  const histograms = [];
  while (reader.left) {
    const length = reader.uint32();
    const at = reader.take(length);
    histograms.push(length ? decodeHistogram(buffer.slice(at, at + length)) : null);
  }
  return histograms;
}

/**
 * @param {Reader} reader
 * @param {number} most elements
 * @returns {Promise<Block>}
 */
async function decodeBlock(reader, most) {
  const code = reader.uint8();
  const precision = PRECISIONS[code];
  if (!precision) throw new Error(`The payload has elements of the unknown code ${code}.`);
  const rank = reader.uint8();
  if (rank > MOST_AXES) {
    throw new Error(`The payload says ${rank} axes; ${MOST_AXES} are the most that is written.`);
  }
  const scale = 2 ** reader.int16();
  const shape = Array.from({ length: rank }, () => reader.uint32());
  const compressed = reader.bytes(reader.uint32());
  const count = shape.reduce((product, size) => product * size, 1);
  // An axis of size 0 must not hide sizes that nothing can have.
  if (shape.reduce((product, size) => product * (size || 1), 1) > most) {
    throw new Error(
      `The payload says the shape ${shape.join(" × ")}; ${most.toLocaleString("en")} elements are the most that is written.`,
    );
  }
  const stored = await inflate(compressed, count * BYTES[precision]);
  // A scale far from 1 takes even a float16 out of float32's range.
  const wide = precision === "float64" || scale > 2 ** 100 || scale < 2 ** -100;
  const data = wide ? new Float64Array(count) : new Float32Array(count);
  if (precision === "float16") {
    const bits = new Uint16Array(stored);
    const table = float16Table();
    for (let i = 0; i < count; i++) data[i] = table[bits[i]] * scale;
  } else {
    const exact = precision === "float32" ? new Float32Array(stored) : new Float64Array(stored);
    for (let i = 0; i < count; i++) data[i] = exact[i] * scale;
  }
  return { shape, data, precision };
}

/**
 * @param {ArrayBuffer} buffer
 * @returns {Promise<Values>}
 */
export async function decodeValues(buffer) {
  const reader = new Reader(buffer);
  const rank = reader.uint8();
  const heads = Array.from({ length: rank }, () => ({
    start: reader.uint32(),
    step: reader.uint32(),
    size: reader.uint32(),
  }));
  const { shape, data, precision } = await decodeBlock(reader, MOST_ELEMENTS);
  if (shape.length !== rank) {
    throw new Error(`The payload says rank ${rank} but holds an array of rank ${shape.length}.`);
  }
  const axes = heads.map((head, i) => ({ ...head, count: shape[i] }));
  for (const { start, step, count, size } of axes) {
    if (!step || start + step * (count - 1) >= Math.max(size, 1)) {
      throw new Error(
        `The payload says that ${count} indices from ${start} on, every ${step}th, are kept of ${size}.`,
      );
    }
  }
  return { axes, data, precision };
}

/**
 * @param {ArrayBuffer} buffer
 * @returns {Promise<Units>}
 */
export async function decodeUnits(buffer) {
  const reader = new Reader(buffer);
  /** @type {Block[]} */
  const blocks = [];
  for (let i = 0; i < 4; i++) blocks.push(await decodeBlock(reader, MOST_UNITS));
  if (blocks.some(({ shape }) => shape.length !== 1 || shape[0] !== blocks[0].shape[0])) {
    const shapes = blocks.map(({ shape }) => `[${shape.join(", ")}]`).join(", ");
    throw new Error(`The statistics per unit have the shapes ${shapes}, which are not one length.`);
  }
  const [mean, rms, zero, peak] = blocks.map(({ data }) => data);
  return { mean, rms, zero, peak };
}

/**
 * The columns of `/statistics`: by statistic, then by tensor of the kind.
 * @param {ArrayBuffer} buffer
 * @param {number} statistics how many were asked for
 * @param {number} tensors how many the kind has
 * @returns {Float32Array[][]}
 */
export function splitColumns(buffer, statistics, tensors) {
  const columns = statistics * tensors;
  const steps = columns ? buffer.byteLength / 4 / columns : 0;
  if (!Number.isInteger(steps)) {
    throw new Error(
      `${buffer.byteLength} bytes of statistics do not divide into ${columns} columns.`,
    );
  }
  return Array.from({ length: statistics }, (_, s) =>
    Array.from(
      { length: tensors },
      (_, t) => new Float32Array(buffer, 4 * steps * (s * tensors + t), steps),
    ),
  );
}
