/** What a model says of its examples. */

/** `target`: the class that it should have been, where that is known. @typedef {{unit: number, score: number, target?: number}} Prediction */

/**
 * The class of each example, where the output has one score for each class and all of them are kept.
 * @param {import("../data/payload.js").Values} values of the output
 * @param {string[]} names of its axes
 * @returns {(Prediction | null)[]} by index of the example; null where a score is no number, empty where there are no classes
 */
export function predictions({ axes, data }, names) {
  const [examples, classes] = axes;
  if (axes.length !== 2 || names[0] !== "example") return [];
  if (classes.count < classes.size || classes.size < 2) return [];
  /** @type {(Prediction | null)[]} */
  const found = [];
  for (let row = 0; row < examples.count; row++) {
    const scores = data.subarray(row * classes.count, (row + 1) * classes.count);
    let unit = 0;
    scores.forEach((score, at) => {
      if (score > scores[unit]) unit = at;
    });
    found[examples.start + row * examples.step] = scores.every(Number.isFinite)
      ? { unit, score: scores[unit] }
      : null;
  }
  return found;
}

/**
 * The class that each example is of, as its target says: a whole number each, or one of `classes` numbers that is 1.
 * @param {import("../data/types.js").Target[]} targets of the probe
 * @param {string} output the path of the layer whose output is looked at
 * @param {number} classes how many it tells apart
 * @returns {number[] | null} by example; empty where no target is known, null where it is no class
 */
export function classesOf(targets, output, classes) {
  const target = targets.length > 1 ? targets.find(({ name }) => name === output) : targets[0];
  if (!target) return [];
  const { shape, values } = target;
  const each = shape.slice(1).reduce((product, size) => product * size, 1);
  if (each === 1) {
    const found = values.map(Number);
    const isClass = (/** @type {number} */ value) =>
      Number.isInteger(value) && value >= 0 && value < classes;
    return found.every(isClass) ? found : null;
  }
  if (shape.length !== 2 || each !== classes) return null;
  const found = Array.from({ length: shape[0] }, (_, example) => {
    const row = values.slice(example * classes, (example + 1) * classes);
    const at = row.indexOf(1);
    return row.every((value, i) => value === (i === at ? 1 : 0)) ? at : -1;
  });
  return found.includes(-1) ? null : found;
}
