/** Answers of a JSON text and bytes after it: `/thumbnails` and `/ridges` (`docs/http_api.md`). */

/**
 * A lane's pictures. Levels from 0 to `LAST_LEVEL` reach from `low` to `high`.
 * @typedef {object} Thumbnails
 * @property {number} tensor
 * @property {number | null} step whose values they are; null where there are none
 * @property {string} problem why there are none, a sentence
 * @property {"tiles" | "strip" | "rgb"} layout
 * @property {number} count of pictures
 * @property {number} of how many the tensor has
 * @property {number} width
 * @property {number} height
 * @property {number} low
 * @property {number} high
 * @property {boolean} diverging
 * @property {number} non_finite elements of the example that are not finite
 * @property {Uint8Array} levels one picture after the other, each row by row
 */

/** @typedef {{step: number, examples: number, non_finite_examples: number[], lanes: Thumbnails[]}} ThumbnailsAnswer */

/**
 * The distribution of a lane over the steps, a ridge a step.
 * @typedef {object} Ridges
 * @property {number} tensor
 * @property {string} problem why there are none, a sentence
 * @property {number[]} steps
 * @property {number} low
 * @property {number} high
 * @property {number} bins from `low` to `high`
 * @property {number[]} zero the share of elements that are exactly 0, by step
 * @property {number[]} outside the share beyond the ends, by step
 * @property {Uint8Array} heights [steps, bins], 255 is the highest of all
 */

/** @typedef {{generation: string, steps: number, lanes: Ridges[]}} RidgesAnswer */

export const LAST_LEVEL = 250;
/** Levels of what is no number. */
export const [NO_ELEMENT, NEGATIVE_INFINITY, POSITIVE_INFINITY, NOT_A_NUMBER] = [
  251, 252, 253, 255,
];

/**
 * @param {ArrayBuffer} buffer
 * @returns {{json: any, bytes: Uint8Array}}
 */
function split(buffer) {
  const length = buffer.byteLength < 4 ? NaN : new DataView(buffer).getUint32(0, true);
  if (!(4 + length <= buffer.byteLength)) {
    throw new Error(`The answer of ${buffer.byteLength} bytes is cut off.`);
  }
  const json = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  return { json, bytes: new Uint8Array(buffer, 4 + length) };
}

/**
 * @param {Uint8Array} bytes
 * @param {number} offset
 * @param {number} length
 */
function part(bytes, offset, length) {
  if (offset + length > bytes.length) {
    throw new Error(`The answer ends before byte ${offset + length} of its pictures.`);
  }
  return bytes.subarray(offset, offset + length);
}

/**
 * @param {ArrayBuffer} buffer
 * @returns {ThumbnailsAnswer}
 */
export function decodeThumbnails(buffer) {
  const { json, bytes } = split(buffer);
  const lanes = json.lanes.map((/** @type {any} */ lane) => ({
    ...lane,
    levels:
      lane.step === null
        ? new Uint8Array()
        : part(bytes, lane.offset, lane.count * lane.width * lane.height),
  }));
  return { ...json, lanes };
}

/**
 * @param {ArrayBuffer} buffer
 * @returns {RidgesAnswer}
 */
export function decodeRidges(buffer) {
  const { json, bytes } = split(buffer);
  const lanes = json.lanes.map((/** @type {any} */ lane) => ({
    ...lane,
    heights: part(bytes, lane.offset, lane.steps.length * lane.bins),
  }));
  return { ...json, lanes };
}
