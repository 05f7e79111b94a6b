import { expect, test } from "vitest";

import {
  isTrainAndEvaluation,
  matchSteps,
  matchTensors,
  partnersOf,
  sameShape,
  shownStepIndex,
} from "../../src/data/matching.js";
import { makeInfo } from "../make_info.js";

test("tensors match by layer path, kind, name and call, wherever they stand in their runs", () => {
  const a = makeInfo({
    conv: [
      ["activation", "output", [4, 8]],
      ["activation", "output", [4, 8], 1],
      ["weight", "kernel", [3, 8]],
    ],
    head: [["activation", "output", [4, 2]]],
  });
  const b = makeInfo({
    stem: [["activation", "output", [4, 8]]],
    conv: [
      ["weight", "kernel", [3, 16]],
      ["activation", "output", [4, 8]],
    ],
  });
  const matching = matchTensors(a, b);
  expect([...matching.partner]).toEqual([2, -1, 1, -1]);
  expect(matching.pairs).toEqual([0, 2]);
});

test("what has no partner is named: a layer as a whole, or its tensors one by one", () => {
  const a = makeInfo({
    conv: [
      ["activation", "output", [4, 8]],
      ["gradient", "kernel", [3, 8]],
    ],
    head: [
      ["activation", "output", [4, 2]],
      ["weight", "kernel", [8, 2]],
    ],
  });
  const b = makeInfo({
    conv: [["activation", "output", [4, 8]]],
    stem: [["weight", "kernel", [1]]],
  });
  expect(matchTensors(a, b)).toMatchObject({
    onlyA: ["conv · gradient kernel", "head"],
    onlyB: ["stem"],
  });
});

test("pairs of other shapes are named; a size that varies fits any", () => {
  const a = makeInfo({
    x: [["weight", "kernel", [3, 8]]],
    y: [["activation", "output", [-1, 8]]],
  });
  const b = makeInfo({
    x: [["weight", "kernel", [3, 16]]],
    y: [["activation", "output", [32, 8]]],
  });
  expect(matchTensors(a, b).reshaped).toEqual(["x · weight kernel"]);
  expect(sameShape([2, 3], [2, 3, 1])).toBe(false);
});

test("each step is compared with the latest of B up to it", () => {
  expect([...matchSteps([0, 1, 2, 4, 8], [0, 2, 3, 8])]).toEqual([0, 0, 1, 2, 3]);
  expect([...matchSteps([0, 10, 20], [5, 15, 25])]).toEqual([-1, 0, 1]);
});

test("steps after B's end compare with none, but for the one that first sees it", () => {
  expect([...matchSteps([0, 10, 20, 30, 40], [0, 10, 25])]).toEqual([0, 1, 1, 2, -1]);
  expect([...matchSteps([0, 10, 20], [0, 10])]).toEqual([0, 1, -1]);
  expect([...matchSteps([0, 10], [])]).toEqual([-1, -1]);
});

test("beside a step stands B's latest one up to it, else its first", () => {
  expect(shownStepIndex([5, 15, 25], 20)).toBe(1);
  expect(shownStepIndex([5, 15, 25], 3)).toBe(0);
  expect(shownStepIndex([5, 15, 25], 900)).toBe(2);
  expect(shownStepIndex([], 3)).toBe(-1);
});

test("a training and its evaluations are a pair, in either direction", () => {
  expect(isTrainAndEvaluation("x/a", "x/a/evaluate")).toBe(true);
  expect(isTrainAndEvaluation("x/a/eval", "x/a")).toBe(true);
  expect(isTrainAndEvaluation("x/a", "x/a/eval_holdout")).toBe(true);
  expect(isTrainAndEvaluation(".", "eval")).toBe(true);
  expect(isTrainAndEvaluation("x/a", "x/b/evaluate")).toBe(false);
  expect(isTrainAndEvaluation("x/a", "x/a/evaluated")).toBe(false);
  expect(isTrainAndEvaluation("x/a", "x/a/second")).toBe(false);
});

test("partners are suggested before all other runs", () => {
  const runs = ["a", "a/evaluate", "b", "b/evaluate"].map((run) => ({
    run,
    steps: 1,
    last_step: 0,
    tensors: 1,
    wall_time: 0,
    notes: 0,
  }));
  expect(partnersOf(runs, "a")).toEqual({ suggested: ["a/evaluate"], others: ["b", "b/evaluate"] });
});
