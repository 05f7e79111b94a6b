import { describe, expect, test } from "vitest";

import { classesOf, classOf, compileFilter, globMatcher, withClass } from "../../src/map/filter.js";

/** @param {string} path @param {string} className @param {string} name @param {import("../../src/data/types.js").Kind[]} kinds */
const subject = (path, className = "", name = "output", kinds = ["activation"]) => ({
  path,
  className,
  name,
  kinds: new Set(kinds),
});

const subjects = [
  subject("encoder/block_0/conv", "Conv2D", "kernel", ["activation", "weight", "gradient"]),
  subject("encoder/block_0/conv", "Conv2D", "bias", ["activation", "weight", "gradient"]),
  subject("encoder/norm", "BatchNormalization"),
  subject("decoder/conv_t", "Conv2DTranspose"),
  subject("head", "Dense"),
];

/** @param {string} text */
const found = (text) => {
  const filter = compileFilter(
    text,
    subjects.map(({ className }) => className),
  );
  return subjects.flatMap((one, i) => (!filter || filter(one) ? [i] : []));
};

describe("a pattern", () => {
  // What Python's fnmatch.fnmatchcase says.
  test.each([
    ["encoder/*", "encoder/block_0/conv", true],
    ["encoder/*", "my/encoder/x", false],
    ["*conv*", "encoder/block_0/conv", true],
    ["block_?", "block_1", true],
    ["block_?", "block_10", false],
    ["block_[01]", "block_1", true],
    ["block_[!01]", "block_1", false],
    ["block_[!01]", "block_2", true],
    ["[]]x", "]x", true],
    ["a[b", "a[b", true],
    ["a.b", "axb", false],
    ["a+(b)", "a+(b)", true],
    ["[z-a]", "m", false],
    ["Conv*", "conv", false],
  ])("%s and %s: %s", (glob, text, matches) => {
    expect(globMatcher(glob, "")(text)).toBe(matches);
  });
});

describe("a filter", () => {
  test("of nothing finds all", () => {
    expect(compileFilter("  ")).toBeNull();
    expect(compileFilter("-")).toBeNull();
  });

  test("finds plain words anywhere, whatever their case", () => {
    expect(found("CONV")).toEqual([0, 1, 3]);
    expect(found("batch")).toEqual([2]);
    expect(found("bias")).toEqual([1]);
  });

  test("takes patterns as Select does: the whole path or the whole class", () => {
    expect(found("encoder/*")).toEqual([0, 1, 2]);
    expect(found("*Norm*")).toEqual([2]);
    expect(found("conv*")).toEqual([]);
    expect(found("Conv2D*")).toEqual([0, 1, 3]);
  });

  test("wants all its terms, and one of those that commas join", () => {
    expect(found("encoder conv kernel")).toEqual([0]);
    expect(found("norm,head")).toEqual([2, 4]);
    expect(found("encoder/*,head -bias")).toEqual([0, 2, 4]);
  });

  test("finds a class alone, and layers that have a kind", () => {
    expect(found("class:conv2d")).toEqual([0, 1]);
    expect(found("class:NORM")).toEqual([2]);
    expect(found("class:conv2")).toEqual([0, 1, 3]);
    expect(found("class:trans,dens")).toEqual([3, 4]);
    expect(found("-class:conv")).toEqual([2, 4]);
    expect(found("class:conv*")).toEqual([0, 1, 3]);
    expect(found("class:?onv2D")).toEqual([0, 1]);
    expect(found("class:*nv2")).toEqual([]);
    expect(found("class:Conv2D*")).toEqual([0, 1, 3]);
    expect(found("kind:gradient")).toEqual([0, 1]);
    expect(found("-kind:weight")).toEqual([2, 3, 4]);
    // What is half typed hides nothing.
    expect(found("class:")).toEqual([0, 1, 2, 3, 4]);
  });

  test("finds those of thousands of layers that all its terms match", () => {
    const many = Array.from({ length: 4000 }, (_, i) =>
      subject(`block_${i % 40}/layer_${i}`, "Dense"),
    );
    const filter = compileFilter("block_1*/layer_*7 -*9?7 class:Dense");
    const expected = many.filter(
      ({ path }) => /^block_1/.test(path) && path.endsWith("7") && path.at(-3) !== "9",
    );
    expect(expected.length).toBeGreaterThan(10);
    expect(many.filter((one) => filter?.(one))).toEqual(expected);
  });
});

test("the class menu replaces the class in what is typed", () => {
  expect(withClass("conv class:Dense", "Conv2D")).toBe("conv class:Conv2D");
  expect(withClass("conv class:Dense", "")).toBe("conv");
  expect(classOf("conv class:Dense")).toBe("Dense");
  expect(classOf("conv")).toBe("");
});

test("classes are counted, the most frequent first", () => {
  const layers = ["Dense", "ReLU", "", "ReLU"].map((class_name, i) => ({
    path: `${i}`,
    class_name,
    inputs: [],
  }));
  expect(classesOf(layers)).toEqual([
    { name: "ReLU", count: 2 },
    { name: "Dense", count: 1 },
  ]);
});
