/** The difference of two runs as a map of its own: what it draws, what a cell of it says, and the order of its rows. */

import { tensorTitle } from "../data/matching.js";
import { formatCount, formatShare, formatValue } from "../kit/format.js";
import { firstTrouble } from "./aggregate.js";
import {
  DIFFERENCE_TRANSFORM,
  differenceScale,
  differenceSeries,
  measureOf,
  partingOf,
  rankPartings,
  thresholdOf,
} from "./difference.js";

/** @typedef {import("./aggregate.js").Series} Series */
/** @typedef {import("./difference.js").Parting} Parting */
/** @typedef {import("./layer.js").MapLayer} MapLayer */
/** @typedef {import("../data/run.js").Run} Run */
/** @typedef {import("./rows.js").Row} Row */
/** @typedef {import("../data/statistics.js").Statistic} Statistic */

/**
 * What two runs are to each other, as the map needs it.
 * @typedef {object} Pairing
 * @property {Run} a
 * @property {Run} b
 * @property {Int32Array} partner by tensor of A, the tensor of B; -1 for none
 * @property {Int32Array} matched by step of A, the step of B; -1 for none
 * @property {boolean} [flip] whether b is what is before, and so called A: a step of the same run
 */

/**
 * One tensor of A with its partner.
 * @typedef {{a: Series, b: Series, difference: Series, parting: Parting}} Pair
 */

/**
 * A map layer of differences, and where each of its tensors parts.
 * @typedef {MapLayer & {partings: Map<number, Parting>}} DifferenceLayer
 */

/**
 * @param {Pairing} pairing
 * @param {object} what
 * @param {import("../data/types.js").Kind} what.kind
 * @param {Statistic} what.statistic
 * @param {import("../kit/colour.js").MapTransform | ""} what.transform empty for the usual one
 * @param {boolean} what.rowScales
 * @param {string} [what.problem] why statistics of either run are missing
 * @returns {DifferenceLayer}
 */
export function makeDifferenceLayer(
  { a, b, partner, matched, flip = false },
  { kind, statistic, transform, rowScales, problem },
) {
  const measure = measureOf(statistic.scale);
  /** @param {Run} run */
  const columnsOf = (run) => {
    const columns = run.columns.get(kind);
    return columns?.has(statistic.name) && columns.has("non_finite") ? columns : undefined;
  };
  const [own, others] = [columnsOf(a), columnsOf(b)];
  const none = !b.info.tensors.some((tensor) => tensor.kind === kind);
  /** @type {Map<number, Pair>} by tensor of A */
  const pairs = new Map();
  for (const tensor of (others && own?.tensors) ?? []) {
    const [series, other] = [
      seriesAt(own, statistic, tensor),
      seriesAt(others, statistic, partner[tensor]),
    ];
    if (!series || !other) continue;
    const difference = differenceSeries(measure, series, other, matched, flip);
    const parting = partingOf(difference.values, thresholdOf(statistic.scale, series.values));
    pairs.set(tensor, { a: series, b: other, difference, parting });
  }
  const scaleFor = (/** @type {Pair[]} */ of) =>
    differenceScale(
      measure,
      of.map(({ difference }) => difference.values),
      transform || DIFFERENCE_TRANSFORM,
    );
  const scale = scaleFor([...pairs.values()]);
  /** @type {WeakMap<Row, Series | null>} */
  const known = new WeakMap();
  /** @param {Row} row */
  const pairsOf = (row) =>
    row.tensors.flatMap((tensor) => {
      const pair = pairs.get(tensor);
      return pair ? [{ tensor, pair }] : [];
    });
  const what = measure === "ratio" ? "log2(B / A)" : "B − A";
  return {
    kind,
    shows: { what, statistic },
    statistic: { ...statistic, label: `${what} of ${statistic.label}`, scale: "signed" },
    badness: Math.abs,
    scale,
    rowScales,
    scaleOf: (row) => (rowScales ? scaleFor(pairsOf(row).map(({ pair }) => pair)) : scale),
    format: formatValue,
    ready: none || Boolean(own && others),
    // Where nothing compares the map is empty, and the bar above says why.
    unknown: false,
    problem: none ? `B logs no ${kind} to compare with.` : problem,
    anyTrouble: [...pairs.values()].some(
      ({ difference }) => firstTrouble(difference.nonFinite) >= 0,
    ),
    partings: new Map([...pairs].map(([tensor, { parting }]) => [tensor, parting])),
    columnOf: (tensor) => pairs.get(tensor)?.difference.values,
    seriesOf: (row) => {
      const found = known.get(row);
      if (found !== undefined) return found;
      const drawn = furthest(pairsOf(row).map(({ pair }) => pair.difference));
      known.set(row, drawn);
      return drawn;
    },
    describe: (row, first, last) =>
      describeDifference({ a, b, statistic, measure, matched, flip }, pairsOf(row), first, last),
  };
}

/**
 * @param {import("../data/columns.js").Columns | undefined} columns
 * @param {Statistic} statistic
 * @param {number} tensor -1 for none
 * @returns {Series | null}
 */
function seriesAt(columns, statistic, tensor) {
  const values = columns?.of(statistic.name, [tensor])[0];
  const nonFinite = columns?.of("non_finite", [tensor])[0];
  return values && nonFinite ? { values, nonFinite } : null;
}

/** A ratio to 0 is infinite: it is drawn beyond the colours' end, not as a fault. */
const BEYOND = 3e38;

/**
 * Draws several tensors together: at each step the largest difference.
 * @param {Series[]} all
 * @returns {Series | null}
 */
function furthest(all) {
  if (!all.length) return null;
  const steps = all[0].values.length;
  const values = new Float32Array(steps).fill(NaN);
  const nonFinite = new Float32Array(steps).fill(NaN);
  for (const series of all) {
    for (let i = 0; i < steps; i++) {
      const value = Math.max(-BEYOND, Math.min(BEYOND, series.values[i]));
      if (!(Math.abs(value) <= Math.abs(values[i])) && !Number.isNaN(value)) values[i] = value;
      if (!(series.nonFinite[i] <= nonFinite[i]) && !Number.isNaN(series.nonFinite[i])) {
        nonFinite[i] = series.nonFinite[i];
      }
    }
  }
  return { values, nonFinite };
}

/**
 * @param {object} what
 * @param {Run} what.a
 * @param {Run} what.b
 * @param {Statistic} what.statistic
 * @param {import("./difference.js").Measure} what.measure
 * @param {Int32Array} what.matched
 * @param {boolean} what.flip
 * @param {{tensor: number, pair: Pair}[]} pairs of the row
 * @param {number} first index of the first step of the cell
 * @param {number} last index of its last step
 * @returns {import("./layer.js").CellWords | null}
 */
function describeDifference({ a, b, statistic, measure, matched, flip }, pairs, first, last) {
  if (!pairs.length) return null;
  let { tensor, pair } = pairs[0];
  let step = first;
  for (const candidate of pairs) {
    const { values } = candidate.pair.difference;
    for (let i = first; i <= Math.min(last, values.length - 1); i++) {
      const value = Math.abs(values[i]);
      if (
        value > Math.abs(pair.difference.values[step]) ||
        (Number.isNaN(pair.difference.values[step]) && !Number.isNaN(value))
      ) {
        ({ tensor, pair } = candidate);
        step = i;
      }
    }
  }
  const at = matched[step];
  const show = statistic.scale === "share" ? formatShare : formatValue;
  const difference = pair.difference.values[step];
  const bad = pair.difference.nonFinite[step] > 0;
  const side = (
    /** @type {string} */ name,
    /** @type {Series} */ series,
    /** @type {number} */ i,
  ) =>
    `${name} ${Number.isNaN(series.nonFinite[i]) ? "not logged" : show(series.values[i])}` +
    (series.nonFinite[i] > 0 ? ` (${formatShare(series.nonFinite[i])} NaN or inf)` : "");
  const lines = [
    tensorTitle(a.info, a.info.tensors[tensor]),
    `step ${formatCount(a.history.steps[step])}` +
      (at >= 0 && b.history.steps[at] !== a.history.steps[step]
        ? `, ${flip ? "A" : "B"} at step ${formatCount(b.history.steps[at])}`
        : "") +
      (last > first ? `, the furthest apart of ${formatCount(last - first + 1)} here` : ""),
  ];
  if (at < 0) lines.push("B has no step to compare with here");
  else {
    const [before, after] = flip
      ? [side("A", pair.b, at), side("B", pair.a, step)]
      : [side("A", pair.a, step), side("B", pair.b, at)];
    lines.push(
      `${statistic.label}: ${before} · ${after}`,
      Number.isNaN(difference)
        ? "nothing to compare"
        : measure === "ratio"
          ? `log2(B / A) ${formatValue(difference)}`
          : `B − A ${formatValue(difference)}`,
    );
  }
  const { parting } = pair;
  const none = flip ? "it stays as it is" : "the runs do not part here";
  lines.push(
    parting.step < 0 ? none : `part from step ${formatCount(a.history.steps[parting.step])} on`,
  );
  if (pairs.length > 1) lines.push(`the furthest apart of ${pairs.length} tensors`);
  return { tensor, step, lines, bad };
}

/**
 * The rows as a flat list, from what parts first to what parts last; each is called by its whole path, and says since when.
 * @param {Row[]} rows all of them, unfolded
 * @param {DifferenceLayer[]} layers
 * @param {number[]} steps of A
 * @returns {Row[]}
 */
export function rowsByParting(rows, layers, steps) {
  const leaves = rows.filter(({ open }) => !open);
  const first = leaves.map((row) => {
    const all = layers.flatMap(({ partings }) =>
      row.tensors.flatMap((tensor) => partings.get(tensor) ?? []),
    );
    return all.length ? all[rankPartings(all)[0]] : null;
  });
  return rankPartings(first).map((place) => {
    const row = leaves[place];
    const since = sinceInWords(first[place], steps);
    const node = { ...row.node, label: fullLabel(row), className: since };
    return { ...row, node, depth: 0, expandable: false };
  });
}

/**
 * @param {Parting | null} parting
 * @param {number[]} steps
 */
function sinceInWords(parting, steps) {
  if (!parting) return "no partner";
  return parting.step < 0 ? "together" : `from ${formatCount(steps[parting.step])}`;
}

/** @param {Row} row */
function fullLabel({ node: { path, label } }) {
  return path.endsWith(label) ? path : `${path} ${label}`;
}
