import { describe, expect, test } from "vitest";

import { Columns } from "../src/columns.js";
import { findings, findingSteps, nextFinding } from "../src/findings.js";

const f = (/** @type {number[]} */ ...values) => Float32Array.from(values);

const tensors = /** @type {import("../src/api.js").Tensor[]} */ (
  ["weight", "activation", "weight"].map((kind, layer) => ({ layer, kind, name: "x", call: 0 }))
);
const info = /** @type {import("../src/api.js").RunInfo} */ (
  /** @type {unknown} */ ({
    layers: ["a", "b", "c"].map((path) => ({ path, class_name: "", inputs: [] })),
    tensors,
  })
);

/** @param {Float32Array[]} weights @param {Float32Array[]} activations */
function run(weights, activations) {
  const [weight, activation] = [new Columns("weight", tensors), new Columns("activation", tensors)];
  weight.add("non_finite", weights);
  activation.add("non_finite", activations);
  const history = /** @type {import("../src/api.js").History} */ ({ steps: [0, 10, 20] });
  return {
    info,
    history,
    columns: new Map([
      [/** @type {const} */ ("weight"), weight],
      [/** @type {const} */ ("activation"), activation],
    ]),
  };
}

describe("what is found", () => {
  const broken = run([f(0, 0.5, 1), f(NaN, 0, 0.25)], [f(0, 1, 1)]);

  test("is where each tensor first holds NaN or inf, at a step the activations first", () => {
    expect(findings(broken).map(({ step, tensor }) => [step, tensor])).toEqual([
      [10, 1],
      [10, 0],
      [20, 2],
    ]);
    expect(findings(broken)[1].words).toBe(
      "50 % of a · weight x is NaN or inf, for the first time.",
    );
  });

  test("is nothing where all is finite", () => {
    expect(findings(run([f(0, 0, 0), f(0, NaN, 0)], [f(0, 0, 0)]))).toEqual([]);
  });

  test("at a step that the run's list of steps does not have yet waits for it", () => {
    expect(findings(run([f(0, 0, 0, 1), f(0, 0, 0, 0)], [f(0, 0, 0, 0)]))).toEqual([]);
  });

  test("is walked through step by step, and begins again after the last", () => {
    const found = findings(broken);
    expect(findingSteps(found)).toEqual([10, 20]);
    expect(nextFinding(found, 0)).toBe(found[0]);
    expect(nextFinding(found, 10)).toBe(found[2]);
    expect(nextFinding(found, 20)).toBe(found[0]);
    expect(nextFinding(found, 10, -1)).toBe(found[2]);
    expect(nextFinding([], 0)).toBeNull();
  });
});
