/** One kind's map: what it draws, and what a cell of it says. */

import { KINDS } from "../data/selection.js";
import { badnessOf } from "../data/statistics.js";
import { NATURAL, statisticScale } from "../kit/colour.js";
import { formatCount, formatShare, formatValue } from "../kit/format.js";
import { largestBeyond, overflowOf, pastOf, scaleRange } from "../kit/scale_range.js";
import { findWorst, firstTrouble, worstOf } from "./aggregate.js";

/** @typedef {import("./rows.js").Row} Row */
/** @typedef {import("./aggregate.js").Series} Series */
/** @typedef {import("../kit/colour.js").ColourScale} ColourScale */

/** Who asks for a scale of each row's own wants to see small changes. */
const LEAST_FACTOR_OF_ROW = 1.1;

/**
 * What one kind's map draws.
 * @typedef {object} MapLayer
 * @property {import("../data/types.js").Kind} kind
 * @property {import("../data/statistics.js").Statistic} statistic
 * @property {import("../data/statistics.js").Badness} badness
 * @property {ColourScale} scale of all rows together
 * @property {boolean} rowScales whether each row has a scale of its own
 * @property {(row: Row) => ColourScale} scaleOf the scale of a row's colours
 * @property {(value: number) => string} format
 * @property {(tensor: number) => Float32Array | undefined} columnOf what is drawn of a tensor, by step; none where it has no such
 * @property {(row: Row) => Series | null} seriesOf null where the row has no tensor of the kind
 * @property {boolean} ready whether its statistics are here
 * @property {string | undefined} problem
 * @property {boolean} unknown whether there is no value at all, as of a statistic that an older log lacks
 * @property {boolean} anyTrouble
 * @property {Beyond | null} [beyond] what has the overflow's colour
 * @property {MapLayer} [level] the statistic itself, where the change of it is drawn
 * @property {{what: string, statistic: import("../data/statistics.js").Statistic}} [shows] what is drawn of which statistic,
 *   where that is not the statistic itself
 * @property {string} [inTable] what a table calls the numbers, where not as the screen does
 * @property {(tensor: number, step: number) => string} [words] what is said of a value; empty: as usual
 * @property {(row: import("./rows.js").Row, first: number, last: number) => CellWords | null} [describe] what a cell says
 *   where it is not the statistic itself that is drawn
 */

/** The value of the largest magnitude, and how many other tensors overflow. @typedef {{tensor: number, value: number, others: number}} Beyond */
/** @typedef {{tensor: number, step: number, lines: string[], bad: boolean}} CellWords */

/**
 * @param {object} what
 * @param {import("../data/run.js").Run["columns"]} what.columns
 * @param {import("../data/types.js").Kind} what.kind
 * @param {import("../data/statistics.js").Statistic} what.statistic
 * @param {import("../kit/colour.js").MapTransform | ""} what.transform empty for the statistic's own
 * @param {boolean} what.rowScales
 * @param {number} [what.healthy] how many steps the scale is of; all if not given
 * @param {(tensor: number) => boolean} [what.counts] whether the scale is of a tensor; of all if not given
 * @param {string} [what.problem]
 * @returns {MapLayer}
 */
export function makeMapLayer({
  columns: all,
  kind,
  statistic,
  transform,
  rowScales,
  healthy = Infinity,
  counts = () => true,
  problem,
}) {
  const columns = all.get(kind);
  const ready = Boolean(columns?.has(statistic.name) && columns.has("non_finite"));
  const badness = badnessOf(statistic);
  const how = transform || NATURAL[statistic.scale];
  /** @param {Float32Array[]} values @param {number} [least] */
  const scaleFor = (values, least) => {
    const range = scaleRange(
      pastOf(values, healthy),
      statistic.scale,
      how,
      statistic.target,
      least,
    );
    const over = overflowOf(range, healthy < (columns?.steps ?? 0));
    return { ...statisticScale(statistic.scale, range, how), over };
  };
  /** @type {WeakMap<Row, Series | null>} */
  const known = new WeakMap();
  /** @param {Row} row */
  const seriesOf = (row) => {
    let series = known.get(row);
    if (series === undefined) {
      const own = ready && columns ? columns.of(statistic.name, row.tensors) : [];
      const broken = ready && columns ? columns.of("non_finite", row.tensors) : [];
      series = own.length ? worstOf(own, broken, badness) : null;
      known.set(row, series);
    }
    return series;
  };
  const values = ready && columns ? columns.of(statistic.name, columns.tensors) : [];
  const counted = columns?.tensors.filter(counts) ?? [];
  const isCounted = new Set(counted);
  const scale = scaleFor(
    ready && columns && counted.length ? columns.of(statistic.name, counted) : values,
  );
  // What the scale is not of overflows nothing.
  const scaleOfOthers = { ...scale, over: undefined };
  const overflows = (/** @type {Row} */ { tensors }) =>
    !counted.length || tensors.some((tensor) => isCounted.has(tensor));
  const shares = ready && columns ? columns.of("non_finite", columns.tensors) : [];
  const anyTrouble = shares.some((column) => firstTrouble(column) >= 0);
  // Where no element is finite there is no statistic either, and that is what the map shows.
  const allBroken = anyTrouble && !shares.some((column) => column.some((share) => share < 1));
  return {
    kind,
    statistic,
    badness,
    scale,
    rowScales,
    scaleOf: (row) => {
      const series = rowScales ? seriesOf(row) : null;
      if (series) return scaleFor([series.values], LEAST_FACTOR_OF_ROW);
      return overflows(row) ? scale : scaleOfOthers;
    },
    format: statistic.scale === "share" ? formatShare : formatValue,
    columnOf: (tensor) => (ready ? columns?.of(statistic.name, [tensor])[0] : undefined),
    seriesOf,
    ready,
    problem,
    unknown: ready && !allBroken && values.every((column) => column.every(Number.isNaN)),
    anyTrouble,
    beyond: ready && columns ? beyondOf(columns, statistic.name, counted, scale.over) : null,
  };
}

/**
 * What has the overflow's colour.
 * @param {import("../data/columns.js").Columns} columns
 * @param {string} statistic
 * @param {number[]} tensors
 * @param {number} over
 * @returns {Beyond | null}
 */
function beyondOf(columns, statistic, tensors, over) {
  const found = columns.of(statistic, tensors).flatMap((column, i) => {
    const value = largestBeyond(column, over);
    return value ? [{ tensor: tensors[i], value }] : [];
  });
  if (!found.length) return null;
  const largest = found.reduce((a, b) => (Math.abs(b.value) > Math.abs(a.value) ? b : a));
  return { ...largest, others: found.length - 1 };
}

/**
 * What a map shows: "gradient rms"; a statistic of one kind alone names that kind itself.
 * @param {Pick<MapLayer, "kind" | "statistic">} layer
 */
export function layerLabel({ kind, statistic }) {
  const singular = KINDS.find((known) => known.kind === kind)?.singular;
  return statistic.kinds ? statistic.label : `${singular} ${statistic.label}`;
}

/**
 * What a cell of the map says, in words.
 * @param {object} what
 * @param {import("../data/run.js").Run} what.run
 * @param {MapLayer} what.layer
 * @param {Row} what.row
 * @param {number} what.first index of the first step of the cell
 * @param {number} what.last index of its last step
 * @returns {CellWords | null} null where nothing was logged
 */
export function describeCell({ run, layer, row, first, last }) {
  if (layer.describe) return layer.describe(row, first, last);
  const columns = run.columns.get(layer.kind);
  const { info, history } = run;
  const own = row.tensors.filter((index) => info.tensors[index].kind === layer.kind);
  if (!columns || !layer.ready || !own.length) return null;
  const values = own.map((tensor) => layer.columnOf(tensor) ?? new Float32Array(0));
  const broken = columns.of("non_finite", own);
  const end = Math.min(last, columns.steps - 1);
  const worst = findWorst(values, broken, layer.badness, first, end);
  const tensor = own[worst.tensor];
  const value = values[worst.tensor][worst.step];
  const share = broken[worst.tensor][worst.step];
  const { layer: of, name, kind } = info.tensors[tensor];
  const logged = !Number.isNaN(share);
  const lines = [
    `${info.layers[of].path} · ${kind} ${name}`,
    `step ${formatCount(history.steps[worst.step])}` +
      (end > first ? `, the worst of ${formatCount(end - first + 1)} here` : ""),
    logged
      ? layer.words?.(tensor, worst.step) ||
        `${(layer.level ?? layer).statistic.label} ${Number.isNaN(value) ? "unknown: no finite element" : layer.format(value)}`
      : "not logged at this step",
  ];
  if (own.length > 1) lines.push(`the worst of ${own.length} tensors`);
  if (share > 0) lines.push(`${formatShare(share)} NaN or inf`);
  return { tensor, step: worst.step, lines, bad: share > 0 };
}
