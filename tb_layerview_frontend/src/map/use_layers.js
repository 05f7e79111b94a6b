/** What the maps draw, a layer for each kind that is shown, and how that ranks the rows. */

import { useMemo } from "preact/hooks";

import { statisticOf } from "../data/statistics.js";
import { countsForRange } from "../kit/scale_range.js";
import { hasChange, makeChangeLayer } from "./change.js";
import { makeMapLayer } from "./layer.js";
import { keyOfTensors, rankByWorst } from "./order.js";

/** @typedef {import("../data/run.js").Run} Run */
/** @typedef {import("./layer.js").MapLayer} MapLayer */

/**
 * @param {import("../kit/core.js").Core} core
 * @param {Run} run
 * @returns {MapLayer[]}
 */
export function useLayers({ view, kinds, revision, columnProblems, healthy }, run) {
  const statistic = view.statistic.value;
  const transform = /** @type {import("../kit/colour.js").MapTransform | ""} */ (
    view.transform.value
  );
  const rowScales = view.rowScales.value;
  const isChange = view.mapColour.value === "change";
  const problems = columnProblems.value;
  const before = healthy.value;
  return useMemo(
    () =>
      kinds.value.map((kind) => {
        const { layers, tensors } = run.info;
        const what = {
          columns: run.columns,
          steps: run.history.steps,
          kind,
          statistic: statisticOf(statistic, kind),
          // The level that stands beside a change is on the scale of its own.
          transform: /** @type {typeof transform} */ (
            isChange && hasChange(statisticOf(statistic, kind)) ? "" : transform
          ),
          rowScales,
          healthy: before,
          counts: (/** @type {number} */ tensor) =>
            countsForRange(tensors[tensor], layers[tensors[tensor].layer]),
          problem: problems[kind],
        };
        const level = makeMapLayer(what);
        return isChange ? makeChangeLayer(level, { ...what, transform }) : level;
      }),
    [
      run,
      revision.value,
      statistic,
      transform,
      rowScales,
      isChange,
      before,
      problems,
      kinds.value.join(),
    ],
  );
}

/**
 * What ranks the rows, if they do not stand in the model's order. It is of the first map, and stays as it is while new
 * steps come in.
 * @param {string} order that is chosen
 * @param {Run} run
 * @param {MapLayer[]} layers
 * @returns {import("./order.js").RankKey | null}
 */
export function useRank(order, run, [first]) {
  const layer = first?.level ?? first;
  return useMemo(() => {
    const columns = run.columns.get(layer?.kind);
    if (order !== "worst" || !layer?.ready || !columns) return null;
    const { tensors } = columns;
    const values = columns.of(layer.statistic.name, tensors);
    const broken = columns.of("non_finite", tensors);
    return keyOfTensors(rankByWorst(tensors, values, broken, layer.badness));
  }, [order, run.name, run.history.generation, layer?.kind, layer?.statistic, layer?.ready]);
}
