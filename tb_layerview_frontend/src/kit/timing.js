/** Marks in the browser's own record of times, for those who measure the tab: see `benchmarks/ui.py`. */

/** @type {Set<string>} */
const made = new Set();

/**
 * Marks when something first stood on the screen: with the frame after the one in which it was drawn.
 * @param {string} name
 */
export function markFirstPaint(name) {
  if (made.has(name)) return;
  made.add(name);
  requestAnimationFrame(() => requestAnimationFrame(() => performance.mark(`layerview ${name}`)));
}
