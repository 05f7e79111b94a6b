/** A map's colours as the change since the start: log2 of a statistic over what it was at the first logged step. */

import { formatCount, formatValue } from "../kit/format.js";
import { pastOf } from "../kit/scale_range.js";
import { worstOf } from "./aggregate.js";
import { differ, DIFFERENCE_TRANSFORM, differenceScale } from "./difference.js";

/** @typedef {import("./layer.js").MapLayer} MapLayer */
/** @typedef {import("../data/statistics.js").Statistic} Statistic */

/** What overflows as a level has the overflow's colour here, too; what became 0 has that of the lower end. No range is of them. */
const [OVER, GONE] = [3e38, -1e3];

/** Colours reach to half and double at least. */
const LEAST_RANGE = 1;

/**
 * Whether a ratio says something of a statistic.
 * @param {Statistic} statistic
 */
export const hasChange = ({ name, scale }) => scale === "size" || name === "max";

/**
 * @param {MapLayer} level
 * @param {object} what
 * @param {import("../data/run.js").Run["columns"]} what.columns
 * @param {number[]} what.steps
 * @param {import("../kit/colour.js").MapTransform | ""} what.transform empty for the usual one
 * @param {number} what.healthy how many steps the scale is of
 * @param {(tensor: number) => boolean} what.counts whether the scale is of a tensor
 * @returns {MapLayer} the level itself where there is no change to show
 */
export function makeChangeLayer(level, { columns: all, steps, transform, healthy, counts }) {
  const columns = all.get(level.kind);
  const { statistic } = level;
  if (!level.ready || !columns || columns.steps < 2 || !hasChange(statistic)) return level;
  const shares = columns.of("non_finite", columns.tensors);
  const base = shares.length ? steps.findIndex((_, i) => shares.some((one) => one[i] >= 0)) : -1;
  if (base < 0) return level;
  /** @type {Map<number, Float32Array>} */
  const changes = new Map();
  const changeOf = (/** @type {number} */ tensor) => {
    let change = changes.get(tensor);
    const own = change ? undefined : level.columnOf(tensor);
    if (own) {
      const first = own[base];
      change = own.map((value) => (first > 0 && value >= 0 ? differ("ratio", first, value) : NaN));
      changes.set(tensor, change);
    }
    return change;
  };
  const { over = Infinity } = level.scale;
  const columnsOf = (/** @type {number[]} */ tensors) =>
    tensors.flatMap((tensor) => {
      const own = level.columnOf(tensor);
      return own
        ? (changeOf(tensor)?.map((change, i) => (own[i] > over ? OVER : Math.max(GONE, change))) ??
            [])
        : [];
    });
  const scaleFor = (/** @type {Float32Array[]} */ values) => ({
    ...differenceScale(
      "ratio",
      pastOf(values, healthy).map((column) => column.filter((change) => Math.abs(change) < -GONE)),
      transform || DIFFERENCE_TRANSFORM,
      LEAST_RANGE,
    ),
    over: OVER / 2,
  });
  const counted = columns.tensors.filter(counts);
  const scale = scaleFor(columnsOf(counted.length ? counted : columns.tensors));
  /** @type {WeakMap<import("./rows.js").Row, import("./aggregate.js").Series | null>} */
  const known = new WeakMap();
  const seriesOf = (/** @type {import("./rows.js").Row} */ row) => {
    let series = known.get(row);
    if (series === undefined) {
      const own = columnsOf(row.tensors);
      series = own.length ? worstOf(own, columns.of("non_finite", row.tensors), Math.abs) : null;
      known.set(row, series);
    }
    return series;
  };
  const since = `since step ${formatCount(steps[base])}`;
  const what = `change ${since}`;
  return {
    ...level,
    level,
    shows: { what, statistic },
    statistic: { ...statistic, label: `${statistic.label}: ${what}`, scale: "signed" },
    inTable: `log2 of ${statistic.label} / that of step ${steps[base]}`,
    badness: Math.abs,
    scale,
    scaleOf: (row) => (level.rowScales ? scaleFor(columnsOf(row.tensors)) : scale),
    format: changeInWords,
    columnOf: changeOf,
    seriesOf,
    words: (tensor, step) => {
      const [value, first] = [step, base].map((i) => level.columnOf(tensor)?.[i] ?? NaN);
      if (Number.isNaN(value)) return "";
      const change = changeOf(tensor)?.[step] ?? NaN;
      const is = `${statistic.label} ${level.format(value)}`;
      return Number.isNaN(change)
        ? `${is}; no ratio to ${Number.isNaN(first) ? "what is unknown" : level.format(first)} at step ${formatCount(steps[base])}`
        : `${is}, ${value > over ? "far beyond" : changeInWords(change)} ${since} (${level.format(first)})`;
    },
  };
}

/**
 * A log2 as the factor that it is of: × 4, × 1/4.
 * @param {number} change
 */
export function changeInWords(change) {
  if (change <= GONE) return "× 0";
  return change > -1 ? `× ${formatValue(2 ** change)}` : `× 1/${formatValue(2 ** -change)}`;
}
