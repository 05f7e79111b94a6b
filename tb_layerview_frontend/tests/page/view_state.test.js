import { describe, expect, test } from "vitest";

import { FIELDS, ownPart, readViewState, writeViewState } from "../../src/page/view_state.js";

/** @type {import("../../src/page/view_state.js").ViewState} */
const everything = {
  run: "a/b & c=d #1",
  layer: "encoder/block_1/conv,50%",
  kind: "gradient",
  name: "kernel",
  call: 2,
  step: 0,
  screen: "map",
  detail: true,
  maps: ["activation", "gradient"],
  statistic: "non_finite",
  transform: "linear",
  mapColour: "level",
  rowScales: true,
  order: "worst",
  curves: ["val_loss", "auc"],
  across: "ranks",
  spacing: "log",
  filter: "dense é",
  thresholds: ["vanishing_gradient.ratio:0.001"],
  why: "non_finite:12",
  follow: true,
  range: "hand",
  low: "-0.5",
  high: "1e-3",
  colours: "cividis",
  sort: "growth",
  at: { example: 2, "input channel": 7 },
  axes: "down=row,across=input channel",
  zoom: { scale: 4.5, x: 0.25, y: 1 },
  cell: [0, 12, 3],
  values: "log",
  panel: "units",
  against: "b & c",
  againstStep: 0,
  compareMap: "run",
  comparePanel: "difference",
  compareUnits: "index",
  counts: "log",
  history: "bands",
  ghost: 0,
  unit: 0,
  unitStatistic: "peak",
  unitOrder: "silence",
};

describe("the address", () => {
  test("brings back everything that was written, whatever the names", () => {
    expect(readViewState(writeViewState("#layerview", everything))).toEqual(everything);
  });

  test("is tested with a value for every field that differs from the fallback", () => {
    for (const [name, field] of Object.entries(FIELDS)) {
      expect(everything[/** @type {keyof typeof everything} */ (name)]).not.toEqual(field.fallback);
    }
  });

  test("leaves out what is as it would be anyway", () => {
    expect(writeViewState("#layerview", readViewState(""))).toBe("#layerview");
  });

  test("keeps what belongs to TensorBoard and other plugins", () => {
    const hash = writeViewState("#layerview&p.other.x=1&p.layerview.step=4&_smoothing=0.5", {
      ...readViewState(""),
      step: 9,
    });
    expect(hash).toBe("#layerview&p.other.x=1&_smoothing=0.5&p.layerview.step=9");
  });

  test("names the tab where it named none", () => {
    expect(writeViewState("", { ...readViewState(""), step: 9 })).toBe(
      "#layerview&p.layerview.step=9",
    );
  });

  test("that somebody damaged is read as far as it goes", () => {
    const state = readViewState(
      "#layerview&p.layerview.step=abc&p.layerview.layer=50%&p.layerview.spacing=x",
    );
    expect(state.step).toBeNull();
    expect(state.layer).toBe("50%");
    expect(state.spacing).toBe("");
  });

  test("tells whether it has anything of ours", () => {
    const own = "p.layerview.run=a%20b&p.layerview.step=1";
    expect(ownPart(`#layerview&${own}&tagFilter=loss`)).toBe(own);
    expect(ownPart("#layerview&tagFilter=loss")).toBe("");
    expect(ownPart("")).toBe("");
  });
});
