/** The statistics that the map can show. */

/** @typedef {import("./types.js").Kind} Kind */

/**
 * How a statistic becomes a colour: `size` on a ramp, `signed` diverging around 0, `share` from 0 to 1, `ratio` diverging
 * around its right value.
 * @typedef {"size" | "signed" | "share" | "ratio"} Scale
 */

/**
 * @typedef {object} Statistic
 * @property {string} name as the server calls it
 * @property {string} label
 * @property {string} group under which it is offered
 * @property {Scale} scale
 * @property {number} [target] the right value of a ratio
 * @property {Kind[]} [kinds] those that have it, where not all do
 * @property {string} meaning a sentence or two: what it is and what is normal
 */

/**
 * How bad a value is: the larger, the worse.
 * @typedef {(value: number) => number} Badness
 */

const SIZE = "Size";
const POSITION = "Position";
const SHARES = "Shares";
const NON_FINITE = "NaN and inf";
const QUANTILES = "Quantiles";

/** @type {Statistic[]} */
export const STATISTICS = [
  {
    name: "rms",
    label: "rms",
    group: SIZE,
    scale: "size",
    meaning:
      "Root mean square: how large the elements are. Activations of a healthy net stay within a factor of ten or so from layer to layer.",
  },
  {
    name: "std",
    label: "std",
    group: SIZE,
    scale: "size",
    meaning:
      "Standard deviation of the finite elements. 0 means that all elements are the same: the tensor carries no information.",
  },
  {
    name: "update_ratio",
    label: "update ratio",
    group: SIZE,
    scale: "ratio",
    target: 1e-3,
    kinds: ["update"],
    meaning:
      "How much a step changes a weight: rms of the update over rms of the weight. Around 1/1,000 is normal; far below hardly learns, far above is unstable.",
  },
  {
    name: "mean",
    label: "mean",
    group: POSITION,
    scale: "signed",
    meaning:
      "Mean of the finite elements. Near 0 for weights and gradients, positive after a ReLU.",
  },
  {
    name: "min",
    label: "min",
    group: POSITION,
    scale: "signed",
    meaning:
      "The smallest finite element. 0 after a ReLU; far below p1 means that a few elements run away.",
  },
  {
    name: "max",
    label: "max",
    group: POSITION,
    scale: "signed",
    meaning:
      "The largest finite element. Above 65,504 it overflows in float16; far above p99 means that a few elements run away.",
  },
  {
    name: "zero",
    label: "zero share",
    group: SHARES,
    scale: "share",
    meaning:
      "The share of elements that are exactly 0. About a half is normal after a ReLU; close to 1 means that hardly anything passes.",
  },
  {
    name: "negative",
    label: "negative share",
    group: SHARES,
    scale: "share",
    meaning: "The share of elements below 0. About a half is normal for weights and gradients.",
  },
  {
    name: "silent",
    label: "silent units",
    group: SHARES,
    scale: "share",
    meaning:
      "The share of units whose elements are all 0 at this step. A few are normal after a ReLU; units that stay silent have stopped learning.",
  },
  {
    name: "alike",
    label: "alike units",
    group: SHARES,
    scale: "share",
    meaning:
      "The share of units that do what another unit does. Normal is 0; units that start from the same numbers get the same gradient and stay alike.",
  },
  {
    name: "non_finite",
    label: "NaN, inf share",
    group: NON_FINITE,
    scale: "share",
    meaning: "The share of elements that are NaN or infinite. Anything but 0 is a fault.",
  },
  {
    name: "nan",
    label: "NaN share",
    group: NON_FINITE,
    scale: "share",
    meaning:
      "The share of elements that are NaN, as 0/0, inf − inf and the logarithm of a negative number make them. Normal is 0.",
  },
  {
    name: "pos_inf",
    label: "+inf share",
    group: NON_FINITE,
    scale: "share",
    meaning:
      "The share of elements that are +inf: an overflow or a division by 0, and often a step before the NaN. Normal is 0.",
  },
  {
    name: "neg_inf",
    label: "−inf share",
    group: NON_FINITE,
    scale: "share",
    meaning:
      "The share of elements that are −inf, as the logarithm of 0 is. Normal is 0, but for scores that a mask has set so.",
  },
  ...[1, 5, 25, 50, 75, 95, 99].map((percent) => ({
    name: `p${percent}`,
    label: percent === 50 ? "median (p50)" : `p${percent}`,
    group: QUANTILES,
    scale: /** @type {const} */ ("signed"),
    meaning:
      percent === 50
        ? "Half of the finite elements are below it, read from the histogram. Near 0 for weights and gradients, 0 or a little above after a ReLU."
        : `${percent} % of the finite elements are below it, read from the histogram. Quantiles move slowly; one that runs away while the median stays is an outlier in the making.`,
  })),
];

/** Under which heads the statistics are offered, with those of each. */
export const STATISTIC_GROUPS = [...new Set(STATISTICS.map(({ group }) => group))].map((group) => ({
  group,
  statistics: STATISTICS.filter((statistic) => statistic.group === group),
}));

/**
 * @param {string} name
 * @returns {Statistic} the first one if there is none of that name
 */
export function statisticNamed(name) {
  return STATISTICS.find((statistic) => statistic.name === name) ?? STATISTICS[0];
}

/**
 * The statistic that a kind's map shows: the chosen one, or the first one where the kind does not have that.
 * @param {string} name
 * @param {Kind} kind
 */
export function statisticOf(name, kind) {
  const chosen = statisticNamed(name);
  return !chosen.kinds || chosen.kinds.includes(kind) ? chosen : STATISTICS[0];
}

/**
 * What is worse: larger; of larger magnitude where the sign matters; further from its right value, in factors, for a ratio.
 * @param {Pick<Statistic, "scale" | "target">} statistic
 * @returns {Badness}
 */
export function badnessOf({ scale, target = 1 }) {
  if (scale === "signed") return Math.abs;
  if (scale === "ratio") {
    return (value) => (value > 0 ? Math.abs(Math.log(value / target)) : value === 0 ? 1e3 : NaN);
  }
  return (value) => value;
}

/**
 * "The worst" of a statistic in words.
 * @param {Statistic} statistic
 */
export function worstInWords({ scale, label, target = 1 }) {
  if (scale === "signed") return `the ${label} furthest from 0`;
  if (scale === "ratio") return `the ${label} furthest from ${target}`;
  return `the largest ${label}`;
}
