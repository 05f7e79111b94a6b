import { expect, test } from "vitest";

import { changedPixels, paceOf, someOf } from "../../src/kit/film.js";

test("a frame has what has changed, and over the frames before it is the whole", () => {
  const frames = [
    [3, 1, 4, 1, 5, 9],
    [3, 1, 4, 2, 5, 9],
    [0, 1, 4, 2, 5, 254],
  ].map((colours) => Uint8Array.from(colours));
  const shown = new Uint8Array(6);
  frames.forEach((frame, at) => {
    const changed = changedPixels(frame, frames[at - 1] ?? null);
    changed.forEach((colour, pixel) => {
      if (colour !== 255) shown[pixel] = colour;
    });
    expect(shown).toEqual(frame);
  });
  expect([...changedPixels(frames[1], frames[0])]).toEqual([255, 255, 255, 2, 255, 255]);
});

test("few frames are seen one by one, and many in a quarter of a minute, but no faster than one can see", () => {
  expect([1, 60, 90, 150, 300, 10_000].map(paceOf)).toEqual([6, 6, 6, 10, 20, 25]);
});

test("of many frames the first, the last, and some that lie evenly between them are chosen", () => {
  expect(someOf(3, 12)).toEqual([0, 1, 2]);
  expect(someOf(1, 12)).toEqual([0]);
  expect(someOf(101, 5)).toEqual([0, 25, 50, 75, 100]);
});
