import { describe, expect, test } from "vitest";

import { decodeRidges, decodeThumbnails } from "../../src/data/framed.js";
import { seenOf } from "../../src/network/example_strip.js";
import { classesOf, predictions } from "../../src/network/predictions.js";
import { inheritedFrom, verdictOf } from "../../src/network/verdict.js";

/**
 * @param {object} json
 * @param {number[]} bytes
 */
function framed(json, bytes) {
  const text = new TextEncoder().encode(JSON.stringify(json));
  const buffer = new Uint8Array(4 + text.length + bytes.length);
  new DataView(buffer.buffer).setUint32(0, text.length, true);
  buffer.set(text, 4);
  buffer.set(bytes, 4 + text.length);
  return buffer.buffer;
}

describe("framed answers", () => {
  const lane = { tensor: 3, step: 8, count: 2, width: 2, height: 1, offset: 1 };

  test("pictures are cut out of the bytes after the text", () => {
    const { lanes } = decodeThumbnails(
      framed({ lanes: [lane, { ...lane, step: null }] }, [9, 1, 2, 3, 4]),
    );
    expect([...lanes[0].levels]).toEqual([1, 2, 3, 4]);
    expect(lanes[1].levels).toHaveLength(0);
  });

  test("ridges too", () => {
    const json = { lanes: [{ tensor: 1, steps: [0, 5], bins: 2, offset: 0 }] };
    expect([...decodeRidges(framed(json, [1, 2, 3, 4])).lanes[0].heights]).toEqual([1, 2, 3, 4]);
  });

  test("an answer that is cut off is said to be", () => {
    expect(() => decodeThumbnails(framed({ lanes: [lane] }, [1, 2]))).toThrow("ends before byte 5");
    expect(() => decodeThumbnails(new ArrayBuffer(2))).toThrow("cut off");
    expect(() => decodeThumbnails(framed({}, []).slice(0, 5))).toThrow("cut off");
  });
});

describe("what the model says", () => {
  const axes = [
    { start: 2, step: 1, count: 2, size: 8 },
    { start: 0, step: 1, count: 3, size: 3 },
  ];
  /** @param {number[]} data */
  const of = (data) => ({
    axes,
    data: Float32Array.from(data),
    precision: /** @type {const} */ ("float16"),
  });

  test("the largest score is the class, by the example's own index", () => {
    const found = predictions(of([0.1, 0.7, 0.2, 5, -1, 2]), ["example", "unit"]);
    expect(found[2]?.unit).toBe(1);
    expect(found[3]).toEqual({ unit: 0, score: 5 });
    expect(found[0]).toBeUndefined();
  });

  test("a target is a class as a whole number each, or as one of them", () => {
    const target = (/** @type {number[]} */ shape, /** @type {any[]} */ values, name = "") => ({
      ...{ name, dtype: "float32", shape, values },
    });
    expect(classesOf([target([3], [2, 0, 1])], "scores", 3)).toEqual([2, 0, 1]);
    expect(classesOf([target([3, 1], [2, 0, 1])], "scores", 3)).toEqual([2, 0, 1]);
    expect(classesOf([target([2, 3], [0, 0, 1, 1, 0, 0])], "scores", 3)).toEqual([2, 0]);
    // Of several outputs each has its own.
    const both = [target([2], [0.5, 2], "size"), target([2], [1, 0], "kind")];
    expect(classesOf(both, "kind", 2)).toEqual([1, 0]);
    expect(classesOf(both, "other", 2)).toEqual([]);
    expect(classesOf([], "scores", 3)).toEqual([]);
  });

  test("what is no class is not taken for one", () => {
    const of2 = (/** @type {number[]} */ shape, /** @type {any[]} */ values) =>
      classesOf([{ name: "", dtype: "float32", shape, values }], "scores", 3);
    expect(of2([2], [0.5, 1])).toBeNull();
    expect(of2([2], [3, 1])).toBeNull();
    expect(of2([2], [-1, 1])).toBeNull();
    expect(of2([1], ["NaN"])).toBeNull();
    expect(of2([1, 3], [0.2, 0.8, 0])).toBeNull();
    expect(of2([1, 3], [0, 1, 1])).toBeNull();
    expect(of2([1, 3], [0, 0, 0])).toBeNull();
    expect(of2([1, 2], [1, 0])).toBeNull();
    expect(of2([1, 3, 3], [0, 1, 0, 0, 0, 0, 0, 0, 0])).toBeNull();
  });

  test("of NaN it says nothing", () => {
    expect(predictions(of([NaN, 0.7, 0.2, 5, -1, 2]), ["example", "unit"])[2]).toBeNull();
  });

  test("a part of the classes is no classes", () => {
    const part = of([1, 2, 3, 4, 5, 6]);
    part.axes = [axes[0], { ...axes[1], size: 100 }];
    expect(predictions(part, ["example", "unit"])).toEqual([]);
  });
});

describe("how a lane is doing", () => {
  const lane = /** @type {any} */ ({ tensors: [4, 5] });
  const finding = (/** @type {any} */ more) =>
    /** @type {any} */ ({ severity: "warning", first: 10, last: 20, ...more });
  const found = new Map([[5, [finding({}), finding({ severity: "error", first: 15, last: 15 })]]]);
  const healthAt = (/** @type {number} */ step) =>
    verdictOf(lane, step, found, (tensor) => tensor === 4 && step < 30).health;

  test("what holds at the step counts, an error before a warning", () => {
    expect([9, 10, 15, 16, 20, 21].map(healthAt)).toEqual([
      "healthy",
      "warning",
      "error",
      "warning",
      "warning",
      "healthy",
    ]);
  });

  test("who only passes on inherits, over several layers, and who takes two does not", () => {
    const layers = [
      ["Conv2D", []],
      ["MaxPooling2D", [0]],
      ["Flatten", [1]],
      ["Dense", [2]],
      ["Dropout", [3]],
      ["Flatten", [0, 3]],
      ["PoolingByHand", [0]],
    ].map(([class_name, inputs]) => ({ path: "", class_name, inputs }));
    const kinds = ["activation", "activation", "activation", "weight", "activation"];
    const tensors = kinds.map((kind, i) => ({ kind, layer: [0, 1, 2, 3, 3][i] }));
    const inherited = inheritedFrom(/** @type {any} */ ({ layers, tensors }));
    expect(inherited).toEqual([[], [0], [1, 0], [], [4], [], []]);
    const flatten = /** @type {any} */ ({ layer: 2, tensors: [2] });
    const conv = new Map([[0, [finding({})]]]);
    const verdict = (/** @type {number} */ step) =>
      verdictOf(flatten, step, conv, () => true, inherited);
    expect(verdict(15)).toEqual({ health: "warning", isLed: false, findings: [finding({})] });
    expect(verdict(9).health).toBe("healthy");
    expect(verdictOf(flatten, 15, conv, () => true).health).toBe("healthy");
  });

  test("what only follows from another is told from a cause, of its own or of what it passes on", () => {
    const [cause, led] = [finding({ first: 5 }), finding({ severity: "error" })];
    const of = new Map([
      [4, [led]],
      [5, [cause]],
    ]);
    const isLed = (/** @type {number[]} */ tensors, /** @type {number} */ step) =>
      verdictOf(/** @type {any} */ ({ tensors }), step, of, () => true, [], new Set([cause])).isLed;
    expect([isLed([4], 15), isLed([5], 15), isLed([4, 5], 15)]).toEqual([true, false, false]);
    expect([isLed([4], 9), isLed([4], 21)]).toEqual([false, false]);
    // A layer that passes on what another one began is not where it began.
    const passing = /** @type {any} */ ({ layer: 0, tensors: [7] });
    const verdict = verdictOf(passing, 15, of, () => true, [[5]], new Set([cause]));
    expect([verdict.health, verdict.isLed]).toEqual(["warning", true]);
  });

  test("of what is not logged nothing is said", () => {
    expect(healthAt(30)).toBe("unknown");
  });
});

test("the chosen example is always in sight, and of a batch the first that is to blame", () => {
  const none = new Set(/** @type {number[]} */ ([]));
  expect(seenOf({ count: 8, width: 400, chosen: 0, bad: none })).toEqual({ from: 0, fitting: 8 });
  const narrow = { count: 32, width: 400 };
  const { fitting } = seenOf({ ...narrow, chosen: 0, bad: none });
  expect(fitting).toBe(7);
  for (const chosen of [0, 5, 6, 20, 31]) {
    const { from } = seenOf({ ...narrow, chosen, bad: none });
    expect(chosen).toBeGreaterThanOrEqual(from);
    expect(chosen).toBeLessThan(from + fitting);
    expect(from + fitting).toBeLessThanOrEqual(32);
  }
  expect(seenOf({ ...narrow, chosen: -1, bad: new Set([30, 25]) }).from).toBe(20);
  expect(seenOf({ count: 4, width: 148, chosen: 2, bad: none })).toEqual({ from: 2, fitting: 1 });
  expect(seenOf({ ...narrow, chosen: -1, bad: none }).from).toBe(0);
});
