import { expect, test } from "vitest";

import { thresholdInWords } from "../../src/findings/rules.js";

test("a threshold is named by what is held against it, in its own rule", () => {
  expect(thresholdInWords("gradient_spike", "least")).toBe("logged steps before");
  expect(thresholdInWords("small_update", "least")).toBe("update ratio below");
  expect(thresholdInWords("silent_units", "patience")).toBe("training steps in a row");
  expect(thresholdInWords("update_spike", "factor")).toBe("times the largest before");
  expect(thresholdInWords("some_rule", "other_one")).toBe("other one");
});
