/** Axes of values: linear, logarithmic, and logarithmic on both sides of 0. */

/**
 * How values lie on an axis: evenly; by their logarithm, which only what is above 0 has; or by asinh(value / unit), which
 * is linear near 0 and logarithmic on both sides of it.
 * @typedef {"linear" | "log" | "symlog"} ValueSpacing
 */

/**
 * @typedef {object} ValueAxis
 * @property {ValueSpacing} spacing
 * @property {number} low
 * @property {number} high
 * @property {number} unit where a `symlog` axis turns from linear to logarithmic; 1 for the others
 */

/** @type {Record<ValueSpacing, string>} */
export const VALUE_SPACINGS = {
  linear: "linear values",
  log: "log values",
  symlog: "± log values",
};

/** From which factor between the largest and the smallest on an axis is logarithmic unless somebody asks otherwise. */
const WIDE = 20;

/**
 * Whether values from `low` to `high` span so much that a logarithmic axis shows more of them.
 * @param {number} low
 * @param {number} high
 */
export function isWide(low, high) {
  return low > 0 && high > WIDE * low;
}

/** A logarithmic axis ends this far below its upper end: beyond lies float32's dust. */
const MOST_DECADES = 12;

/**
 * @param {ValueAxis} axis
 * @param {number} value
 */
function bend({ spacing, unit }, value) {
  if (spacing === "linear") return value;
  if (spacing === "symlog") return Math.asinh(value / unit);
  return value > 0 ? Math.log(value) : -Infinity;
}

/**
 * A value's position on the axis, 0 at `low` and 1 at `high`; -Infinity for what a logarithmic axis cannot show.
 * @param {ValueAxis} axis
 * @param {number} value
 */
export function valueToPosition(axis, value) {
  const from = bend(axis, axis.low);
  return (bend(axis, value) - from) / (bend(axis, axis.high) - from);
}

/**
 * The value at a position on the axis.
 * @param {ValueAxis} axis
 * @param {number} position
 */
export function positionToValue(axis, position) {
  const from = bend(axis, axis.low);
  const bent = from + position * (bend(axis, axis.high) - from);
  if (axis.spacing === "linear") return bent;
  return axis.spacing === "symlog" ? axis.unit * Math.sinh(bent) : Math.exp(bent);
}

/**
 * A value axis for a range: never of width 0; on a linear one 0 is at the edge where all is on one side and near it.
 * @param {[number, number]} range of a logarithmic axis above 0
 * @param {ValueSpacing} spacing
 * @param {number} typical the magnitude of the middle half of the values: a `symlog` axis is linear well below it
 * @returns {ValueAxis}
 */
export function makeValueAxis([low, high], spacing, typical = 0) {
  if (spacing === "log") {
    if (!(high > low)) [low, high] = [low / 2, low * 2];
    return { spacing, low: Math.max(low, high * 10 ** -MOST_DECADES), high, unit: 1 };
  }
  if (low > 0 && low < 0.3 * high) low = 0;
  if (high < 0 && high > 0.3 * low) high = 0;
  if (!(high > low)) {
    const margin = Math.abs(low) * 0.05 || 1;
    low -= margin;
    high += margin;
  }
  const largest = Math.max(Math.abs(low), Math.abs(high));
  if (spacing === "linear") return { spacing, low, high, unit: 1 };
  const unit = Math.min(0.05 * typical, 0.1 * largest) || largest * 1e-4;
  return { spacing, low, high, unit: Math.max(unit, largest * 10 ** -MOST_DECADES) };
}

/**
 * Values to label: round ones on a linear axis, powers of ten (and 2 and 5 times them) on a logarithmic one.
 * @param {ValueAxis} axis
 * @param {number} most how many labels fit
 * @returns {number[]}
 */
export function valueTicks(axis, most) {
  const { spacing, low, high, unit } = axis;
  if (spacing === "linear") return linearTicks(low, high, most);
  /** @type {number[]} */
  let wanted = [];
  const top = Math.floor(Math.log10(Math.max(Math.abs(low), Math.abs(high))));
  if (spacing === "symlog") {
    wanted.push(0);
    for (let power = top; 10 ** power > 3 * unit; power--) {
      wanted.push(Number(`1e${power}`), -Number(`1e${power}`));
    }
  } else {
    const bottom = Math.floor(Math.log10(low));
    const every = Math.max(1, Math.ceil((top - bottom) / most));
    for (let power = top; power >= bottom; power -= every) wanted.push(Number(`1e${power}`));
    // Within a decade or two the powers alone are too few.
    if (top - bottom <= 2) wanted.push(...finerTicks(bottom, top));
  }
  const apart = 1 / most;
  /** @type {number[]} */
  const kept = [];
  for (const value of wanted) {
    if (value < low || value > high) continue;
    const at = valueToPosition(axis, value);
    if (kept.every((known) => Math.abs(valueToPosition(axis, known) - at) > apart))
      kept.push(value);
  }
  return kept.length ? kept : [low, high];
}

/**
 * @param {number} bottom a power of ten
 * @param {number} top
 */
function finerTicks(bottom, top) {
  const finer = [];
  for (let power = bottom; power <= top; power++) {
    for (const factor of [5, 2, 3, 7]) finer.push(Number(`${factor}e${power}`));
  }
  return finer;
}

/**
 * Round numbers from `low` to `high`.
 * @param {number} low
 * @param {number} high
 * @param {number} most
 */
export function linearTicks(low, high, most) {
  const raw = (high - low) / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(raw));
  const interval = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= raw) ?? raw;
  const ticks = [];
  for (let i = Math.ceil(low / interval - 1e-9); i * interval <= high + 1e-9 * interval; i++) {
    ticks.push(i === 0 ? 0 : Number((i * interval).toPrecision(6)));
  }
  return ticks;
}
