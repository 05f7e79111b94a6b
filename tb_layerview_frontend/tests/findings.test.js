import { describe, expect, test } from "vitest";

import { byTensor, causes, findingSteps, nextFinding, withThreshold } from "../src/findings.js";

/**
 * @param {number} first
 * @param {number | null} tensor
 * @param {number | null} [follows]
 */
function finding(first, tensor, follows = null) {
  return /** @type {import("../src/api.js").Finding} */ (
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

  test("mark each tensor with its first", () => {
    expect(byTensor(found)).toEqual(
      new Map([
        [2, found[0]],
        [1, found[1]],
      ]),
    );
  });
});

test("a threshold is moved, moved again and put back", () => {
  const moved = withThreshold(["a.b:1"], "c.d", "2");
  expect(moved).toEqual(["a.b:1", "c.d:2"]);
  expect(withThreshold(moved, "a.b", "0.5")).toEqual(["c.d:2", "a.b:0.5"]);
  expect(withThreshold(moved, "c.d", "")).toEqual(["a.b:1"]);
});
