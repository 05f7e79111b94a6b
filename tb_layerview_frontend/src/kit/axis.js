/** The step axis that the map, the loss strip and the distribution share. */

/**
 * How steps lie along the axis: by step number, by its logarithm, or evenly, one width for each logged step.
 * @typedef {"linear" | "log" | "even"} Spacing
 */

/** @type {Record<Spacing, string>} */
export const SPACINGS = {
  linear: "by step",
  log: "log steps",
  even: "evenly",
};

/**
 * Logged steps on an axis from 0 to 1. Each step owns the stretch to half way to its neighbours.
 * @typedef {object} StepAxis
 * @property {Float64Array} positions of the steps
 * @property {Float64Array} edges one more than steps: step i owns edges[i] to edges[i + 1]
 * @property {ArrayLike<number>} steps
 * @property {Spacing} spacing
 */

/**
 * @param {ArrayLike<number>} steps ascending
 * @param {Spacing} spacing
 * @returns {StepAxis}
 */
export function makeStepAxis(steps, spacing) {
  const count = steps.length;
  const raw = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    raw[i] = spacing === "even" ? i : placeOfStep(steps[i], spacing === "log");
  }
  const edges = new Float64Array(count + 1);
  for (let i = 1; i < count; i++) edges[i] = (raw[i - 1] + raw[i]) / 2;
  if (count === 1) {
    edges[0] = raw[0] - 0.5;
    edges[1] = raw[0] + 0.5;
  } else if (count > 1) {
    edges[0] = raw[0] - (raw[1] - raw[0]) / 2;
    edges[count] = raw[count - 1] + (raw[count - 1] - raw[count - 2]) / 2;
  }
  const from = edges[0];
  const span = edges[count] - from || 1;
  return {
    positions: raw.map((value) => (value - from) / span),
    edges: edges.map((value) => (value - from) / span),
    steps,
    spacing,
  };
}

/**
 * Where a step lies. Step 0 has no logarithm; log(step + 1) keeps it on the axis.
 * @param {number} step
 * @param {boolean} logarithmic
 */
export function placeOfStep(step, logarithmic) {
  return logarithmic ? Math.log2(Math.max(0, step) + 1) : step;
}

/**
 * The step that lies at a place.
 * @param {number} place
 * @param {boolean} logarithmic
 */
export function stepAtPlace(place, logarithmic) {
  return Math.round(logarithmic ? 2 ** place - 1 : place);
}

/**
 * Where any step lies on the axis, be it one of the axis' own or between two of them; the nearest end beyond them.
 * @param {StepAxis} axis
 * @param {number} step
 */
export function positionOfStep({ positions, steps, spacing }, step) {
  const last = steps.length - 1;
  if (last < 0) return 0;
  if (step <= steps[0]) return positions[0];
  if (step >= steps[last]) return positions[last];
  let index = 0;
  while (steps[index + 1] <= step) index++;
  const scale = (/** @type {number} */ at) => placeOfStep(at, spacing === "log");
  const [from, to] = [scale(steps[index]), scale(steps[index + 1])];
  const within = (scale(step) - from) / (to - from);
  return positions[index] + within * (positions[index + 1] - positions[index]);
}

/**
 * The index of the step that owns a position; the nearest one beyond the ends.
 * @param {StepAxis} axis
 * @param {number} position
 */
export function indexAt({ edges }, position) {
  let low = 0;
  let high = edges.length - 2;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (edges[middle] <= position) low = middle;
    else high = middle - 1;
  }
  return Math.max(0, low);
}

/**
 * The index of the logged step that is nearest to a number, the earlier of two that are equally near; -1 if none is logged.
 * @param {ArrayLike<number>} steps ascending
 * @param {number} step
 */
export function nearestIndex(steps, step) {
  let low = 0;
  let high = steps.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (steps[middle] <= step) low = middle;
    else high = middle - 1;
  }
  if (low + 1 < steps.length && steps[low + 1] - step < Math.abs(step - steps[low])) return low + 1;
  return steps.length ? low : -1;
}

/**
 * Where any step lies on the axis, logged or not: between its neighbours, and within the ends.
 * @param {StepAxis} axis
 * @param {number} step
 */
export function positionOf({ steps, positions }, step) {
  const last = steps.length - 1;
  if (last < 0) return 0;
  const near = nearestIndex(steps, step);
  const before = steps[near] > step ? near - 1 : near;
  if (before < 0) return positions[0];
  if (before >= last) return positions[last];
  const share = (step - steps[before]) / (steps[before + 1] - steps[before]);
  return positions[before] + share * (positions[before + 1] - positions[before]);
}

/**
 * Which steps each of `columns` pixel columns shows. Every step is in at least one column, whatever the widths: that is what
 * keeps one bad step of ten thousand on the screen.
 * @param {StepAxis} axis
 * @param {number} columns
 * @returns {{first: Int32Array, last: Int32Array}} indices, last included
 */
export function columnSteps({ edges }, columns) {
  const count = edges.length - 1;
  const first = new Int32Array(columns);
  const last = new Int32Array(columns).fill(-1);
  if (count < 1) return { first, last };
  let index = 0;
  for (let column = 0; column < columns; column++) {
    const from = column / columns;
    const to = (column + 1) / columns;
    while (index < count - 1 && edges[index + 1] <= from) index++;
    first[column] = index;
    let end = index;
    while (end < count - 1 && edges[end + 1] < to) end++;
    last[column] = end;
  }
  return { first, last };
}

/**
 * Round step numbers to label, as many as fit.
 * @param {StepAxis} axis
 * @param {number} most how many labels fit
 * @returns {{step: number, position: number}[]}
 */
export function stepTicks({ steps, positions, spacing }, most) {
  const count = steps.length;
  if (!count || most < 1) return [];
  const first = steps[0];
  const last = steps[count - 1];
  if (count === 1) return [{ step: first, position: positions[0] }];
  if (spacing === "even") {
    const every = Math.max(1, Math.ceil(count / most));
    const ticks = [];
    for (let i = 0; i < count; i += every) ticks.push({ step: steps[i], position: positions[i] });
    return ticks;
  }
  /** @type {number[]} */
  let wanted = [];
  if (spacing === "log") {
    for (let power = 1; power <= last; power *= 10) {
      if (power >= first) wanted.push(power);
    }
    if (wanted.length * 3 <= most) {
      wanted = wanted.flatMap((power) => [power, 2 * power, 5 * power]).filter((s) => s <= last);
    }
    if (first === 0) wanted.unshift(0);
  } else {
    const every = niceInterval((last - first) / most);
    for (let step = Math.ceil(first / every) * every; step <= last; step += every)
      wanted.push(step);
  }
  const scale = (/** @type {number} */ at) => placeOfStep(at, spacing === "log");
  const from = scale(first);
  const span = scale(last) - from || 1;
  return wanted.map((step) => ({
    step,
    position: positions[0] + ((scale(step) - from) / span) * (positions[count - 1] - positions[0]),
  }));
}

/**
 * The smallest of 1, 2, 5 × 10ⁿ that is at least `interval`; steps are whole, so never below 1.
 * @param {number} interval
 */
function niceInterval(interval) {
  const power = 10 ** Math.floor(Math.log10(Math.max(interval, 1)));
  for (const factor of [1, 2, 5]) {
    if (factor * power >= interval) return factor * power;
  }
  return 10 * power;
}
