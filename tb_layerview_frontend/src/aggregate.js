/** The map's numbers: many tensors to a row, many steps to a pixel, and nothing that is skipped. */

/** @typedef {import("./statistics.js").Statistic} Statistic */

/**
 * One row of the map, a value for each step.
 * @typedef {object} Series
 * @property {Float32Array} values NaN where nothing is known
 * @property {Float32Array} nonFinite the share of elements that are NaN or infinite, NaN where nothing was logged
 */

/**
 * Whether `a` is worse than `b`, or all that there is: larger, or of larger magnitude where the sign matters.
 * @param {number} a
 * @param {number} b
 * @param {boolean} signed
 */
export function isWorse(a, b, signed) {
  if (Number.isNaN(a)) return false;
  if (Number.isNaN(b)) return true;
  return signed ? Math.abs(a) > Math.abs(b) : a > b;
}

/**
 * Draws several tensors together: at each step the worst of them.
 * @param {Float32Array[]} values of each tensor, by step
 * @param {Float32Array[]} nonFinite of each tensor, by step
 * @param {boolean} signed whether the statistic has a sign
 * @returns {Series}
 */
export function worstOf(values, nonFinite, signed) {
  if (values.length === 1) return { values: values[0], nonFinite: nonFinite[0] };
  const steps = values.length ? values[0].length : 0;
  const worst = new Float32Array(steps).fill(NaN);
  const share = new Float32Array(steps).fill(NaN);
  for (let t = 0; t < values.length; t++) {
    for (let i = 0; i < steps; i++) {
      if (isWorse(values[t][i], worst[i], signed)) worst[i] = values[t][i];
      if (isWorse(nonFinite[t][i], share[i], false)) share[i] = nonFinite[t][i];
    }
  }
  return { values: worst, nonFinite: share };
}

/**
 * Which of several tensors is the worst over some steps: one with non-finite elements before all others.
 * @param {Float32Array[]} values of each tensor, by step
 * @param {Float32Array[]} nonFinite of each tensor, by step
 * @param {boolean} signed
 * @param {number} first index of the first step
 * @param {number} last index of the last step, included
 * @returns {{tensor: number, step: number}} positions in `values` and of the step; the first ones if nothing is known
 */
export function findWorst(values, nonFinite, signed, first, last) {
  let tensor = 0;
  let step = first;
  let value = NaN;
  let share = 0;
  for (let t = 0; t < values.length; t++) {
    for (let i = first; i <= last; i++) {
      const bad = nonFinite[t][i] || 0;
      if (bad > share || (bad === share && isWorse(values[t][i], value, signed))) {
        [tensor, step, value, share] = [t, i, values[t][i], bad];
      }
    }
  }
  return { tensor, step };
}

/**
 * Brings a row to pixel columns: in each the worst of its steps.
 * @param {Series} series
 * @param {{first: Int32Array, last: Int32Array}} columns from `columnSteps`
 * @param {boolean} signed
 * @returns {{values: Float32Array, trouble: Uint8Array}} `trouble` is 1 where any step has a non-finite element
 */
export function toColumns({ values, nonFinite }, { first, last }, signed) {
  const out = new Float32Array(first.length).fill(NaN);
  const trouble = new Uint8Array(first.length);
  for (let column = 0; column < first.length; column++) {
    let worst = NaN;
    for (let i = first[column]; i <= last[column]; i++) {
      if (nonFinite[i] > 0) trouble[column] = 1;
      if (isWorse(values[i], worst, signed)) worst = values[i];
    }
    out[column] = worst;
  }
  return { values: out, trouble };
}

/**
 * Runs of troubled columns, widened to at least `least` columns so that one bad step can be seen.
 * @param {Uint8Array} trouble
 * @param {number} least
 * @returns {[number, number][]} from, to (excluded), not overlapping, ascending
 */
export function troubleRuns(trouble, least) {
  /** @type {[number, number][]} */
  const runs = [];
  for (let from = 0; from < trouble.length; from++) {
    if (!trouble[from]) continue;
    let to = from + 1;
    while (to < trouble.length && trouble[to]) to++;
    const missing = Math.max(0, least - (to - from));
    const start = Math.max(0, Math.min(from - Math.floor(missing / 2), trouble.length - least));
    const end = Math.min(trouble.length, Math.max(to, start + least));
    const before = runs.at(-1);
    if (before && before[1] >= start) before[1] = Math.max(before[1], end);
    else runs.push([start, end]);
    from = to;
  }
  return runs;
}

/**
 * The first step at which a row has a non-finite element; -1 for none.
 * @param {Float32Array} nonFinite
 */
export function firstTrouble(nonFinite) {
  return nonFinite.findIndex((share) => share > 0);
}

/**
 * The range that a colour scale must cover, from a sample of the values: a statistic of a thousand tensors at ten thousand
 * steps is sampled, evenly, its largest value is exact.
 * @param {Float32Array[]} columns
 * @param {Statistic["scale"]} scale
 * @returns {[number, number]} lowest and highest value
 */
export function scaleRange(columns, scale) {
  if (scale === "share") return [0, 1];
  let highest = 0;
  let total = 0;
  for (const column of columns) {
    total += column.length;
    for (const value of column) {
      const magnitude = Math.abs(value);
      if (magnitude > highest && magnitude !== Infinity) highest = magnitude;
    }
  }
  const every = Math.max(1, Math.floor(total / 50_000));
  const sample = [];
  let at = 0;
  for (const column of columns) {
    for (; at < column.length; at += every) {
      const magnitude = Math.abs(column[at]);
      if (magnitude > 0 && magnitude !== Infinity) sample.push(magnitude);
    }
    at -= column.length;
  }
  sample.sort((a, b) => a - b);
  if (!sample.length || highest === 0) return scale === "signed" ? [-1, 1] : [0.1, 1];
  if (scale === "signed") {
    const high = sample[Math.floor(0.99 * (sample.length - 1))];
    return [-high, high];
  }
  const high = sample[Math.floor(0.998 * (sample.length - 1))];
  const low = sample[Math.floor(0.002 * (sample.length - 1))];
  // Less than a factor of four would blow noise up to the whole ramp, more than 10⁸ would leave no colours between.
  return [Math.min(Math.max(low, high * 1e-8), high / 4), high];
}
