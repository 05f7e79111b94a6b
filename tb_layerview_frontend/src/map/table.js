/** What stands in the files of the map, the profile and the curves: the numbers as they were loaded, no screen's worst of many. */

/** @typedef {import("../kit/array_files.js").Table} Table */

/**
 * What the maps draw of each tensor in their rows, in the run's order.
 * @param {object} what
 * @param {import("../data/types.js").RunInfo} what.info
 * @param {number[]} what.steps
 * @param {import("./layer.js").MapLayer[]} what.layers
 * @param {import("./rows.js").Row[]} what.rows
 * @param {number[]} what.indices of the steps that are wanted
 * @returns {Table}
 */
export function mapTable({ info, steps, layers, rows, indices }) {
  const shown = [...new Set(rows.flatMap(({ tensors }) => tensors))].sort((a, b) => a - b);
  return {
    head: [
      "layer",
      "kind",
      "name",
      "call",
      "statistic",
      ...indices.map((index) => `step ${steps[index]}`),
    ],
    rows: shown.flatMap((tensor) => {
      const { layer, kind, name, call } = info.tensors[tensor];
      const drawn = layers.find((one) => one.kind === kind);
      const column = drawn?.columnOf(tensor);
      if (!drawn || !column) return [];
      return [
        [
          info.layers[layer].path,
          kind,
          name,
          call,
          drawn.inTable ?? drawn.statistic.label,
          ...indices.map((index) => column[index] ?? NaN),
        ],
      ];
    }),
  };
}

/**
 * The curves above the map by step, and what the evaluation has measured at steps of its own.
 * @param {import("./curves.js").Curve[]} curves
 * @param {number[]} steps
 * @param {string} evaluation name of the run whose points are drawn
 * @returns {Table} empty text where a step has no value
 */
export function curvesTable(curves, steps, evaluation) {
  const measured = curves.filter(({ points }) => points.length);
  const points = measured.map((curve) => new Map(curve.points.map((at) => [at.step, at.value])));
  const all = [...new Set([...steps, ...points.flatMap((at) => [...at.keys()])])];
  const indices = new Map(steps.map((step, index) => [step, index]));
  return {
    head: [
      "step",
      ...curves.map(({ name }) => name),
      ...measured.map(({ name }) => `${name} of ${evaluation}`),
    ],
    rows: all
      .sort((a, b) => a - b)
      .map((step) => {
        const index = indices.get(step);
        const own = curves.map(({ values, absent, held }) =>
          index === undefined || absent[index] || held?.[index] ? "" : (values[index] ?? ""),
        );
        return [step, ...own, ...points.map((at) => at.get(step) ?? "")];
      }),
  };
}
