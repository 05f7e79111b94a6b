/** In which order a picture shows units. */

/** @typedef {import("../data/payload.js").Values} Values */

/**
 * The root mean square of the finite elements of each index of an axis, or of their distance from other values.
 * @param {ArrayLike<number>} data
 * @param {number} count of the axis
 * @param {number} stride of the axis
 * @param {ArrayLike<number> | null} [other] of the same shape
 */
export function sizesAlong(data, count, stride, other = null) {
  const sums = new Float64Array(count);
  const numbers = new Float64Array(count);
  for (let i = 0; i < data.length; i++) {
    const value = other ? data[i] - other[i] : data[i];
    if (!Number.isFinite(value)) continue;
    const at = Math.floor(i / stride) % count;
    sums[at] += value * value;
    numbers[at]++;
  }
  return sums.map((sum, at) => (numbers[at] ? Math.sqrt(sum / numbers[at]) : 0));
}

/**
 * Indices from the largest size to the smallest, equal ones in their own order.
 * @param {ArrayLike<number>} sizes
 */
export function largestFirst(sizes) {
  return Int32Array.from(
    Array.from(sizes, (_, i) => i).sort((a, b) => sizes[b] - sizes[a] || a - b),
  );
}

/**
 * Whether two values can be compared element by element: the same part of a tensor.
 * @param {Values} one
 * @param {Values} other
 */
export function samePart(one, other) {
  return (
    one.axes.length === other.axes.length &&
    one.axes.every((axis, i) =>
      /** @type {const} */ (["start", "step", "count"]).every(
        (name) => axis[name] === other.axes[i][name],
      ),
    )
  );
}
