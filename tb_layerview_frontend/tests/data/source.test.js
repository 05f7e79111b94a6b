import { expect, test } from "vitest";

import { sourceOf, wordsWithSource } from "../../src/data/source.js";

const source = (/** @type {string} */ file, /** @type {number} */ line, is_class = false) => ({
  file,
  line,
  is_class,
});
const info = /** @type {any} */ ({
  layers: [
    { sources: [source("net.py", 8), source("train/nets/unet.py", 41)] },
    { sources: [source("bert/modeling_bert.py", 210, true)] },
    {},
  ],
  tensors: [
    { layer: 0, call: 0 },
    { layer: 0, call: 1 },
    { layer: 0, call: 2 },
    { layer: 1, call: 0 },
    { layer: 2, call: 0 },
  ],
});

test("each call of a layer has its own place, and only the end of a long path is shown", () => {
  expect(sourceOf(info, 0)).toEqual({ text: "net.py:8", title: "Called in net.py, line 8" });
  expect(sourceOf(info, 1)).toEqual({
    text: "…/nets/unet.py:41",
    title: "Called in train/nets/unet.py, line 41",
  });
  expect(sourceOf(info, 2)).toBeNull();
});

test("what is no call is said to be the class's place", () => {
  expect(sourceOf(info, 3)).toEqual({
    text: "defined in bert/modeling_bert.py:210",
    title: "Its class is defined in bert/modeling_bert.py, line 210",
  });
});

test("a finding says behind the layer's name where that is called", () => {
  const named = /** @type {any} */ ({
    layers: [{ path: "a/$&", sources: [source("net.py", 8)] }],
    tensors: [{ layer: 0, call: 0 }],
  });
  const of = (/** @type {string} */ words) => wordsWithSource(named, { tensor: 0, words });
  expect(of("activation 'output' of layer 'a/$&' holds 3 NaN")).toBe(
    "activation 'output' of layer 'a/$&' (net.py:8) holds 3 NaN",
  );
  expect(of("which layer did it first cannot be seen from here")).not.toContain("net.py");
  expect(wordsWithSource(named, { tensor: null, words: "the loss" })).toBe("the loss");
});

test("an older log knows no place, and a finding of no tensor has none", () => {
  for (const tensor of [4, 9, -1, null, undefined]) expect(sourceOf(info, tensor)).toBeNull();
});
