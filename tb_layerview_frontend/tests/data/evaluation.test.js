import { expect, test } from "vitest";

import { evaluationOf } from "../../src/data/evaluation.js";

/** @param {string[]} names */
const runs = (...names) =>
  names.map((run) => ({ run, steps: 1, last_step: 0, tensors: 1, wall_time: 0, notes: 0 }));

test("the run that evaluates another one lies below it, as Keras or Estimators name it", () => {
  expect(evaluationOf(runs("a", "a/evaluate", "b/eval"), "a")?.run).toBe("a/evaluate");
  expect(evaluationOf(runs("a", "a/evaluate", "b/eval"), "b")?.run).toBe("b/eval");
  expect(evaluationOf(runs(".", "eval"), ".")?.run).toBe("eval");
  expect(evaluationOf(runs("a", "a/evaluate"), "a/evaluate")).toBeUndefined();
  expect(evaluationOf(runs("a", "a/predict"), "a")).toBeUndefined();
  expect(evaluationOf(runs("a", "a/eval_holdout"), "a")?.run).toBe("a/eval_holdout");
  expect(evaluationOf(runs("a", "a/eval_holdout", "a/eval"), "a")?.run).toBe("a/eval");
});
