import { expect, test } from "vitest";

import { Columns } from "../../src/data/columns.js";
import { matchTensors } from "../../src/data/matching.js";
import { buildTree } from "../../src/data/model_tree.js";
import { statisticOf } from "../../src/data/statistics.js";
import { toUnit } from "../../src/kit/colour.js";
import { withCompared } from "../../src/map/compared_curve.js";
import { curvesOf } from "../../src/map/curves.js";
import { makeDifferenceLayer, rowsByParting } from "../../src/map/difference_layer.js";
import { visibleRows } from "../../src/map/rows.js";
import { makeInfo } from "../make_info.js";

/**
 * A run of one activation a layer.
 * @param {Record<string, number[]>} rms by layer, at each step
 * @param {number[]} steps
 * @returns {import("../../src/data/run.js").Run}
 */
function makeRun(rms, steps) {
  const info = makeInfo(
    Object.fromEntries(Object.keys(rms).map((path) => [path, [["activation", "output", [2]]]])),
  );
  const columns = new Columns("activation", info.tensors);
  const values = Object.values(rms).map((course) => Float32Array.from(course));
  columns.add("rms", values);
  columns.add(
    "non_finite",
    values.map((course) => course.map((value) => (value === 99 ? 0.5 : 0))),
  );
  const none = new Float64Array(steps.length);
  return {
    name: "run",
    info,
    history: {
      generation: "",
      steps,
      wall_times: [],
      modes: [],
      scalars: { loss: none.map((_, i) => 1 / (i + 1)) },
      absent: { loss: new Uint8Array(steps.length) },
      notes: [],
      cost: null,
    },
    tree: buildTree(info.layers, info.tensors),
    outputs: [],
    columns: new Map([["activation", columns]]),
  };
}

/**
 * @param {import("../../src/data/run.js").Run} a
 * @param {import("../../src/data/run.js").Run} b
 * @param {number[]} matched
 * @param {{transform?: "log" | "linear", rowScales?: boolean}} [how]
 */
function compare(a, b, matched, { transform, rowScales = false } = {}) {
  const { partner } = matchTensors(a.info, b.info);
  const pairing = { a, b, partner, matched: Int32Array.from(matched) };
  const layer = makeDifferenceLayer(pairing, {
    kind: "activation",
    statistic: statisticOf("rms", "activation"),
    transform: transform ?? "",
    rowScales,
  });
  const rows = visibleRows(a.tree, {
    tensors: a.info.tensors,
    kinds: ["activation"],
    filter: "",
    opened: new Map(),
    fit: Infinity,
  });
  return { layer, rows };
}

const a = makeRun({ "x/one": [1, 1, 1], "x/two": [1, 1, 1], alone: [1, 1, 1] }, [0, 1, 2]);
const b = makeRun({ "x/two": [1, 4, 0], "x/one": [1, 1, 2] }, [0, 1, 2]);

test("a row draws the largest difference of its tensors, one to 0 beyond the colours' end", () => {
  const { layer, rows } = compare(a, b, [0, 1, 2]);
  const [group, one] = rows;
  expect([...(layer.seriesOf(one)?.values ?? [])]).toEqual([0, 0, 1]);
  const drawn = [...(layer.seriesOf(group)?.values ?? [])];
  expect(drawn.slice(0, 2)).toEqual([0, 2]);
  expect(drawn[2]).toBeLessThan(layer.scale.low);
  expect(layer.seriesOf(rows[3])).toBeNull();
});

test("with a scale for each row, one that hardly differs shows its own course", () => {
  const wide = makeRun({ one: Array(200).fill(1), two: Array(200).fill(1) }, [
    ...Array(200).keys(),
  ]);
  const course = (/** @type {number} */ most) =>
    wide.history.steps.map((i) => 2 ** ((most * i) / 199));
  const other = makeRun({ one: course(16), two: course(0.8) }, wide.history.steps);
  const shared = compare(wide, other, wide.history.steps);
  const own = compare(wide, other, wide.history.steps, { rowScales: true });
  expect(shared.rows.map((row) => shared.layer.scaleOf(row).high)).toEqual([20, 20]);
  expect(own.rows.map((row) => own.layer.scaleOf(row).high)).toEqual([20, 1]);
  expect(own.layer.scale.high).toBe(20);
  // What is drawn does not depend on the scale.
  expect(own.layer.seriesOf(own.rows[0])).toEqual(shared.layer.seriesOf(shared.rows[0]));
});

test("logarithmic colours tell small differences apart, to both sides of 0", () => {
  const log = compare(a, b, [0, 1, 2], { transform: "log" }).layer.scale;
  expect(log).toMatchObject({ transform: "symlog", diverging: true, low: -log.high });
  expect(toUnit(log, 0)).toBe(0.5);
  const linear = compare(a, b, [0, 1, 2]).layer.scale;
  expect(toUnit(log, log.high / 50) - 0.5).toBeGreaterThan(
    2 * (toUnit(linear, log.high / 50) - 0.5),
  );
  expect(toUnit(log, -log.high)).toBeCloseTo(0);
});

test("a cell says both values, the ratio's logarithm, B's own step and since when they part", () => {
  const later = { ...b, history: { ...b.history, steps: [0, 5, 9] } };
  const { layer, rows } = compare(a, later, [0, 1, 1]);
  expect(layer.describe?.(rows[2], 1, 1)).toMatchObject({
    step: 1,
    lines: [
      "x/two · activation output",
      "step 1, B at step 5",
      "rms: A 1 · B 4",
      "log2(B / A) 2",
      "part from step 1 on",
    ],
  });
  expect(layer.describe?.(rows[2], 0, 2)?.lines[1]).toContain("the furthest apart of 3 here");
});

test("rows stand by their parting, called by their whole path, and say since when", () => {
  const { layer, rows } = compare(a, b, [0, 1, 2]);
  const ordered = rowsByParting(rows, [layer], [0, 10, 20]);
  expect(ordered.map(({ node }) => [node.label, node.className])).toEqual([
    ["x/two", "from 10"],
    ["x/one", "from 20"],
    ["alone", "no partner"],
  ]);
});

test("a kind that B does not log is said, and is not waited for", () => {
  const without = { ...b, info: makeInfo({ "x/one": [["weight", "kernel", [2]]] }) };
  const { layer } = compare(a, without, [0, 1, 2]);
  expect(layer).toMatchObject({ ready: true, problem: "B logs no activation to compare with." });
});

test("B's loss shares the scale of A's, and a value that is only carried on is no point", () => {
  const curves = withCompared(curvesOf(a.history), b.history, Int32Array.of(-1, 0, 0));
  expect(curves.map(({ label, group, dashed }) => ({ label, group, dashed }))).toEqual([
    { label: "loss of A", group: "loss", dashed: false },
    { label: "loss of B", group: "loss", dashed: true },
  ]);
  expect([...curves[1].absent]).toEqual([1, 0, 0]);
  expect([...(curves[1].held ?? [])]).toEqual([0, 0, 1]);
  expect(curves[1].values[2]).toBe(1);
});
