/** Which steps keep a tensor's values. The server says of a step which one's values stand for it: the last before it. */

import { RequestError } from "./requests.js";
import { fetchTensor } from "./routes.js";

/** @typedef {import("./payload.js").Values} Values */
/** @typedef {import("./tensor_tasks.js").OfTensor} OfTensor */

/**
 * The step whose values stand for a logged step, by the step's index; null where the tensor was not logged, or keeps none.
 * @typedef {(index: number) => Promise<number | null>} ValuesAt
 */

/** A tensor that so many steps in a row say nothing of is no longer logged. */
const MOST_SILENT = 32;

/**
 * Looks further where a step has nothing to say.
 * @param {number[]} steps
 * @param {ValuesAt} valuesAt
 * @returns {ValuesAt}
 */
const orNext = (steps, valuesAt) => async (index) => {
  for (let at = index; at < Math.min(steps.length, index + MOST_SILENT); at++) {
    const found = await valuesAt(at);
    if (found !== null) return found;
  }
  return null;
};

/**
 * The next step that keeps values: asked for step by step where it is near, and in ever longer strides where it is not.
 * @param {number[]} steps that are logged, ascending
 * @param {number} from index of a step
 * @param {ValuesAt} valuesAt
 * @returns {Promise<number | null>} its index; null where there is none
 */
export async function nextKept(steps, from, valuesAt) {
  const at = orNext(steps, valuesAt);
  const own = await at(from);
  if (own === null) return null;
  // Before the first one that keeps values that one's are shown.
  if (own > steps[from]) return steps.indexOf(own);
  const last = steps.length - 1;
  let before = from;
  for (let stride = 1; before < last; stride *= 2) {
    let after = Math.min(last, before + stride);
    let first = await at(after);
    if (first !== null && first <= own) {
      before = after;
      continue;
    }
    // Between the two, as few questions as there are halves.
    while (after - before > 1) {
      const middle = (before + after) >> 1;
      const found = await at(middle);
      if (found !== null && found <= own) before = middle;
      else [after, first] = [middle, found ?? first];
    }
    return first === null ? null : steps.indexOf(first);
  }
  return null;
}

/**
 * All steps that keep values.
 * @param {number[]} steps that are logged, ascending
 * @param {ValuesAt} valuesAt
 * @param {AbortSignal} signal
 * @returns {Promise<number[]>} ascending
 */
export async function keptSteps(steps, valuesAt, signal) {
  /** @type {Map<number, Promise<number | null>>} */
  const known = new Map();
  /** @type {ValuesAt} */
  const remembered = (index) => {
    const asked = known.get(index) ?? valuesAt(index);
    known.set(index, asked);
    return asked;
  };
  const first = await orNext(steps, remembered)(0);
  if (first === null) return [];
  const kept = [first];
  let at = /** @type {number | null} */ (steps.indexOf(first));
  while (at !== null) {
    signal.throwIfAborted();
    at = await nextKept(steps, at, remembered);
    if (at !== null) kept.push(steps[at]);
  }
  return kept;
}

/**
 * A tensor at any logged step, with its values and no more.
 * @param {OfTensor} of
 * @param {number} step
 * @param {(of: OfTensor, step: number) => Promise<Values>} valuesOf what is kept at a step that keeps values
 * @param {AbortSignal} end of all requests
 * @returns {Promise<{values: Values | null, step: number | null, record: import("./types.js").TensorRecord}>} the step of
 *   the values
 */
export async function valuesStandingFor(of, step, valuesOf, end) {
  const record = await fetchTensor(of.name, of.tensor, step, end);
  const kept = record.values_step;
  return { values: kept === null ? null : await valuesOf(of, kept), step: kept, record };
}

/**
 * Which steps keep a tensor's values, and these.
 * @param {OfTensor} of
 * @param {number[]} steps that are logged
 * @param {(of: OfTensor, step: number) => Promise<Values>} valuesOf what is kept at one of those steps
 * @param {AbortSignal} end of all requests
 */
export function keptValues(of, steps, valuesOf, end) {
  /** @type {ValuesAt} */
  const stepOfValues = async (index) => {
    try {
      return (await fetchTensor(of.name, of.tensor, steps[index], end)).values_step;
    } catch (error) {
      if (error instanceof RequestError && error.status === 404) return null;
      throw error;
    }
  };
  return {
    /** @param {AbortSignal} signal */
    all: (signal) => keptSteps(steps, stepOfValues, signal),
    /** @param {number} index of a step */
    after: (index) => nextKept(steps, index, stepOfValues),
    /** @param {number} step one of those */
    valuesAt: (step) => valuesOf(of, step),
  };
}
