/** How the pictures of examples lie beside each other. */

/** From one to the next, CSS pixels. */
export const APART = 42;
/** How wide the button to those out of sight is, CSS pixels. */
const MORE = 68;

/**
 * Which examples there is room for.
 * @param {object} of
 * @param {number} of.count of all
 * @param {number} of.width CSS pixels
 * @param {number} of.chosen which is always among them; -1 for none, then the first bad one is
 * @param {Set<number>} of.bad
 * @returns {{from: number, fitting: number}}
 */
export function seenOf({ count, width, chosen, bad }) {
  const fit = (/** @type {number} */ room) => Math.max(0, Math.floor(room / APART));
  const fitting = count <= fit(width) ? count : fit(width - MORE);
  const first = bad.size ? Math.min(...bad) : 0;
  const seen = chosen >= 0 ? chosen : first < count ? first : 0;
  // One more is seen after the chosen one, where there is room for it.
  const from = Math.min(count - fitting, seen, seen - fitting + 2);
  return { from: Math.max(0, from), fitting };
}
