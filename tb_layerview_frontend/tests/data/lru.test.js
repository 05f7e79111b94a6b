import { expect, test } from "vitest";

import { LruCache } from "../../src/data/lru.js";

test("what was not used for longest goes first", () => {
  const cache = new LruCache(10);
  cache.set("a", 1, 4);
  cache.set("b", 2, 4);
  cache.get("a");
  cache.set("c", 3, 4);
  expect(["a", "b", "c"].map((key) => cache.has(key))).toEqual([true, false, true]);
  expect(cache.total).toBe(8);
});

test("a new value takes the place of the old one, size and all", () => {
  const cache = new LruCache(10);
  cache.set("a", 1, 6);
  cache.set("a", 2, 3);
  expect(cache.get("a")).toBe(2);
  expect(cache.total).toBe(3);
});

test("one that is larger than everything is kept until the next comes", () => {
  const cache = new LruCache(10);
  cache.set("a", 1, 50);
  expect(cache.get("a")).toBe(1);
  cache.set("b", 2, 1);
  expect(cache.has("a")).toBe(false);
});
