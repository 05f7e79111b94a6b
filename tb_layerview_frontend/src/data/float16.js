/** Numbers of 16 bits, which neither arrays nor views of all browsers have yet. */

/** The number that 16 bits are. @param {number} bits @returns {number} */
export function fromHalf(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const mantissa = bits & 1023;
  if (exponent === 31) return mantissa ? NaN : sign * Infinity;
  if (exponent === 0) return sign * mantissa * 2 ** -24;
  return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}

/** @type {Float32Array | undefined} */
let halves;

/**
 * All float16 numbers by their bits, made at first use: 64 KB of table are far faster than arithmetic per element.
 * @returns {Float32Array}
 */
export function float16Table() {
  halves ??= Float32Array.from({ length: 65536 }, (_, bits) => fromHalf(bits));
  return halves;
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

/** @param {number} value not negative */
function evenRound(value) {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}
