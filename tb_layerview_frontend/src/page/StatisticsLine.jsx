import { formatCount, formatExact, formatShare, formatValue } from "../kit/format.js";

/**
 * The statistics of the whole tensor that one looks at first; all of them stand in the panel of numbers.
 * @param {{record: import("../data/types.js").TensorRecord | null}} props
 */
export function StatisticsLine({ record }) {
  const value = (/** @type {"rms" | "mean" | "std" | "min" | "max"} */ name) => ({
    text: record ? formatValue(record[name]) : "",
    exact: record ? formatExact(record[name]) : "",
  });
  const share = (/** @type {"zero"} */ name) => ({
    text: record ? (record.size ? formatShare(record[name] / record.size) : "–") : "",
    exact: record ? `${formatCount(record[name])} of ${formatCount(record.size)}` : "",
  });
  const count = (/** @type {number} */ number) => ({
    text: record ? formatCount(number) : "",
    exact: "",
    bad: number > 0,
  });
  /** @type {[string, {text: string, exact: string, bad?: boolean}, string][]} */
  const cells = [
    ["rms", value("rms"), "Root mean square of the finite elements"],
    ["mean", value("mean"), "Mean of the finite elements"],
    ["std", value("std"), "Standard deviation of the finite elements"],
    ["min", value("min"), "Smallest finite element"],
    ["max", value("max"), "Largest finite element"],
    ["zero", share("zero"), "Share of elements that are exactly 0"],
    ["NaN", count(record?.nan ?? 0), "Elements that are NaN"],
    [
      "± inf",
      count((record?.pos_inf ?? 0) + (record?.neg_inf ?? 0)),
      record
        ? `${formatCount(record.pos_inf)} +inf, ${formatCount(record.neg_inf)} −inf`
        : "Infinite elements",
    ],
  ];
  // Infinities are said where there are any: a line has no room for what is not there.
  const shown = cells.filter(([label, { bad }]) => label !== "± inf" || bad);
  return (
    <dl
      class="lv-statistics"
      data-testid="statistics"
      aria-label="Statistics of the whole tensor at this step"
    >
      {shown.map(([label, { text, exact, bad }, meaning]) => (
        <div key={label} title={exact ? `${meaning}: ${exact}` : meaning} data-statistic={label}>
          <dt>{label}</dt>
          <dd>
            <b class={bad ? "lv-bad" : ""}>{text}</b>
          </dd>
        </div>
      ))}
    </dl>
  );
}
