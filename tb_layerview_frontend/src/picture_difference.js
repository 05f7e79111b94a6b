/** The signed difference of two kept tensors, and which of their units changed most. */

import { stridesOf } from "./picture.js";

/** @typedef {import("./payload.js").Values} Values */

/**
 * Whether the same elements of two tensors are kept.
 * @param {Values} a
 * @param {Values} b
 */
export function sameElements(a, b) {
  return (
    a.axes.length === b.axes.length &&
    a.axes.every(({ start, step, count, size }, i) => {
      const other = b.axes[i];
      return (
        start === other.start && step === other.step && count === other.count && size === other.size
      );
    })
  );
}

/**
 * B − A, element by element.
 * @param {Values} a
 * @param {Values} b of the same elements
 * @returns {Values}
 */
export function subtract(a, b) {
  const data = new Float64Array(a.data.length);
  for (let i = 0; i < data.length; i++) data[i] = b.data[i] - a.data[i];
  return { axes: a.axes, data, precision: a.precision === b.precision ? a.precision : "float16" };
}

/**
 * How much each unit (index of the last axis) changed: the rms of its finite differences.
 * @param {Values} difference
 * @returns {Float64Array} NaN for a unit without a finite difference
 */
export function changeOfUnits({ axes, data }) {
  const units = axes.at(-1)?.count ?? 1;
  const sums = new Float64Array(units);
  const counts = new Float64Array(units);
  for (let i = 0; i < data.length; i++) {
    if (!Number.isFinite(data[i])) continue;
    sums[i % units] += data[i] ** 2;
    counts[i % units]++;
  }
  return sums.map((sum, unit) => Math.sqrt(sum / counts[unit]));
}

/**
 * Units from the one that changed most; those of which nothing is known first, for they are where something broke.
 * @param {Float64Array} changes
 * @returns {number[]}
 */
export function rankUnits(changes) {
  const worth = (/** @type {number} */ unit) =>
    Number.isNaN(changes[unit]) ? Infinity : changes[unit];
  return Array.from(changes, (_, unit) => unit).sort((a, b) =>
    worth(a) === worth(b) ? a - b : worth(b) - worth(a),
  );
}

/**
 * The same data with the units of the last axis in another order.
 * @param {Values} values
 * @param {number[]} order the unit that comes to each place
 * @returns {Values}
 */
export function reorderUnits(values, order) {
  const units = order.length;
  const data = new Float64Array(values.data.length);
  for (let i = 0; i < data.length; i++) {
    const place = i % units;
    data[i] = values.data[i - place + order[place]];
  }
  return { ...values, data };
}

/**
 * The place in the data of what stands at a place of reordered data, and the other way round.
 * @param {number} offset
 * @param {number[]} order
 */
export function originalOffset(offset, order) {
  const place = offset % order.length;
  return offset - place + order[place];
}

/**
 * The place in the data of the next element along a direction of the screen.
 * @param {import("./picture.js").Plan} plan
 * @param {number[]} counts of each axis
 * @param {number} offset
 * @param {"ArrowLeft" | "ArrowRight" | "ArrowUp" | "ArrowDown"} key
 * @returns {number} the same where there is none
 */
export function neighbourOffset(plan, counts, offset, key) {
  const across = key === "ArrowLeft" || key === "ArrowRight";
  const sign = key === "ArrowLeft" || key === "ArrowUp" ? -1 : 1;
  const strides = stridesOf(counts);
  // Within a panel first; over its edge into the next panel's first line.
  const inner = across ? plan.column : plan.row;
  const outer = across ? plan.panelColumn : (plan.panelRow ?? plan.panelColumn);
  for (const axis of [inner, outer]) {
    if (axis === null) continue;
    const at = Math.floor(offset / strides[axis]) % counts[axis];
    const next = at + sign;
    if (next >= 0 && next < counts[axis]) {
      const moved = offset + sign * strides[axis];
      if (axis === inner || inner === null) return moved;
      return moved - sign * strides[inner] * (counts[inner] - 1);
    }
  }
  return offset;
}
