import { expect, test } from "vitest";

import {
  evidenceInWords,
  firstCommonStep,
  firstDifference,
  inputsDiffer,
  isTelling,
  pictureOffer,
} from "../../src/compare/same_start.js";
import { makeInfo } from "../make_info.js";

/** @param {Partial<import("../../src/data/types.js").TensorRecord>} changes */
const record = (changes = {}) =>
  /** @type {import("../../src/data/types.js").TensorRecord} */ ({
    mean: 0.1,
    std: 0.2,
    min: -1,
    max: 1,
    rms: 0.25,
    ...changes,
  });

const same = /** @type {const} */ ({ status: "same", step: 0, count: 3 });

test("weights are the same where their statistics are, to the last digit", () => {
  expect(firstDifference(record(), record())).toBeNull();
  expect(firstDifference(record({ mean: NaN }), record({ mean: NaN }))).toBeNull();
  expect(firstDifference(record(), record({ std: 0.2 + 2 ** -54 }))).toBe("std");
});

test("zeros and ones, which every run starts with, tell nothing", () => {
  expect(isTelling(record({ std: 0 }))).toBe(false);
  expect(isTelling(record())).toBe(true);
});

test("the first step that both runs logged is found", () => {
  expect(firstCommonStep([0, 1, 2], [0, 5])).toBe(0);
  expect(firstCommonStep([1, 3, 5, 9], [2, 4, 9])).toBe(9);
  expect(firstCommonStep([1], [2])).toBeNull();
});

/** @param {string} hash @param {boolean} training */
const probed = (hash, training = true) => ({
  ...makeInfo({}),
  probe: { hash, examples: 32, training, source: "" },
});

test("different probes are said, and so is a run without one", () => {
  expect(inputsDiffer(probed("x"), probed("x"))).toBe("");
  expect(inputsDiffer(probed("x"), probed("y"))).toContain("The probes differ");
  expect(inputsDiffer(probed("x"), probed("y", false))).toContain("B in inference mode");
  expect(inputsDiffer(probed("x"), makeInfo({}))).toContain("Run B does not have a fixed probe");
});

test("pictures of two runs need the same start, and of activations the same inputs", () => {
  const base = /** @type {const} */ ({
    sameRun: false,
    kind: "activation",
    sameShape: true,
    inputs: "",
    evidence: same,
  });
  expect(pictureOffer(base)).toMatchObject({ offered: true });
  expect(pictureOffer({ ...base, inputs: "The probes differ." })).toEqual({
    offered: false,
    why: expect.stringContaining("different inputs"),
  });
  expect(pictureOffer({ ...base, kind: "weight", inputs: "The probes differ." }).offered).toBe(
    true,
  );
  const other = /** @type {const} */ ({
    status: "different",
    step: 0,
    title: "conv · weight kernel",
    statistic: "mean",
    a: 1,
    b: 2,
  });
  const refused = pictureOffer({ ...base, evidence: other });
  expect(refused.offered).toBe(false);
  expect(refused.why).toContain(
    "started from different weights (conv · weight kernel: mean 1 in A, 2 in B)",
  );
  expect(pictureOffer({ ...base, evidence: { status: "checking" } }).offered).toBe(false);
});

test("two steps of one run always compare, tensors of other shapes never do", () => {
  const what = /** @type {const} */ ({
    kind: "activation",
    inputs: "The probes differ.",
    evidence: { status: "unknown", why: "no weight is logged in both" },
  });
  expect(pictureOffer({ ...what, sameRun: true, sameShape: true }).offered).toBe(true);
  expect(pictureOffer({ ...what, sameRun: true, sameShape: false }).why).toContain("shapes differ");
  expect(evidenceInWords(what.evidence)).toContain("no weight is logged in both.");
});
