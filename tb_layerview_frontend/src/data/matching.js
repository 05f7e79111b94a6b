/** Which tensors and steps of two runs belong together, and what is said of those that have no partner. */

/** @typedef {import("./types.js").RunInfo} RunInfo */
/** @typedef {import("./types.js").Tensor} Tensor */
/** @typedef {import("./types.js").RunSummary} RunSummary */

/**
 * Which tensors of two runs belong together: those of the same layer path, kind, name and call.
 * @typedef {object} Matching
 * @property {Int32Array} partner by tensor of A, the tensor of B; -1 for none
 * @property {number[]} pairs tensors of A that have a partner
 * @property {string[]} onlyA names of the layers of which nothing in A has a partner, or which tensors of them have none
 * @property {string[]} onlyB the same of B
 * @property {string[]} reshaped names of the pairs whose shapes differ
 */

/**
 * What a tensor is called among all of its run.
 * @param {RunInfo} info
 * @param {Tensor} tensor
 */
export function tensorTitle({ layers }, { layer, kind, name, call }) {
  return `${layers[layer].path} · ${kind} ${name}${call > 0 ? `, call ${call}` : ""}`;
}

/**
 * @param {RunInfo} a
 * @param {RunInfo} b
 * @returns {Matching}
 */
export function matchTensors(a, b) {
  const keyOf = (/** @type {RunInfo} */ info, /** @type {Tensor} */ { layer, kind, name, call }) =>
    [info.layers[layer].path, kind, name, call].join("\n");
  const places = new Map(b.tensors.map((tensor, index) => [keyOf(b, tensor), index]));
  const partner = Int32Array.from(a.tensors, (tensor) => places.get(keyOf(a, tensor)) ?? -1);
  const taken = new Set(partner);
  const pairs = a.tensors.flatMap((_, index) => (partner[index] >= 0 ? [index] : []));
  return {
    partner,
    pairs,
    onlyA: lonely(a, (index) => partner[index] < 0),
    onlyB: lonely(b, (index) => !taken.has(index)),
    reshaped: pairs
      .filter((index) => !sameShape(a.tensors[index].shape, b.tensors[partner[index]].shape))
      .map((index) => tensorTitle(a, a.tensors[index])),
  };
}

/**
 * Names what has no partner: a layer as a whole where all of it has none, else its tensors one by one.
 * @param {RunInfo} info
 * @param {(tensor: number) => boolean} isAlone
 * @returns {string[]}
 */
function lonely(info, isAlone) {
  return info.layers.flatMap(({ path }, layer) => {
    const own = info.tensors.flatMap((tensor, index) => (tensor.layer === layer ? [index] : []));
    const alone = own.filter(isAlone);
    if (!alone.length) return [];
    return alone.length === own.length
      ? [path]
      : alone.map((index) => tensorTitle(info, info.tensors[index]));
  });
}

/**
 * Whether two shapes may be the same; a size that varies (-1) may be any.
 * @param {number[]} a
 * @param {number[]} b
 */
export function sameShape(a, b) {
  return (
    a.length === b.length && a.every((size, axis) => size === b[axis] || size < 0 || b[axis] < 0)
  );
}

/**
 * The step of B that is compared with each step of A: the latest up to it. Where B ended before A's previous step there is
 * none: a training that goes on is not compared with one that stands still.
 * @param {ArrayLike<number>} stepsA ascending
 * @param {ArrayLike<number>} stepsB ascending
 * @returns {Int32Array} by step of A, an index among B's steps; -1 for none
 */
export function matchSteps(stepsA, stepsB) {
  const matched = new Int32Array(stepsA.length).fill(-1);
  const last = stepsB.length - 1;
  let at = -1;
  for (let i = 0; i < stepsA.length; i++) {
    while (at < last && stepsB[at + 1] <= stepsA[i]) at++;
    const ended = i > 0 && last >= 0 && stepsB[last] <= stepsA[i - 1] && stepsB[at] < stepsA[i];
    matched[i] = ended ? -1 : at;
  }
  return matched;
}

/**
 * The index of the step of B that is shown beside a step of A: the latest up to it, else B's first one.
 * @param {ArrayLike<number>} stepsB ascending
 * @param {number} step
 * @returns {number} -1 if B has none
 */
export function shownStepIndex(stepsB, step) {
  let index = stepsB.length ? 0 : -1;
  for (let i = 1; i < stepsB.length && stepsB[i] <= step; i++) index = i;
  return index;
}

const EVALUATIONS = ["evaluate", "eval"];

/**
 * Whether two runs are the training and an evaluation of one model: `X` beside `X/evaluate` (Keras) or `X/eval`
 * (Estimator; a named evaluation is `X/eval_name`).
 * @param {string} a
 * @param {string} b
 */
export function isTrainAndEvaluation(a, b) {
  return isEvaluationOf(a, b) || isEvaluationOf(b, a);
}

/**
 * Whether a run is an evaluation of another one, by its folder.
 * @param {string} training
 * @param {string} other
 */
export function isEvaluationOf(training, other) {
  const prefix = training === "." ? "" : `${training}/`;
  if (!other.startsWith(prefix)) return false;
  const rest = other.slice(prefix.length);
  return EVALUATIONS.some((name) => rest === name || rest.startsWith(`${name}_`));
}

/**
 * The runs to compare with, those that belong to a run by their folder first.
 * @param {RunSummary[]} runs
 * @param {string} run
 * @returns {{suggested: string[], others: string[]}}
 */
export function partnersOf(runs, run) {
  const names = runs.map((summary) => summary.run).filter((name) => name !== run);
  return {
    suggested: names.filter((name) => isTrainAndEvaluation(run, name)),
    others: names.filter((name) => !isTrainAndEvaluation(run, name)),
  };
}
