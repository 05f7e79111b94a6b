/** The ranks across the map: what it draws of them, and what a cell of it says. */

import { tensorTitle } from "../data/matching.js";
import { formatCount, formatShare, formatValue } from "../kit/format.js";
import { DIFFERENCE_TRANSFORM, differenceScale, measureOf } from "../map/difference.js";
import { departureInWords, departures } from "./ranks.js";

/** @typedef {import("../map/layer.js").MapLayer} MapLayer */
/** @typedef {import("../map/rows.js").Row} Row */
/** @typedef {import("../data/run.js").Run} Run */
/** @typedef {import("../data/types.js").RankStatistics} RankStatistics */

/**
 * One tensor in all ranks.
 * @typedef {{values: Float32Array, nonFinite: Float32Array, departure: Float32Array}} OfRanks each by rank
 */

/** @typedef {MapLayer & {tensors: number[], ofRanks: Map<number, OfRanks>}} RankLayer `ofRanks` is by tensor */

/** A ratio to 0 is infinite: it is drawn beyond the colours' end. */
const BEYOND = 3e38;

/**
 * @param {object} what
 * @param {Run} what.run
 * @param {import("../data/types.js").Kind} what.kind
 * @param {import("../data/statistics.js").Statistic} what.statistic
 * @param {RankStatistics | null} what.found null until it is there
 * @param {import("../kit/colour.js").MapTransform | ""} what.transform empty for the usual one
 * @param {boolean} what.rowScales
 * @param {string} what.problem why there is none
 * @returns {RankLayer}
 */
export function makeRankLayer({ run, kind, statistic, found, transform, rowScales, problem }) {
  const measure = measureOf(statistic.scale);
  const count = found?.ranks.length ?? 0;
  /** @type {Map<number, OfRanks>} */
  const ofRanks = new Map();
  found?.tensors.forEach((tensor, place) => {
    const [values, nonFinite] = [statistic.name, "non_finite"].map((name) =>
      Float32Array.from(found.statistics[name], (ofRank) => ofRank[place]),
    );
    ofRanks.set(tensor, { values, nonFinite, departure: departures(statistic.scale, values) });
  });
  const scaleFor = (/** @type {OfRanks[]} */ of) =>
    differenceScale(
      measure,
      of.map(({ departure }) => departure),
      transform || DIFFERENCE_TRANSFORM,
    );
  const all = [...ofRanks.values()];
  const scale = scaleFor(all);
  /** @param {Row} row */
  const own = (row) =>
    row.tensors.flatMap((tensor) => {
      const of = ofRanks.get(tensor);
      return of ? [{ tensor, of }] : [];
    });
  const theirs = count === 2 ? "the other rank’s" : "the median rank’s";
  return {
    kind,
    statistic: {
      ...statistic,
      label:
        measure === "ratio"
          ? `log2(${statistic.label} / ${theirs})`
          : `${statistic.label} − ${theirs}`,
      scale: "signed",
    },
    badness: Math.abs,
    scale,
    rowScales,
    scaleOf: (row) => (rowScales ? scaleFor(own(row).map(({ of }) => of)) : scale),
    format: formatValue,
    columnOf: (tensor) => ofRanks.get(tensor)?.departure,
    seriesOf: (row) => furthest(own(row).map(({ of }) => of)),
    ready: found !== null,
    problem: problem || undefined,
    unknown: found !== null && all.every(({ nonFinite }) => nonFinite.every(Number.isNaN)),
    anyTrouble: all.some(({ nonFinite }) => nonFinite.some((share) => share > 0)),
    describe: (row, place) => (found ? describe({ run, statistic, found }, own(row), place) : null),
    tensors: found?.tensors ?? [],
    ofRanks,
  };
}

/**
 * Draws several tensors together: of each rank the largest departure.
 * @param {OfRanks[]} all
 * @returns {import("../map/aggregate.js").Series | null}
 */
function furthest(all) {
  if (!all.length) return null;
  const values = new Float32Array(all[0].values.length).fill(NaN);
  const nonFinite = values.slice();
  for (const { departure, nonFinite: shares } of all) {
    for (let i = 0; i < values.length; i++) {
      const value = Math.max(-BEYOND, Math.min(BEYOND, departure[i]));
      if (!Number.isNaN(value) && !(Math.abs(value) <= Math.abs(values[i]))) values[i] = value;
      if (!Number.isNaN(shares[i]) && !(shares[i] <= nonFinite[i])) nonFinite[i] = shares[i];
    }
  }
  return { values, nonFinite };
}

/**
 * @param {{run: Run, statistic: import("../data/statistics.js").Statistic, found: RankStatistics}} what
 * @param {{tensor: number, of: OfRanks}[]} own of the row
 * @param {number} place of the rank among the ranks
 * @returns {import("../map/layer.js").CellWords | null}
 */
function describe({ run, statistic, found }, own, place) {
  if (!own.length || place >= found.ranks.length) return null;
  const badness = (/** @type {OfRanks} */ { nonFinite, departure }) =>
    nonFinite[place] > 0 ? Infinity : Math.abs(departure[place]) || 0;
  const { tensor, of } = own.reduce((worst, one) =>
    badness(one.of) > badness(worst.of) ? one : worst,
  );
  const [value, share] = [of.values[place], of.nonFinite[place]];
  const step = found.steps[place];
  const show = statistic.scale === "share" ? formatShare : formatValue;
  const lines = [
    tensorTitle(run.info, run.info.tensors[tensor]),
    `rank ${found.ranks[place]}, ${step === null ? "no step yet" : `step ${formatCount(step)}`}`,
  ];
  if (Number.isNaN(share)) lines.push("not logged at this step");
  else {
    const departure = departureInWords(statistic.scale, of.departure[place], found.ranks.length);
    lines.push(
      `${statistic.label} ${Number.isNaN(value) ? "unknown: no finite element" : `${show(value)}: ${departure}`}`,
    );
  }
  if (share > 0) lines.push(`${formatShare(share)} NaN or inf`);
  if (own.length > 1) lines.push(`the furthest of ${own.length} tensors`);
  return { tensor, step: place, lines, bad: share > 0 };
}
