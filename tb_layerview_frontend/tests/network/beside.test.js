import { expect, test } from "vitest";

import { LAST_LEVEL, NOT_A_NUMBER } from "../../src/data/framed.js";
import { besides } from "../../src/network/beside.js";

/** @param {Partial<import("../../src/data/framed.js").Thumbnails>} of */
const pictures = (of) =>
  /** @type {import("../../src/data/framed.js").Thumbnails} */ ({ low: -1, high: 1, ...of });

test("what is compared with has the colours of what it stands beside", () => {
  const own = new Map([[4, pictures({ low: -2, high: 2, diverging: true })]]);
  const levels = new Uint8Array([0, LAST_LEVEL / 2, LAST_LEVEL, NOT_A_NUMBER]);
  const others = new Map([[7, pictures({ low: 0, high: 8, levels })]]);
  const partner = new Int32Array([-1, -1, -1, -1, 7]);
  const found = besides(own, others, partner).get(4);
  // 0 is in the middle of −2 to 2, 4 and 8 are beyond it.
  expect([...(found?.levels ?? [])]).toEqual([125, LAST_LEVEL, LAST_LEVEL, NOT_A_NUMBER]);
  expect(found).toMatchObject({ low: -2, high: 2, diverging: true });
});

test("what has no partner has nothing beside it, and what is the same everywhere lends no range", () => {
  const other = pictures({ levels: new Uint8Array([3]) });
  const own = new Map([
    [0, pictures({ low: 0, high: 0 })],
    [1, pictures({})],
  ]);
  const found = besides(own, new Map([[5, other]]), new Int32Array([5, -1]));
  expect([...found]).toEqual([[0, other]]);
});
