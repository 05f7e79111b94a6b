/** The ranks of one training: which runs they are, and how far each is from the others. */

import { formatShare, formatValue } from "../kit/format.js";
import { measureOf, RATIO_THRESHOLD } from "../map/difference.js";

/** @typedef {import("../data/statistics.js").Statistic} Statistic */

/**
 * Which rank a run is, and of which training, by its name.
 * @param {string} run
 * @returns {{training: string, rank: number} | null}
 */
export function rankOf(run) {
  const found = /^(?:(.*)\/)?rank-(0|[1-9][0-9]{0,8})$/s.exec(run);
  return found && { training: found[1] ?? ".", rank: Number(found[2]) };
}

/**
 * The ranks of the training that a run is one of, in their order.
 * @template {{run: string}} T
 * @param {T[]} runs
 * @param {string} name
 * @returns {(T & {rank: number})[]} none where it is no rank
 */
export function ranksBeside(runs, name) {
  const training = rankOf(name)?.training;
  if (training === undefined) return [];
  return runs
    .flatMap((run) => {
      const own = rankOf(run.run);
      return own?.training === training ? [{ ...run, rank: own.rank }] : [];
    })
    .sort((a, b) => a.rank - b.rank);
}

/**
 * Runs as they are listed: the ranks of a training of several together, where the first of them stands.
 * @template {{run: string}} T
 * @param {T[]} runs
 * @returns {{training: string | null, runs: T[]}[]} `training` is null for a run of its own
 */
export function groupRuns(runs) {
  /** @type {Set<string>} */
  const done = new Set();
  /** @type {{training: string | null, runs: T[]}[]} */
  const groups = [];
  for (const run of runs) {
    const ranks = ranksBeside(runs, run.run);
    const training = ranks.length > 1 ? (rankOf(run.run)?.training ?? null) : null;
    if (training === null) groups.push({ training, runs: [run] });
    else if (!done.has(training)) groups.push({ training, runs: ranks });
    if (training !== null) done.add(training);
  }
  return groups;
}

/**
 * How far each rank is from the median one, of two from the other one: log2 of the ratio for sizes, the difference for what
 * has a sign or is a share. The median of an even number lies half way between the middle two, on the same scale.
 * @param {Statistic["scale"]} scale
 * @param {ArrayLike<number>} values by rank
 * @returns {Float32Array} NaN where nothing is known; infinite where only one of a ratio's two sides is 0
 */
export function departures(scale, values) {
  const isRatio = measureOf(scale) === "ratio";
  const placed = Float64Array.from(values, (value) => (isRatio ? Math.log2(value) : value));
  if (placed.length === 2)
    return Float32Array.from([from(placed[0], placed[1]), from(placed[1], placed[0])]);
  const known = [...placed].filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
  const middle = (known.length - 1) / 2;
  const [low, high] = [known[Math.floor(middle)], known[Math.ceil(middle)]];
  const median = low === high ? low : (low + high) / 2;
  return Float32Array.from(placed, (value) => from(value, median));
}

/**
 * @param {number} value
 * @param {number} other
 */
const from = (value, other) => (value === other ? 0 : value - other);

/**
 * What makes a rank other than the others.
 * @typedef {object} Outlier
 * @property {number} place of the rank among the ranks
 * @property {number} tensor the first one, in the model's order, of those that say it
 * @property {number} departure see `departures`; NaN where it alone has NaN or inf
 */

/**
 * The rank that is furthest from the others: one that alone holds NaN or inf, else by the largest departure.
 * @param {number[]} tensors in the model's order
 * @param {Map<number, {departure: Float32Array, nonFinite: Float32Array}>} of by tensor
 * @returns {Outlier | null} null where nothing is known
 */
export function furthestRank(tensors, of) {
  for (const tensor of tensors) {
    const { nonFinite = new Float32Array() } = of.get(tensor) ?? {};
    const broken = [...nonFinite.keys()].filter((place) => nonFinite[place] > 0);
    if (broken.length === 1 && nonFinite.length > 1) {
      return { place: broken[0], tensor, departure: NaN };
    }
  }
  let [place, most] = [-1, -1];
  for (const { departure } of of.values()) {
    departure.forEach((value, rank) => {
      // Of two that are as far, the one above.
      const isFurther = Math.abs(value) > most || (value === most && departure[place] < 0);
      if (isFurther) [place, most] = [rank, Math.abs(value)];
    });
  }
  if (place < 0) return null;
  // Later layers may carry on what an earlier one began, and amplify it.
  const tensor = tensors.find((one) => {
    const value = Math.abs(of.get(one)?.departure[place] ?? NaN);
    return value >= most / 2 && value > 0;
  });
  const found = tensor ?? tensors[0];
  return { place, tensor: found, departure: of.get(found)?.departure[place] ?? 0 };
}

/**
 * How far a rank is from the median one, in words: "12 times the median rank’s".
 * @param {Statistic["scale"]} scale
 * @param {number} departure
 * @param {number} ranks how many there are
 */
export function departureInWords(scale, departure, ranks) {
  const theirs = ranks === 2 ? "the other rank’s" : "the median rank’s";
  const size = Math.abs(departure);
  if (Number.isNaN(size)) return "nothing to compare";
  if (measureOf(scale) === "difference") {
    if (size === 0) return `as ${theirs}`;
    const amount = scale === "share" ? formatShare(size) : formatValue(size);
    return `${amount} ${departure < 0 ? "below" : "above"} ${theirs}`;
  }
  if (departure === Infinity) return `where ${theirs} is 0`;
  if (departure === -Infinity) return `where ${theirs} is not 0`;
  return size < 1e-6 ? `as ${theirs}` : `${formatValue(2 ** departure)} times ${theirs}`;
}

/**
 * Whether a departure says something: of sizes a factor of 1.19, of what else there is anything at all.
 * @param {Statistic["scale"]} scale
 * @param {number} departure
 */
export function isApart(scale, departure) {
  return Math.abs(departure) > (measureOf(scale) === "ratio" ? RATIO_THRESHOLD : 0);
}
