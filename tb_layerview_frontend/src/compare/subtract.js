/** The signed difference of two kept tensors. */

/** @typedef {import("../data/payload.js").Values} Values */

const PRECISIONS = /** @type {const} */ (["float16", "float32", "float64"]);

/**
 * B − A, element by element, in float64.
 * @param {Values} a
 * @param {Values} b the same part of a tensor of the same shape
 * @returns {Values} its precision is that of the less precise one
 */
export function subtract(a, b) {
  const data = new Float64Array(a.data.length);
  for (let i = 0; i < data.length; i++) data[i] = b.data[i] - a.data[i];
  const precision = PRECISIONS.find((one) => one === a.precision || one === b.precision);
  return { axes: a.axes, data, precision: precision ?? a.precision };
}
