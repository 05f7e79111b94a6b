import { describe, expect, test } from "vitest";

import { endsOf } from "../../src/map/strip_plot.js";
import { curveScales, curvesOf, curveTicks, drawnOf, unitOn } from "../../src/map/curves.js";

/**
 * @param {Record<string, number[]>} scalars
 * @param {number[]} [steps]
 */
function history(scalars, steps = [0, 1, 2]) {
  return /** @type {import("../../src/data/types.js").History} */ (
    /** @type {unknown} */ ({
      steps,
      scalars: Object.fromEntries(
        Object.entries(scalars).map(([name, values]) => [name, Float64Array.from(values)]),
      ),
      absent: Object.fromEntries(
        Object.entries(scalars).map(([name, values]) => [name, new Uint8Array(values.length)]),
      ),
    })
  );
}

const training = history({
  val_loss: [3, 1, 0.4],
  accuracy: [0.1, 0.5, 0.9],
  learning_rate: [1e-3, 1e-4, 1e-5],
  mse: [0.5, 0.4, 0.3],
  loss: [2, 1, 0.5],
  auc: [0.5, 0.6, NaN],
});

describe("curves", () => {
  test("of one unit share a scale; an error between 0 and 1 is no share", () => {
    expect(curvesOf(training).map(({ name, group }) => [name, group])).toEqual([
      ["loss", "loss"],
      ["val_loss", "loss"],
      ["learning_rate", "learning rate"],
      ["accuracy", "share"],
      ["auc", "share"],
      ["mse", "mse"],
    ]);
  });

  test("have the points of the evaluation, unless the training holds them itself", () => {
    const evaluation = history({ loss: [9, 8], accuracy: [0.2, NaN] }, [0, 2]);
    const points = Object.fromEntries(
      curvesOf(training, evaluation).map((curve) => [curve.name, curve.points]),
    );
    expect(points.loss).toEqual([]);
    expect(points.accuracy).toEqual([{ step: 0, value: 0.2 }]);
  });

  test("are told apart by colour and dashes", () => {
    const many = Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`m${i}`, [0, 1, 2]]));
    const curves = curvesOf(history(many));
    expect(curves.map(({ dashed }) => dashed)).toEqual([0, 0, 0, 1, 1, 1, 1, 1].map(Boolean));
    expect(new Set(curves.map(({ colour, dashed }) => colour + dashed)).size).toBe(8);
  });
});

describe("what is drawn", () => {
  const names = (/** @type {import("../../src/map/curves.js").Curve[]} */ curves) =>
    curves.map(({ name }) => name);

  test("is the loss alone, with B's beside it, else what is chosen and there", () => {
    const curves = curvesOf(training);
    expect(names(drawnOf(curves, []))).toEqual(["loss"]);
    expect(names(drawnOf(curves, ["accuracy", "learning_rate"]))).toEqual([
      "learning_rate",
      "accuracy",
    ]);
    expect(names(drawnOf(curves, ["gone"]))).toEqual(["loss"]);
    const other = { ...curves[0], name: "loss of B" };
    expect(names(drawnOf([...curves, other], []))).toEqual(["loss", "loss of B"]);
    expect(drawnOf([], [])).toEqual([]);
  });

  test("has its names at the lines' ends, none over another", () => {
    const curves = curvesOf(training);
    const at = endsOf(curves, curveScales(curves)).map((end) => end.at);
    expect(at).toHaveLength(6);
    for (let i = 1; i < at.length; i++) expect(at[i] - at[i - 1]).toBeGreaterThanOrEqual(12);
    expect(endsOf(drawnOf(curves, []), curveScales(curves))[0].at).toBeGreaterThan(44);
  });
});

describe("scales", () => {
  /** @param {Record<string, number[]>} scalars */
  const scales = (scalars) => curveScales(curvesOf(history(scalars)));

  test("cover all curves of their group, and the points", () => {
    const evaluation = history({ loss: [5] }, [1]);
    const [scale] = curveScales(curvesOf(history({ loss: [2, 1, NaN] }), evaluation));
    expect(scale.log).toBe(true);
    expect(scale.low).toBeLessThan(1);
    expect(scale.high).toBeGreaterThan(5);
  });

  test("are logarithmic for losses and learning rates above 0, and for what spans much", () => {
    expect(scales({ loss: [2, 1.5, 1] })[0].log).toBe(true);
    expect(scales({ mse: [2, 1.5, 1] })[0].log).toBe(false);
    expect(scales({ loss: [100, 1, 0.1] })[0].log).toBe(true);
    expect(scales({ loss: [100, 1, -0.1] })[0].log).toBe(false);
    const [rate] = scales({ learning_rate: [1e-3, 1e-3, 1e-3] });
    expect(rate.log).toBe(true);
    expect(unitOn(rate, 1e-3)).toBeCloseTo(0.5);
  });

  test("of what is never finite are no scale to read", () => {
    expect(scales({ loss: [NaN, Infinity, NaN] })[0].known).toBe(false);
  });

  test("have round numbers within them", () => {
    for (const values of [
      [0, 0.97, 0.4],
      [3, 200, 0.01],
      [1, 1.2, 1.4],
      [1e-3, 1e-3, 1e-3],
    ]) {
      const [scale] = scales({ loss: values });
      const ticks = curveTicks(scale);
      expect(ticks.length).toBeGreaterThanOrEqual(1);
      expect(ticks.length).toBeLessThanOrEqual(6);
      for (const tick of ticks) {
        expect(unitOn(scale, tick)).toBeGreaterThanOrEqual(0);
        expect(unitOn(scale, tick)).toBeLessThanOrEqual(1);
      }
    }
  });
});
