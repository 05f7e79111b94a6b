/** Which numbers scales and axes reach over. */

const FLOAT32_MAX = 3.4028234663852886e38;
const FLOAT16_MAX = 65504;

/**
 * No training works with numbers whose squares float32 does not hold. But max pooling makes the lowest float there is of NaN,
 * and what comes after it is made of that: one such number would leave no colour for all others.
 */
export const MOST = Math.sqrt(FLOAT32_MAX);

/**
 * Below which magnitude numbers of a type are plausible.
 * @param {string} dtype of the tensor
 */
export function mostOf(dtype) {
  return dtype === "float16" ? FLOAT16_MAX : MOST;
}

/**
 * Whether a number is one that a range should reach over.
 * @param {number} value
 * @param {number} [most] see `mostOf`
 */
export function isPlausible(value, most = MOST) {
  return value > -most && value < most;
}
