/** The statistics that the map can show. */

/**
 * How a statistic becomes a colour: `size` on a logarithmic ramp, `signed` diverging around 0, `share` from 0 to 1.
 * @typedef {object} Statistic
 * @property {string} name as the server calls it
 * @property {string} label
 * @property {"size" | "signed" | "share"} scale
 * @property {string} meaning a sentence: what it is and what is normal
 */

/** @type {Statistic[]} */
export const STATISTICS = [
  {
    name: "rms",
    label: "rms",
    scale: "size",
    meaning:
      "Root mean square: how large the elements are. Activations of a healthy net stay within a factor of ten or so from layer to layer.",
  },
  {
    name: "mean",
    label: "mean",
    scale: "signed",
    meaning:
      "Mean of the finite elements. Near 0 for weights and gradients, positive after a ReLU.",
  },
  {
    name: "std",
    label: "std",
    scale: "size",
    meaning:
      "Standard deviation of the finite elements. 0 means that all elements are the same: the tensor carries no information.",
  },
  { name: "min", label: "min", scale: "signed", meaning: "The smallest finite element." },
  { name: "max", label: "max", scale: "signed", meaning: "The largest finite element." },
  {
    name: "zero",
    label: "zero share",
    scale: "share",
    meaning:
      "The share of elements that are exactly 0. About a half is normal after a ReLU; close to 1 means that hardly anything passes.",
  },
  {
    name: "negative",
    label: "negative share",
    scale: "share",
    meaning: "The share of elements below 0. About a half is normal for weights and gradients.",
  },
  {
    name: "non_finite",
    label: "NaN, inf share",
    scale: "share",
    meaning: "The share of elements that are NaN or infinite. Anything but 0 is a fault.",
  },
];

/**
 * @param {string} name
 * @returns {Statistic} the first one if there is none of that name
 */
export function statisticNamed(name) {
  return STATISTICS.find((statistic) => statistic.name === name) ?? STATISTICS[0];
}
