/** The map's numbers: many tensors to a row, many steps to a pixel, and nothing that is skipped. */

/** @typedef {import("../data/statistics.js").Badness} Badness */

/**
 * One row of the map, a value for each step.
 * @typedef {object} Series
 * @property {Float32Array} values NaN where nothing is known
 * @property {Float32Array} nonFinite the share of elements that are NaN or infinite, NaN where nothing was logged
 */

/**
 * Whether `a` is worse than `b`, or all that there is.
 * @param {number} a
 * @param {number} b
 * @param {Badness} badness
 */
export function isWorse(a, b, badness) {
  if (Number.isNaN(a)) return false;
  if (Number.isNaN(b)) return true;
  return badness(a) > badness(b);
}

/**
 * Draws several tensors together: at each step the worst of them.
 * @param {Float32Array[]} values of each tensor, by step
 * @param {Float32Array[]} nonFinite of each tensor, by step
 * @param {Badness} badness of the statistic
 * @returns {Series}
 */
export function worstOf(values, nonFinite, badness) {
  if (values.length === 1) return { values: values[0], nonFinite: nonFinite[0] };
  const steps = values.length ? values[0].length : 0;
  const worst = new Float32Array(steps).fill(NaN);
  const share = new Float32Array(steps).fill(NaN);
  // How bad the worst so far is: asked once for each of what may be ten million values.
  const badnesses = new Float64Array(steps).fill(-Infinity);
  for (let t = 0; t < values.length; t++) {
    const [own, shares] = [values[t], nonFinite[t]];
    for (let i = 0; i < steps; i++) {
      const bad = badness(own[i]);
      if (bad > badnesses[i]) [worst[i], badnesses[i]] = [own[i], bad];
      if (shares[i] > share[i] || Number.isNaN(share[i])) share[i] = shares[i];
    }
  }
  return { values: worst, nonFinite: share };
}

/**
 * Which of several tensors is the worst over some steps: one with non-finite elements before all others.
 * @param {Float32Array[]} values of each tensor, by step
 * @param {Float32Array[]} nonFinite of each tensor, by step
 * @param {Badness} badness of the statistic
 * @param {number} first index of the first step
 * @param {number} last index of the last step, included
 * @returns {{tensor: number, step: number}} positions in `values` and of the step; the first ones if nothing is known
 */
export function findWorst(values, nonFinite, badness, first, last) {
  let tensor = 0;
  let step = first;
  let value = NaN;
  let share = 0;
  for (let t = 0; t < values.length; t++) {
    for (let i = first; i <= last; i++) {
      const bad = nonFinite[t][i] || 0;
      if (bad > share || (bad === share && isWorse(values[t][i], value, badness))) {
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
 * @param {Badness} badness of the statistic
 * @returns {{values: Float32Array, trouble: Uint8Array}} `trouble` is 1 where any step has a non-finite element
 */
export function toColumns({ values, nonFinite }, { first, last }, badness) {
  const out = new Float32Array(first.length).fill(NaN);
  const trouble = new Uint8Array(first.length);
  for (let column = 0; column < first.length; column++) {
    let worst = NaN;
    for (let i = first[column]; i <= last[column]; i++) {
      if (nonFinite[i] > 0) trouble[column] = 1;
      if (isWorse(values[i], worst, badness)) worst = values[i];
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
  // A loop, not findIndex: of ten million shares all are looked at.
  for (let i = 0; i < nonFinite.length; i++) if (nonFinite[i] > 0) return i;
  return -1;
}
