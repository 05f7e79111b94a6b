/** What is connected with what: the rail at the left of the lanes. */

import { lanesIn } from "./lanes.js";

/** @typedef {import("./lanes.js").Entry} Entry */

/**
 * A connection of two entries. `level` 0 is a straight line; others bow out to the left, the further the more lie within.
 * @typedef {{from: number, to: number, level: number}} Edge
 */

/** More bows than this would need more room than there is. */
export const MOST_LEVELS = 5;

/**
 * The real connections between what is drawn: through layers that are not, from the nearest that is.
 * @param {Entry[]} entries
 * @param {{inputs: number[]}[]} layers
 * @returns {Edge[]}
 */
export function edgesOf(entries, layers) {
  /** @type {Map<number, number>} */
  const place = new Map();
  entries.forEach(({ part, open }, index) => {
    if (open) return;
    for (const { layer } of lanesIn(part)) if (!place.has(layer)) place.set(layer, index);
  });
  /** @type {Map<number, number[]>} */
  const reached = new Map();
  /** @param {number} layer @returns {number[]} entries that feed it */
  const feeding = (layer) => {
    const known = reached.get(layer);
    if (known) return known;
    // Also ends a circle, as a recurrent graph may have one.
    reached.set(layer, []);
    const found = layers[layer].inputs.flatMap((input) => {
      const at = place.get(input);
      return at === undefined ? feeding(input) : [at];
    });
    reached.set(layer, found);
    return found;
  };
  /** @type {Map<string, {from: number, to: number}>} */
  const pairs = new Map();
  for (const [layer, to] of place) {
    for (const from of feeding(layer)) {
      if (from !== to) {
        const [low, high] = from < to ? [from, to] : [to, from];
        pairs.set(`${low} ${high}`, { from: low, to: high });
      }
    }
  }
  const drawn = entries.map(({ open }) => !open);
  const isNext = (/** @type {number} */ from, /** @type {number} */ to) =>
    !drawn.slice(from + 1, to).includes(true);
  return withLevels([...pairs.values()], isNext);
}

/**
 * Straight lines between neighbours; bows of the others such that those of one level do not overlap.
 * @param {{from: number, to: number}[]} pairs
 * @param {(from: number, to: number) => boolean} isNext
 * @returns {Edge[]} ascending
 */
function withLevels(pairs, isNext) {
  /** @type {Edge[]} */
  const edges = [];
  const bySpan = [...pairs].sort((a, b) => a.to - a.from - (b.to - b.from) || a.from - b.from);
  for (const { from, to } of bySpan) {
    if (isNext(from, to)) {
      edges.push({ from, to, level: 0 });
      continue;
    }
    const taken = edges.filter((other) => other.level && other.from < to && from < other.to);
    let level = 1;
    while (level < MOST_LEVELS && taken.some((other) => other.level === level)) level++;
    edges.push({ from, to, level });
  }
  return edges.sort((a, b) => a.from - b.from || a.to - b.to);
}
