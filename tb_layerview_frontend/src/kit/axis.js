/** The step axis that the map, the loss strip and the distribution share, and what of it was not logged. */

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
 * A stretch of steps of which nothing is logged: those between two logged ones that lie further apart than is usual there.
 * @typedef {object} Hole
 * @property {number} before the logged step before it
 * @property {number} after the logged step after it
 * @property {number} usual how far logged steps lie apart around it
 */

/**
 * Logged steps on an axis from 0 to 1. Each step owns the stretch to half way to its neighbours, but no more than is usual
 * where some are missing, and nothing beyond the run's ends.
 * @typedef {object} StepAxis
 * @property {Float64Array} positions of the steps
 * @property {Float64Array} starts of the stretches that the steps own, ascending
 * @property {Float64Array} ends of them: where nothing is missing, the next one's start
 * @property {{from: number, to: number, hole: Hole}[]} holes what no step owns, ascending; `from` and `to` are one where steps
 *   lie evenly
 * @property {ArrayLike<number>} steps
 * @property {Spacing} spacing
 * @property {(step: number) => number} positionOf where any step lies, logged or not; the nearest end beyond the run's ends
 */

/** How many gaps at each side say which one is usual. */
const NEIGHBOURS = 4;
/** How many times the usual gap is none: an octave's steps lie twice as far apart as those of the octave before. */
const MOST_USUAL = 4;

/**
 * Where steps are missing: where two logged ones lie more than four times as far apart as their neighbours do, at the side
 * where these lie further apart. So a ladder, which grows sparser and stays so, has no hole.
 * @param {ArrayLike<number>} steps ascending
 * @returns {Hole[]} ascending
 */
export function holesIn(steps) {
  const gaps = Array.from(
    { length: Math.max(0, steps.length - 1) },
    (_, i) => steps[i + 1] - steps[i],
  );
  return gaps.flatMap((gap, i) => {
    if (gap <= MOST_USUAL) return [];
    const sides = [
      gaps.slice(Math.max(0, i - NEIGHBOURS), i),
      gaps.slice(i + 1, i + 1 + NEIGHBOURS),
    ];
    // One gap alone may be a hole itself, as where the last two steps of a run lie apart from all others.
    const several = sides.filter((side) => side.length > 1);
    const told = (several.length ? several : sides).filter((side) => side.length);
    if (!told.length) return [];
    const usual = Math.max(...told.map(median));
    return gap > MOST_USUAL * usual ? [{ before: steps[i], after: steps[i + 1], usual }] : [];
  });
}

/** The middle one, the larger of two. @param {number[]} values */
function median(values) {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}

/**
 * Which spacing suits a run: by step, unless more than half of the axis would be hatched, so that what is logged had no room.
 * @param {ArrayLike<number>} steps ascending
 * @returns {Spacing}
 */
export function usualSpacing(steps) {
  const missing = holesIn(steps).reduce((sum, { before, after }) => sum + after - before, 0);
  return missing > (steps[steps.length - 1] - steps[0]) / 2 ? "even" : "linear";
}

/**
 * @param {ArrayLike<number>} steps ascending
 * @param {Spacing} spacing
 * @param {ArrayLike<number>} [run] all steps of the run, where `steps` are some of them: the axis reaches over these
 * @param {Hole[]} [holes] where steps are missing
 * @returns {StepAxis}
 */
export function makeStepAxis(steps, spacing, run = steps, holes = holesIn(steps)) {
  const count = steps.length;
  const raw = (/** @type {number} */ step) => rawPlace(step, spacing, run);
  const places = Float64Array.from(steps, raw);
  const starts = new Float64Array(count);
  const ends = new Float64Array(count);
  /** @type {StepAxis["holes"]} */
  const missing = [];
  let next = 0;
  for (let i = 0; i + 1 < count; i++) {
    while (next < holes.length && holes[next].after <= steps[i]) next++;
    const hole = holes[next];
    const middle = (places[i] + places[i + 1]) / 2;
    ends[i] = starts[i + 1] = middle;
    if (!hole || hole.before < steps[i] || hole.after > steps[i + 1]) continue;
    const half = spacing === "even" ? 0.5 : hole.usual / 2;
    const reach = (/** @type {number} */ step, /** @type {number} */ by) =>
      spacing === "even" ? raw(step) + by : placeOfStep(step + by, spacing === "log");
    ends[i] = Math.max(places[i], reach(hole.before, half));
    starts[i + 1] = Math.min(places[i + 1], reach(hole.after, -half));
    missing.push({ from: ends[i], to: starts[i + 1], hole });
  }
  const [from, to] = endsOf(run, spacing);
  if (count) {
    // What is known of some of the run's steps alone is drawn as wide as its own gaps are.
    const halfGap = (/** @type {number} */ i) =>
      count > 1 ? (places[i + 1] - places[i]) / 2 : 0.5;
    const isAtEnd = steps[count - 1] >= run[run.length - 1];
    starts[0] = steps[0] <= run[0] ? from : Math.max(from, places[0] - halfGap(0));
    ends[count - 1] = isAtEnd ? to : Math.min(to, places[count - 1] + halfGap(count - 2));
  }
  const on = (/** @type {number} */ place) => (place - from) / (to - from || 1);
  const last = run.length - 1;
  return {
    positions: places.map(on),
    starts: starts.map(on),
    ends: ends.map(on),
    holes: missing.map((one) => ({ ...one, from: on(one.from), to: on(one.to) })),
    steps,
    spacing,
    positionOf: (step) => (last < 0 ? 0 : on(raw(Math.min(run[last], Math.max(run[0], step))))),
  };
}

/**
 * Where a run's axis begins and ends: half a step before its first and after its last one, as a step is one wide.
 * @param {ArrayLike<number>} run
 * @param {Spacing} spacing
 * @returns {[number, number]}
 */
function endsOf(run, spacing) {
  const last = run.length - 1;
  if (last < 0) return [0, 1];
  if (spacing === "even") return [-0.5, last + 0.5];
  const logarithmic = spacing === "log";
  const [first, end] = [run[0], run[last]].map((step) => placeOfStep(step, logarithmic));
  // Before step 0 a logarithm would have as much room as the steps after it.
  const before = logarithmic ? Math.min(0.5, Math.log2(run[0] + 1) - Math.log2(run[0] + 0.5)) : 0.5;
  const after = logarithmic ? Math.log2(run[last] + 1.5) - end : 0.5;
  return [first - before, end + after];
}

/**
 * Where a step lies before the axis is brought to 0 to 1: evenly spaced ones between those of the run.
 * @param {number} step
 * @param {Spacing} spacing
 * @param {ArrayLike<number>} run
 */
function rawPlace(step, spacing, run) {
  if (spacing !== "even") return placeOfStep(step, spacing === "log");
  const near = nearestIndex(run, step);
  const before = run[near] > step ? near - 1 : near;
  const apart = run[before + 1] - run[before];
  return apart > 0 ? before + (step - run[before]) / apart : near;
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
 * The index of the step that owns a position; the nearest one where none does.
 * @param {StepAxis} axis
 * @param {number} position
 */
export function indexAt({ starts, ends }, position) {
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (starts[middle] <= position) low = middle;
    else high = middle - 1;
  }
  const isNextNearer = position > ends[low] && position - ends[low] > starts[low + 1] - position;
  return Math.max(0, isNextNearer ? low + 1 : low);
}

/**
 * What is missing at a position, or near it where that has no width.
 * @param {StepAxis} axis
 * @param {number} position
 * @param {number} slack how near
 * @returns {Hole | null}
 */
export function holeAt({ holes }, position, slack) {
  const found = holes.find(({ from, to }) => {
    const near = to - from > slack ? 0 : slack;
    return position >= from - near && position < to + near;
  });
  return found?.hole ?? null;
}

/**
 * Whether steps are missing between each step and the one after it.
 * @param {Pick<StepAxis, "steps" | "holes">} axis
 * @returns {boolean[]} one a step
 */
export function isBeforeHole({ steps, holes }) {
  const before = holes.map(({ hole }) => hole);
  let next = 0;
  return Array.from(steps, (step, i) => {
    while (next < before.length && before[next].after <= step) next++;
    return (
      next < before.length && before[next].before >= step && before[next].after <= steps[i + 1]
    );
  });
}

/**
 * What the steps own of which something holds, those that touch together.
 * @param {StepAxis} axis
 * @param {(index: number) => boolean} holds
 * @returns {[number, number][]} positions from, to
 */
export function stretches({ starts, ends }, holds) {
  /** @type {[number, number][]} */
  const found = [];
  for (let i = 0; i < starts.length; i++) {
    if (!holds(i)) continue;
    const before = found[found.length - 1];
    if (before && before[1] === starts[i]) before[1] = ends[i];
    else found.push([starts[i], ends[i]]);
  }
  return found;
}

/** Half the width of the line that marks the selected step, CSS pixels; the style sheet has it, too. */
const HALF_CURSOR = 0.75;

/**
 * Where the line of the selected step stands, the same in every panel: at the step, and never cut at an end.
 * @param {StepAxis} axis
 * @param {number | undefined} step
 * @param {number} width CSS pixels
 */
export function cursorAt(axis, step, width) {
  const at = step === undefined ? 0 : axis.positionOf(step) * width;
  return Math.min(width - HALF_CURSOR, Math.max(HALF_CURSOR, at));
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
 * Which steps each of `columns` pixel columns shows. Every step is in at least one column, whatever the widths: that is what
 * keeps one bad step of ten thousand on the screen. Where steps are missing a column shows none.
 * @param {StepAxis} axis
 * @param {number} columns
 * @returns {{first: Int32Array, last: Int32Array}} indices, last included; the last is before the first where there is none
 */
export function columnSteps({ starts, ends }, columns) {
  const count = starts.length;
  const first = new Int32Array(columns);
  const last = new Int32Array(columns).fill(-1);
  if (count < 1) return { first, last };
  let index = 0;
  for (let column = 0; column < columns; column++) {
    const from = column / columns;
    const to = (column + 1) / columns;
    while (index < count - 1 && ends[index] <= from) index++;
    first[column] = index;
    let end = index - 1;
    while (end < count - 1 && starts[end + 1] < to) end++;
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
export function stepTicks({ steps, positions, spacing, holes, positionOf }, most) {
  const count = steps.length;
  if (!count || most < 1) return [];
  const first = steps[0];
  const last = steps[count - 1];
  if (count === 1) return [{ step: first, position: positions[0] }];
  if (spacing === "even") {
    const every = Math.max(1, Math.ceil(count / most));
    const before = isBeforeHole({ steps, holes });
    // Where steps are missing one wants to know which comes then; the labels beside it make room.
    const told = before.flatMap((isBefore, i) => (isBefore ? [i + 1] : [])).slice(0, most);
    const shown = [...before.keys()].filter(
      (i) =>
        told.includes(i) || (i % every === 0 && told.every((one) => Math.abs(one - i) > every / 2)),
    );
    return shown.slice(0, most).map((i) => ({ step: steps[i], position: positions[i] }));
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
  return wanted.map((step) => ({ step, position: positionOf(step) }));
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
