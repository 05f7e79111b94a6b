/** What the map draws and lists while two runs are compared. */

import { useMemo } from "preact/hooks";

import { statisticOf } from "../data/statistics.js";
import { withCompared } from "./compared_curve.js";
import { makeDifferenceLayer, rowsByParting } from "./difference_layer.js";
import { PARTING_ORDER } from "./order.js";
import { visibleRows } from "./rows.js";

/**
 * @template T
 * @typedef {import("@preact/signals").ReadonlySignal<T>} ReadonlySignal
 */

/**
 * What the map needs to know of a run (or a step) that the shown one, A, is compared with: B.
 * @typedef {object} Compared
 * @property {ReadonlySignal<boolean>} on
 * @property {ReadonlySignal<boolean>} sameRun whether B is another step of the shown run, which it is then seen from
 * @property {ReadonlySignal<boolean>} showsDifference whether the map shows how far both are apart
 * @property {ReadonlySignal<Run | null>} current B, as far as it is known
 * @property {ReadonlySignal<number[]>} steps of B
 * @property {ReadonlySignal<number>} stepIndex of the step of B that stands beside the shown one
 * @property {ReadonlySignal<number>} fixed index of the one step of B that all of A's are compared with; -1: each with its own
 * @property {ReadonlySignal<import("../data/matching.js").Matching | null>} matching
 * @property {ReadonlySignal<Int32Array>} matched by step of A, the step of B
 * @property {ReadonlySignal<number>} revision counts up with each change of what is in place
 * @property {ReadonlySignal<Partial<Record<import("../data/types.js").Kind, string>>>} columnProblems
 */
/** @typedef {import("../data/run.js").Run} Run */
/** @typedef {import("./difference_layer.js").DifferenceLayer} DifferenceLayer */

/**
 * The difference map's layers, one a kind; null where the map shows the run itself.
 * @param {import("../kit/core.js").Core} core
 * @param {Compared} comparison
 * @param {Run} run
 * @returns {DifferenceLayer[] | null}
 */
export function useDifference(core, comparison, run) {
  const { view } = core;
  const b = comparison.current.value;
  const matching = comparison.matching.value;
  const shown = comparison.showsDifference.value;
  const transform = /** @type {import("../kit/colour.js").MapTransform | ""} */ (
    view.transform.value
  );
  const rowScales = view.rowScales.value;
  const statistic = view.statistic.value;
  const problems = [core.columnProblems.value, comparison.columnProblems.value];
  const kinds = core.kinds.value;
  return useMemo(() => {
    if (!shown || !b || !matching) return null;
    const pairing = {
      a: run,
      b,
      partner: matching.partner,
      matched: comparison.matched.value,
      flip: comparison.sameRun.value,
    };
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
    comparison.sameRun.value,
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
 * @param {import("../kit/view.js").View} view
 * @param {Run} run
 * @param {import("./rows.js").Row[]} rows as they stand otherwise
 * @param {DifferenceLayer[] | null} difference
 */
export function useComparedRows(view, run, rows, difference) {
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
 * @param {Compared} comparison
 * @param {import("./curves.js").Curve[]} curves
 */
export function useComparedCurves(comparison, curves) {
  const b = comparison.fixed.value < 0 ? comparison.current.value : null;
  const matched = comparison.matched.value;
  return useMemo(
    () => (b ? withCompared(curves, b.history, matched) : curves),
    [b, curves, matched],
  );
}
