import { describe, expect, test } from "vitest";

import { keptSteps, nextKept } from "../../src/data/kept_steps.js";

/**
 * What the server says: the last kept step at or before a step, else the first one.
 * @param {number[]} steps
 * @param {number[]} kept
 * @param {number[]} absent steps at which the tensor was not logged
 */
function server(steps, kept, absent = []) {
  const asked = { count: 0 };
  const valuesAt = async (/** @type {number} */ index) => {
    asked.count++;
    if (absent.includes(steps[index])) return null;
    return kept.filter((step) => step <= steps[index]).at(-1) ?? kept[0] ?? null;
  };
  return { asked, valuesAt };
}

const never = new AbortController().signal;
const hundred = Array.from({ length: 100 }, (_, i) => 10 * i);

describe("the next step that keeps values", () => {
  const { valuesAt } = server(hundred, [20, 30, 700]);

  test("is the first one, before it", async () => {
    expect(await nextKept(hundred, 0, valuesAt)).toBe(2);
  });

  test("is a neighbour, or far away", async () => {
    expect(await nextKept(hundred, 2, valuesAt)).toBe(3);
    expect(await nextKept(hundred, 3, valuesAt)).toBe(70);
    expect(await nextKept(hundred, 45, valuesAt)).toBe(70);
  });

  test("is none after the last, and where none are kept", async () => {
    expect(await nextKept(hundred, 70, valuesAt)).toBeNull();
    expect(await nextKept(hundred, 99, valuesAt)).toBeNull();
    expect(await nextKept(hundred, 0, server(hundred, []).valuesAt)).toBeNull();
  });
});

describe("all steps that keep values", () => {
  test("are found, whatever lies between them", async () => {
    for (const kept of [[0], [990], [0, 10, 20, 30, 40, 160, 320, 640, 990], hundred]) {
      expect(await keptSteps(hundred, server(hundred, kept).valuesAt, never)).toEqual(kept);
    }
    expect(await keptSteps([], server([], []).valuesAt, never)).toEqual([]);
  });

  test("are found where the tensor was not logged at others", async () => {
    const absent = [0, 10, 60, 70, 980, 990];
    const { valuesAt } = server(hundred, [30, 50, 500, 970], absent);
    expect(await keptSteps(hundred, valuesAt, never)).toEqual([30, 50, 500, 970]);
  });

  test("of ten thousand logged ones take few questions", async () => {
    const steps = Array.from({ length: 10_000 }, (_, i) => i);
    const kept = Array.from({ length: 20 }, (_, i) => 500 * i);
    const { asked, valuesAt } = server(steps, kept);
    expect(await keptSteps(steps, valuesAt, never)).toEqual(kept);
    expect(asked.count).toBeLessThan(20 * 22);
  });

  test("are looked for no longer when nobody waits for them", async () => {
    const end = new AbortController();
    end.abort();
    await expect(
      keptSteps(hundred, server(hundred, [0, 10]).valuesAt, end.signal),
    ).rejects.toThrow();
  });
});
