/** What the map draws and lists while two runs are compared. */

import { useMemo } from "preact/hooks";

import { statisticOf } from "../data/statistics.js";
import { withCompared } from "./compared_curve.js";
import { makeDifferenceLayer, rowsByParting } from "./difference_layer.js";
import { PARTING_ORDER } from "./order.js";
import { visibleRows } from "./rows.js";

/** @typedef {import("../page/store.js").Store} Store */
/** @typedef {import("../data/run_data.js").Run} Run */
/** @typedef {import("./difference_layer.js").DifferenceLayer} DifferenceLayer */

/**
 * The difference map's layers, one a kind; null where the map shows the run itself.
 * @param {Store} store
 * @param {Run} run
 * @returns {DifferenceLayer[] | null}
 */
export function useDifference(store, run) {
  const { comparison, view } = store;
  const b = comparison.current.value;
  const matching = comparison.matching.value;
  const shown = comparison.showsDifference.value;
  const transform = /** @type {import("../kit/colour.js").MapTransform | ""} */ (
    view.transform.value
  );
  const rowScales = view.rowScales.value;
  const statistic = view.statistic.value;
  const problems = [store.columnProblems.value, comparison.columnProblems.value];
  const kinds = store.kinds.value;
  return useMemo(() => {
    if (!shown || !b || !matching) return null;
    const pairing = { a: run, b, partner: matching.partner, matched: comparison.matched.value };
    return kinds.map((kind) =>
      makeDifferenceLayer(pairing, {
        kind,
        statistic: statisticOf(statistic, kind),
        transform,
        rowScales,
        problem: problems.find((one) => one[kind])?.[kind],
      }),
    );
  }, [
    shown,
    run,
    b,
    matching,
    comparison.matched.value,
    comparison.revision.value,
    statistic,
    transform,
    rowScales,
    ...problems,
    kinds.join(),
  ]);
}

/**
 * The rows as they are to stand: where the runs part first, if that is wanted.
 * @param {Store} store
 * @param {Run} run
 * @param {import("./rows.js").Row[]} rows as they stand otherwise
 * @param {DifferenceLayer[] | null} difference
 */
export function useComparedRows(store, run, rows, difference) {
  const { view } = store;
  const wanted = difference && view.order.value === PARTING_ORDER.name ? difference : null;
  const filter = view.filter.value;
  return useMemo(() => {
    // Ranked when all is known: rows that changed places as statistics come in would jump.
    if (!wanted?.every(({ ready }) => ready)) return rows;
    const kinds = wanted.map(({ kind }) => kind);
    const { tensors } = run.info;
    const all = visibleRows(run.tree, { tensors, kinds, filter, opened: new Map(), fit: Infinity });
    return rowsByParting(all, wanted, run.history.steps);
  }, [rows, wanted, filter, run]);
}

/**
 * The strip's curves, and B's loss among them.
 * @param {Store} store
 * @param {import("./curves.js").Curve[]} curves
 */
export function useComparedCurves({ comparison }, curves) {
  const b = comparison.fixed.value < 0 ? comparison.current.value : null;
  const matched = comparison.matched.value;
  return useMemo(
    () => (b ? withCompared(curves, b.history, matched) : curves),
    [b, curves, matched],
  );
}
