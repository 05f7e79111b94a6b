import { describe, expect, test } from "vitest";

import { planPicture } from "../../src/picture/plan.js";
import { partsOf, planUnit, sliceUnit } from "../../src/units/unit_parts.js";
import { makeTensor as tensor } from "../make_info.js";

const info = /** @type {import("../../src/data/types.js").RunInfo} */ (
  /** @type {unknown} */ ({
    layers: [
      { path: "conv", class_name: "Conv2D", inputs: [] },
      { path: "norm", class_name: "BatchNormalization", inputs: [0] },
      { path: "relu", class_name: "ReLU", inputs: [1] },
      { path: "flatten", class_name: "Flatten", inputs: [2] },
      { path: "add", class_name: "Add", inputs: [2, 0] },
    ],
    tensors: [
      tensor(0, "activation", "output", [32, 8, 8, 16]),
      tensor(0, "weight", "kernel", [3, 3, 1, 16]),
      tensor(0, "weight", "bias", [16]),
      tensor(1, "activation", "output", [32, 8, 8, 16]),
      tensor(1, "weight", "gamma", [16]),
      tensor(2, "activation", "output", [32, 8, 8, 16]),
      tensor(3, "activation", "output", [32, 1024]),
      tensor(4, "activation", "output", [32, 8, 8, 16]),
      tensor(0, "gradient", "kernel", [3, 3, 1, 16]),
    ],
  })
);

describe("the parts of a unit", () => {
  test("are its layer's own activation and kernel", () => {
    expect(partsOf(info, 0)).toEqual({ activation: 0, weight: 1 });
    expect(partsOf(info, 8)).toEqual({ activation: 0, weight: 1 });
    expect(partsOf(info, 1)).toEqual({ activation: 0, weight: 1 });
  });

  test("have the kernel of the layer before where channels stay what they are", () => {
    expect(partsOf(info, 3)).toEqual({ activation: 3, weight: 1 });
    expect(partsOf(info, 5)).toEqual({ activation: 5, weight: 1 });
  });

  test("have none where channels become others, or come from several layers", () => {
    expect(partsOf(info, 6)).toEqual({ activation: 6, weight: -1 });
    expect(partsOf(info, 7)).toEqual({ activation: 7, weight: -1 });
  });
});

describe("a unit's slice", () => {
  /** @type {import("../../src/data/payload.js").Values} */
  const values = {
    axes: [
      { start: 0, step: 1, count: 2, size: 9 },
      { start: 1, step: 2, count: 3, size: 8 },
    ],
    data: Float32Array.from([0, 1, 2, 3, 4, 5]),
    precision: "float16",
  };

  test("is one index of the last axis", () => {
    expect(sliceUnit(values, 3)).toEqual({
      axes: [values.axes[0]],
      data: Float32Array.from([1, 4]),
      precision: "float16",
    });
  });

  test("is not there where the unit is not kept", () => {
    for (const unit of [0, 2, 7, -1]) expect(sliceUnit(values, unit)).toBeNull();
  });

  test("shows all examples of a feature map beside each other", () => {
    const names = ["example", "row", "column"];
    const plan = planUnit(names, planPicture(names));
    expect(plan.panelColumn).toBe(0);
    expect(plan.choosers).toEqual([]);
  });
});
