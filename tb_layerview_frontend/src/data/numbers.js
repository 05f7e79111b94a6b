/** All statistics of a tensor, and what each of them means. */

/** @typedef {import("./types.js").TensorRecord} TensorRecord */

/**
 * @typedef {object} NumberOf
 * @property {string} name
 * @property {string} label
 * @property {string} meaning
 * @property {(record: TensorRecord) => number | undefined} of undefined where it is not known
 * @property {boolean} [share] whether it counts elements of the tensor
 */

/**
 * @param {"size" | "nan" | "pos_inf" | "neg_inf" | "zero" | "negative" | "min" | "max" | "mean" | "std" | "rms"} name
 * @param {string} label
 * @param {string} meaning
 * @param {boolean} [share]
 * @returns {NumberOf}
 */
const own = (name, label, meaning, share) => ({
  name,
  label,
  meaning,
  of: (record) => record[name],
  share,
});

/**
 * @param {string} name
 * @param {string} meaning
 * @returns {NumberOf}
 */
const quantile = (name, meaning) => ({
  name,
  label: name,
  meaning,
  of: (record) => record.quantiles?.[name],
});

/** @type {NumberOf[]} */
export const NUMBERS = [
  own("rms", "rms", "Root mean square: how large they are"),
  own("mean", "mean", "Mean of the finite elements"),
  own("std", "std", "Standard deviation; 0: all are the same"),
  own("min", "min", "The smallest finite one"),
  quantile("p1", "1 % lie below"),
  quantile("p5", "5 % lie below"),
  quantile("p25", "A quarter lies below"),
  quantile("p50", "Median: half lie below"),
  quantile("p75", "A quarter lies above"),
  quantile("p95", "5 % lie above"),
  quantile("p99", "1 % lie above"),
  own("max", "max", "The largest finite one"),
  own("size", "elements", "All there are"),
  own("zero", "zero", "Exactly 0", true),
  own("negative", "negative", "Below 0", true),
  own("nan", "NaN", "No number; in no other statistic", true),
  own("pos_inf", "+inf", "Infinite; in no other statistic", true),
  own("neg_inf", "−inf", "Minus infinity; in no other statistic", true),
];

/**
 * A number with all digits that it has.
 * @param {number} value
 */
export function exactText(value) {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "+inf" : "−inf";
  if (Number.isInteger(value) && Math.abs(value) < 1e15) {
    return value.toLocaleString("en-US").replace("-", "−");
  }
  // More than nine digits of a float32's statistic are none of its own.
  const kept = Number(value.toPrecision(9));
  const text = Math.abs(kept) < 1e-4 ? kept.toExponential() : String(kept);
  return text.replace(/-/g, "−").replace("e+", "e");
}

/**
 * The table as rows of text and numbers, the names of the columns first: for spreadsheets.
 * @param {{name: string, step: number | undefined, record: TensorRecord | null | undefined}[]} columns
 * @returns {(string | number)[][]} empty text where a number is not known
 */
export function numbersText(columns) {
  return [
    ["statistic", ...columns.map(({ step }) => `step ${step ?? ""}`), "what it is"],
    ...NUMBERS.map(({ name, of, meaning }) => [
      name,
      ...columns.map(({ record }) => (record ? (of(record) ?? "") : "")),
      meaning,
    ]),
  ];
}
