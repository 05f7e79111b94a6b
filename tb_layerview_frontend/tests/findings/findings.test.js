import { describe, expect, test } from "vitest";

import {
  byTensor,
  causes,
  causesByRule,
  changeOf,
  effectOf,
  findingSteps,
  firstBreak,
  heads,
  keyOf,
  nextFinding,
  partsOfKey,
  withThreshold,
  worstFinding,
} from "../../src/findings/findings.js";
import { marksOf, spansOf } from "../../src/findings/marks.js";
import { causesInWords, changeInWords, numbersOf } from "../../src/findings/words.js";

/**
 * @param {number} first
 * @param {number | null} tensor
 * @param {number | null} [follows]
 */
function finding(first, tensor, follows = null) {
  return /** @type {import("../../src/data/types.js").Finding} */ (
    /** @type {unknown} */ ({ first, tensor, follows })
  );
}

describe("findings in the order of their causes", () => {
  const found = [finding(20, 2), finding(20, 1, 0), finding(10, null), finding(30, 2)];

  test("are walked through step by step, and begin again after the last", () => {
    expect(findingSteps(found)).toEqual([10, 20, 30]);
    expect(nextFinding(found, 0)).toBe(found[2]);
    expect(nextFinding(found, 10)).toBe(found[0]);
    expect(nextFinding(found, 30)).toBe(found[2]);
    expect(nextFinding(found, 20, -1)).toBe(found[2]);
    expect(nextFinding(found, 10, -1)).toBe(found[3]);
    expect(nextFinding([], 0)).toBeNull();
  });

  test("are causes where they follow from nothing", () => {
    expect(causes(found)).toEqual([found[0], found[2], found[3]]);
  });

  test("have those in front of which a person has to know, errors that a warning led to among them", () => {
    const of = (
      /** @type {"error" | "warning"} */ severity,
      /** @type {number | null} */ follows,
      /** @type {number | null} */ led_to = null,
    ) => ({
      ...finding(1, 1, follows),
      severity,
      led_to,
    });
    const all = [
      of("warning", null, 2),
      of("warning", 0),
      of("error", 0),
      of("error", 0),
      of("error", null),
      of("error", 4),
    ];
    expect(effectOf(all, all[0])).toBe(all[2]);
    expect(all.slice(1).map((other) => effectOf(all, other))).toEqual(Array(5).fill(undefined));
    expect(effectOf([], undefined)).toBeUndefined();
    expect(heads(all)).toEqual([all[0], all[2], all[4]]);
  });

  test("are known by tensor", () => {
    expect(byTensor(found)).toEqual(
      new Map([
        [2, [found[0], found[3]]],
        [1, [found[1]]],
      ]),
    );
  });
});

/** @param {Partial<import("../../src/data/types.js").Finding>} given */
const whole = (given) =>
  /** @type {import("../../src/data/types.js").Finding} */ ({
    rule: "silent_layer",
    severity: "error",
    tensor: 0,
    first: 0,
    before: null,
    last: 0,
    measured: { rms: 0 },
    since: "",
    words: "",
    follows: null,
    led_to: null,
    ...given,
  });
const [error, warning] = [whole({ first: 20 }), whole({ severity: "warning", first: 10 })];

test("an error is worse than a warning that came before it", () => {
  expect(worstFinding([warning, error])).toBe(error);
  expect(worstFinding([warning, whole({ severity: "warning", first: 5 })]).first).toBe(5);
});

test("causes of one rule stand together, each with what follows from it", () => {
  const found = [
    whole({ tensor: 4 }),
    whole({ tensor: 1, follows: 0 }),
    whole({ tensor: 2, rule: "zero_gradient" }),
    whole({ tensor: 3, follows: 2 }),
    whole({ tensor: 5 }),
  ];
  expect(causesByRule(found)).toEqual([
    [
      { finding: found[0], following: [found[1]] },
      { finding: found[4], following: [] },
    ],
    [{ finding: found[2], following: [found[3]] }],
  ]);
  expect(causesInWords(found)).toBe("5 errors, of 3 causes");
  expect(causesInWords([error, warning])).toBe("1 error and 1 warning, none explained by another");
});

test("a finding's key names its rule and its tensor, or the scalar that it is of", () => {
  expect(partsOfKey(keyOf(whole({ tensor: 12 })))).toEqual({
    rule: "silent_layer",
    tensor: 12,
    scalar: null,
  });
  const loss = whole({ rule: "non_finite", tensor: null, measured: { "val: loss": NaN } });
  expect(partsOfKey(keyOf(loss))).toEqual({
    rule: "non_finite",
    tensor: null,
    scalar: "val: loss",
  });
});

test("what moved thresholds change is counted by rule and tensor, whatever the steps", () => {
  const usual = [whole({ tensor: 1 }), whole({ tensor: 2 })];
  const moved = [whole({ tensor: 2, first: 9 }), whole({ tensor: 3 }), whole({ tensor: 4 })];
  expect(changeOf(usual, moved)).toEqual({ more: 2, fewer: 1 });
  expect(changeInWords({ more: 2, fewer: 1 })).toMatch(/^2 more, 1 fewer than/);
  expect(changeInWords({ more: 0, fewer: 3 })).toMatch(/^3 fewer than/);
  expect(changeInWords({ more: 0, fewer: 0 })).toMatch(/change nothing/);
});

test("numbers are called as in the other views, and the threshold is named as one", () => {
  const measured = { non_finite: 0.384375, nan: 0, neg_inf: 123, size: 320 };
  const rule = /** @type {import("../../src/data/types.js").Rule} */ ({
    name: "silent_units",
    labels: /** @type {Record<string, string>} */ ({ patience: "steps" }),
  });
  expect(numbersOf(whole({ measured }), rule)).toEqual([
    { label: "NaN, inf share", text: "38 %" },
    { label: "−inf", text: "123" },
    { label: "elements", text: "320" },
  ]);
  rule.labels = { share: "share of units", patience: "steps" };
  expect(numbersOf(whole({ measured: { silent: 0.953, share: 0.9 } }), rule)).toEqual([
    { label: "silent units", text: "95 %" },
    { label: "threshold: share of units", text: "90 %" },
  ]);
});

describe("marks", () => {
  test("of a row reach from the first to the last step, and an error hides a warning", () => {
    const steps = [0, 10, 20, 30, 40, 50];
    const found = [
      whole({ severity: "warning", first: 10, last: 40 }),
      whole({ first: 30, last: 30 }),
    ];
    expect(spansOf(found, steps)).toEqual([
      { from: 1, to: 2, severity: "warning" },
      { from: 3, to: 3, severity: "error" },
      { from: 4, to: 4, severity: "warning" },
    ]);
    expect(spansOf([], steps)).toEqual([]);
  });

  test("that lie too near are one, the worst of them", () => {
    const at = (/** @type {number} */ first, severity = "warning") =>
      whole({ first, severity: /** @type {"error" | "warning"} */ (severity) });
    const found = [at(20), at(3, "error"), at(0), at(9)];
    expect(marksOf(found, Number, 8)).toEqual([
      { at: 0, severity: "error" },
      { at: 9, severity: "warning" },
      { at: 20, severity: "warning" },
    ]);
  });
});

test("a threshold is moved, moved again and put back", () => {
  const moved = withThreshold(["a.b:1"], "c.d", "2");
  expect(moved).toEqual(["a.b:1", "c.d:2"]);
  expect(withThreshold(moved, "a.b", "0.5")).toEqual(["c.d:2", "a.b:0.5"]);
  expect(withThreshold(moved, "c.d", "")).toEqual(["a.b:1"]);
});

test("numbers break where the first error of NaN or inf is, whatever other errors come before", () => {
  const found = /** @type {import("../../src/findings/findings.js").Finding[]} */ (
    /** @type {unknown} */ ([
      { rule: "silent_layer", severity: "error", first: 3 },
      { rule: "non_finite", severity: "error", first: 20 },
      { rule: "non_finite", severity: "error", first: 12 },
    ])
  );
  expect(firstBreak(found)).toBe(12);
  expect(firstBreak(found.slice(0, 1))).toBeNull();
});
