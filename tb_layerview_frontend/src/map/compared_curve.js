/** The loss of the run that is compared with, brought to the steps of the run that is shown. */

/** @typedef {import("./curves.js").Curve} Curve */

/**
 * B's curve beside A's first one, on the same scale: its loss.
 * @param {Curve[]} curves of A, the loss first
 * @param {import("../data/types.js").History} history of B
 * @param {Int32Array} matched by step of A, the step of B; -1 for none
 * @returns {Curve[]} with B's curve after A's first one; the same where B has no such scalar
 */
export function withCompared(curves, history, matched) {
  const [first, ...rest] = curves;
  const scalar = first && history.scalars[first.name];
  if (!scalar) return curves;
  const values = Float64Array.from(matched, (at) => (at < 0 ? NaN : scalar[at]));
  const absent = Uint8Array.from(matched, (at) => (at < 0 ? 1 : history.absent[first.name][at]));
  // A value that is still the one of the step before is no point of its own.
  const held = Uint8Array.from(matched, (at, i) => (i > 0 && at === matched[i - 1] ? 1 : 0));
  const other = {
    ...first,
    name: `${first.name} of B`,
    label: `${first.label} of B`,
    dashed: true,
    values,
    absent,
    held,
    points: [],
  };
  return [{ ...first, label: `${first.label} of A` }, other, ...rest];
}
