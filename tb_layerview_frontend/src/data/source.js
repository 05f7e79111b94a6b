/** Where in somebody's code a layer is called. */

/** @typedef {import("./types.js").RunInfo} RunInfo */

/** So much of a path is shown; all of it is in the tooltip. */
const MOST_PARTS = 2;

/**
 * What is found, and behind the name of the layer where that is called: what a step broke is seen at a tensor, and names none.
 * @param {RunInfo} info
 * @param {Pick<import("./types.js").Finding, "tensor" | "words">} finding
 */
export function wordsWithSource(info, { tensor, words }) {
  const source = sourceOf(info, tensor);
  if (!source || tensor === null) return words;
  const name = `layer '${info.layers[info.tensors[tensor].layer].path}'`;
  return words.replace(name, () => `${name} (${source.text})`);
}

/**
 * Where the call of a tensor's layer stands.
 * @param {RunInfo} info
 * @param {number | null | undefined} tensor index
 * @returns {{text: string, title: string} | null} null where that is not known
 */
export function sourceOf({ layers, tensors }, tensor) {
  const of = tensors[tensor ?? -1];
  const source = of && layers[of.layer].sources?.[of.call];
  if (!source) return null;
  const parts = source.file.split("/");
  const short = parts.length > MOST_PARTS ? `…/${parts.slice(-MOST_PARTS).join("/")}` : source.file;
  const place = `${source.file}, line ${source.line}`;
  return source.is_class
    ? { text: `defined in ${short}:${source.line}`, title: `Its class is defined in ${place}` }
    : { text: `${short}:${source.line}`, title: `Called in ${place}` };
}
