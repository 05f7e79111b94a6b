/** One kind's map: what it draws, and what a cell of it says. */

import { findWorst } from "./aggregate.js";
import { formatCount, formatShare, formatValue } from "./format.js";

/**
 * What one kind's map draws.
 * @typedef {object} MapLayer
 * @property {import("./api.js").Kind} kind
 * @property {import("./statistics.js").Statistic} statistic
 * @property {import("./colour.js").ColourScale} scale
 * @property {(row: import("./tree.js").Row) => import("./aggregate.js").Series | null} seriesOf null where the row has no tensor of the kind
 * @property {boolean} ready whether its statistics are here
 * @property {string | undefined} problem
 * @property {boolean} anyTrouble
 * @property {(row: import("./tree.js").Row, first: number, last: number) => CellWords | null} [describe] what a cell says
 *   where it is not the statistic itself that is drawn
 */

/** @typedef {{tensor: number, step: number, lines: string[], bad: boolean}} CellWords */

/**
 * What a cell of the map says, in words.
 * @param {object} what
 * @param {import("./run_data.js").Run} what.run
 * @param {MapLayer} what.layer
 * @param {import("./tree.js").Row} what.row
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
  const values = columns.of(layer.statistic.name, own);
  const broken = columns.of("non_finite", own);
  const end = Math.min(last, columns.steps - 1);
  const worst = findWorst(values, broken, layer.statistic.scale === "signed", first, end);
  const tensor = own[worst.tensor];
  const value = values[worst.tensor][worst.step];
  const share = broken[worst.tensor][worst.step];
  const { layer: of, name, kind } = info.tensors[tensor];
  const show = layer.statistic.scale === "share" ? formatShare : formatValue;
  const logged = !Number.isNaN(share);
  const lines = [
    `${info.layers[of].path} · ${kind} ${name}`,
    `step ${formatCount(history.steps[worst.step])}` +
      (end > first ? `, the worst of ${formatCount(end - first + 1)} here` : ""),
    logged
      ? `${layer.statistic.label} ${Number.isNaN(value) ? "unknown: no finite element" : show(value)}`
      : "not logged at this step",
  ];
  if (own.length > 1) lines.push(`the worst of ${own.length} tensors`);
  if (share > 0) lines.push(`${formatShare(share)} NaN or inf`);
  return { tensor, step: worst.step, lines, bad: share > 0 };
}
