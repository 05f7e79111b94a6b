/** One example of what goes into a model, as a person would look at it. */

import { formatValue } from "../kit/format.js";
import { stridesOf } from "./plan.js";
import { finiteRange } from "./range.js";

/**
 * @typedef {{kind: "picture", rows: number, columns: number, colours: Uint32Array | null, values: Float32Array, words: string}
 *   | {kind: "numbers", texts: string[], more: number, words: string}
 *   | {kind: "missing", words: string}} Example
 */

const MOST_NUMBERS = 64;

/**
 * An example as a picture in grey (`values`, 0 to 1) or in colour, where it has rows and columns; else as its numbers.
 * @param {import("../data/payload.js").Values} values of the model's input
 * @param {string[]} names of the axes, `example` first
 * @param {number} example index in the whole tensor
 * @returns {Example}
 */
export function exampleIn({ axes, data }, names, example) {
  const at = (example - axes[0].start) / axes[0].step;
  if (!Number.isInteger(at) || at < 0 || at >= axes[0].count) {
    return { kind: "missing", words: `Of the input only ${axes[0].count} examples are kept.` };
  }
  const counts = axes.map(({ count }) => count);
  const [perExample] = stridesOf(counts);
  const own = data.subarray(at * perExample, (at + 1) * perExample);
  const [row, column] = [names.indexOf("row"), names.indexOf("column")];
  if (row !== 1 || column !== 2 || axes.length > 4) {
    const texts = Array.from(own.subarray(0, MOST_NUMBERS), formatValue);
    const what = names.slice(1).join(" × ");
    return {
      kind: "numbers",
      texts,
      more: own.length - texts.length,
      words: `Input of example ${example}${what && ` by ${what}`}`,
    };
  }
  const channels = counts[3] ?? 1;
  // All examples share a scale: a dark picture stays dark.
  const [low, high] = finiteRange(data);
  const unit = (/** @type {number} */ value) =>
    Number.isFinite(value) && high > low ? (value - low) / (high - low) : 0;
  const pixels = counts[1] * counts[2];
  const inColour = channels === 3;
  const words = `Input of example ${example}, ${counts[1]} × ${counts[2]}${
    inColour || channels === 1 ? "" : `, channel 0 of ${channels}`
  }, from ${formatValue(low)} to ${formatValue(high)}`;
  const values = Float32Array.from({ length: pixels }, (_, i) => unit(own[i * channels]));
  const colours = inColour
    ? Uint32Array.from({ length: pixels }, (_, i) => {
        const [red, green, blue] = [0, 1, 2].map((c) => Math.round(255 * unit(own[3 * i + c])));
        return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
      })
    : null;
  return { kind: "picture", rows: counts[1], columns: counts[2], colours, values, words };
}
