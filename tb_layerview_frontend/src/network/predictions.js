/** What a model says of its examples. */

/** @typedef {{unit: number, score: number}} Prediction */

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
