import { expect, test } from "vitest";

import { Columns } from "../../src/data/columns.js";
import { buildTree } from "../../src/data/model_tree.js";
import { statisticOf } from "../../src/data/statistics.js";
import { curvesOf } from "../../src/map/curves.js";
import { makeMapLayer } from "../../src/map/layer.js";
import { visibleRows } from "../../src/map/rows.js";
import { curvesTable, mapTable } from "../../src/map/table.js";
import { makeInfo } from "../make_info.js";

const INFO = makeInfo({
  "block/a": [
    ["activation", "output", [2]],
    ["activation", "output", [2], 1],
    ["weight", "kernel", [2]],
  ],
  "block/b": [["activation", "output", [2]]],
});
const STEPS = [0, 10, 30];

function layer() {
  const columns = new Columns("activation", INFO.tensors);
  const values = [
    [1, 2, 3],
    [4, NaN, 6],
    [7, 8, 1e-9],
  ].map((course) => Float32Array.from(course));
  columns.add("rms", values);
  columns.add(
    "non_finite",
    values.map(() => new Float32Array(3)),
  );
  return makeMapLayer({
    columns: new Map([["activation", columns]]),
    kind: "activation",
    statistic: statisticOf("rms", "activation"),
    transform: "",
    rowScales: false,
  });
}

/** @param {string} filter */
const rowsFor = (filter) =>
  visibleRows(buildTree(INFO.layers, INFO.tensors), {
    tensors: INFO.tensors,
    kinds: ["activation"],
    filter,
    opened: new Map(),
    fit: 1,
  });

test("a folded row has a line for each of its tensors, with every step's own value", () => {
  const rows = rowsFor("");
  expect(rows).toHaveLength(1);
  const what = { info: INFO, steps: STEPS, layers: [layer()], rows };
  const { head, rows: lines } = mapTable({ ...what, indices: [0, 1, 2] });
  expect(head).toEqual([
    ...["layer", "kind", "name", "call", "statistic"],
    ...["step 0", "step 10", "step 30"],
  ]);
  expect([...lines]).toEqual([
    ["block/a", "activation", "output", 0, "rms", 1, 2, 3],
    ["block/a", "activation", "output", 1, "rms", 4, NaN, 6],
    ["block/b", "activation", "output", 0, "rms", 7, 8, Math.fround(1e-9)],
  ]);
});

test("of one step there is one number a tensor, and of a filter what it finds", () => {
  const what = { info: INFO, steps: STEPS, layers: [layer()], rows: rowsFor("block/b") };
  const { head, rows } = mapTable({ ...what, indices: [1] });
  expect(head.at(-1)).toBe("step 10");
  expect([...rows]).toEqual([["block/b", "activation", "output", 0, "rms", 8]]);
});

test("a curve without a value at a step leaves it empty, and an evaluation has steps of its own", () => {
  /** @param {number[]} steps @param {(number | null)[]} loss */
  const history = (steps, loss) => ({
    generation: "",
    steps,
    wall_times: [],
    modes: [],
    scalars: { loss: Float64Array.from(loss, (value) => value ?? NaN) },
    absent: { loss: Uint8Array.from(loss, (value) => Number(value === null)) },
    notes: [],
    cost: null,
  });
  const run = history(STEPS, [0.5, null, NaN]);
  const evaluation = history([10, 20], [0.25, 0.125]);
  const { head, rows } = curvesTable(curvesOf(run, evaluation), STEPS, "run/evaluate");
  expect(head).toEqual(["step", "loss", "loss of run/evaluate"]);
  expect([...rows]).toEqual([
    [0, 0.5, ""],
    [10, "", 0.25],
    [20, "", 0.125],
    [30, NaN, ""],
  ]);
});
