/** What `make_fixtures.py` wrote, with bytes as bytes and numbers as numbers. */

import fixtures from "./fixtures.json";

export { fixtures };

/**
 * @param {string} base64
 * @returns {ArrayBuffer}
 */
export function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)).buffer;
}

/** @param {(number | string)[]} listed */
export function numbersOf(listed) {
  return listed.map(Number);
}

/**
 * @param {number[]} bytes
 * @returns {ArrayBuffer}
 */
export function buffer(bytes) {
  return Uint8Array.from(bytes).buffer;
}

/** @param {[number, number, number][]} bins lower, upper, count */
export function histogram(...bins) {
  return {
    lower: Float64Array.from(bins, ([lower]) => lower),
    upper: Float64Array.from(bins, ([, upper]) => upper),
    counts: Float64Array.from(bins, ([, , count]) => count),
    total: bins.reduce((sum, [, , count]) => sum + count, 0),
  };
}
