/** What is compared with, beside what is shown. */

import { LAST_LEVEL } from "../data/framed.js";

/** @typedef {import("../data/framed.js").Thumbnails} Thumbnails */
/** @typedef {import("./pictures_data.js").Shown} Shown */

/**
 * The pictures of what is compared with, in the colours of those that they stand beside.
 * @param {Map<number, Thumbnails>} own by tensor
 * @param {Map<number, Thumbnails>} others by tensor of what is compared with
 * @param {Int32Array} partner by tensor, the one that it is compared with; -1 for none
 * @returns {Map<number, Thumbnails>} by tensor of what is shown
 */
export function besides(own, others, partner) {
  const found = new Map();
  for (const [tensor, of] of own) {
    const other = others.get(partner[tensor]);
    if (other) found.set(tensor, inColoursOf(of, other));
  }
  return found;
}

/**
 * @param {Thumbnails} of whose range is taken
 * @param {Thumbnails} other
 * @returns {Thumbnails}
 */
function inColoursOf({ low, high, diverging }, other) {
  // What is the same everywhere has no range to lend.
  if (!(high > low)) return other;
  const places = LAST_LEVEL / (high - low);
  const level = (/** @type {number} */ from) =>
    places * (other.low + (from / LAST_LEVEL) * (other.high - other.low) - low);
  const levels = other.levels.map((from) =>
    from > LAST_LEVEL ? from : Math.round(Math.min(LAST_LEVEL, Math.max(0, level(from)))),
  );
  return { ...other, low, high, diverging, levels };
}
