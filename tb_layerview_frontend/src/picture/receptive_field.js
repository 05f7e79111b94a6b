/** Which part of the network's input an element of a feature map sees, by the windows of the layers between. */

/** @typedef {import("../data/types.js").Layer} Layer */
/** @typedef {import("../data/types.js").Tensor} Tensor */
/** Indices of rows or columns. @typedef {Set<number>} Places */
/** Of an activation: how many rows and columns, and along which axes. @typedef {{sizes: number[], at: number[]}} Space */

/**
 * The rows and the columns that are seen, ascending; `layer` is the input's, `whole` whether all of it is seen.
 * @typedef {{layer: number, rows: number[], columns: number[], whole: boolean}} Patch
 */

/**
 * Classes of layers that make each place of their output of the same place of their inputs, though not by element-wise
 * operations, which the log would tell; that batch normalization looks at all of the batch is left aside, as is usual.
 * Layer normalization is not here: the log does not say over which axes.
 */
const IN_PLACE = /^((sync)?batchnorm(alization|2d)?|normalization|concatenate)$/i;

/** How many places are looked at before it gives up: a log may come from anybody. */
const MOST_PLACES = 1e6;

/**
 * What of the network's input an element of an activation sees. Nothing is known behind a layer of which the log does not
 * say that only element-wise operations lie between it and the layers that it reads: a model may compute anything between
 * its layers, and may have some that are not logged.
 * @param {Pick<import("../data/types.js").RunInfo, "layers" | "tensors">} info
 * @param {number} tensor index of the activation
 * @param {number[]} index of the element in the whole tensor
 * @returns {Patch | null} null where it is not known, and where nothing but padding is seen
 */
export function receptiveField({ layers, tensors }, tensor, index) {
  const { layer: first, kind } = tensors[tensor];
  const spaces = spacesOf(tensors);
  const space = spaces.get(first);
  if (!space || kind !== "activation" || !layers[first].inputs.length) return null;
  /** @type {Map<number, Places[]>} by layer, which rows and columns of its output are seen */
  const seen = new Map([[first, space.at.map((axis) => new Set([index[axis]]))]]);
  /** @type {Patch | null} */
  let patch = null;
  let looked = 0;
  for (let layer = first; layer >= 0; layer--) {
    const places = seen.get(layer);
    const own = spaces.get(layer);
    if (!places || !own) continue;
    const { class_name, inputs, window } = layers[layer];
    if (!inputs.length) {
      // Of several inputs it is not clear which one is meant.
      if (patch || class_name !== "Input") return null;
      const [rows, columns] = places.map((one) => [...one].sort((a, b) => a - b));
      patch = { layer, rows, columns, whole: places.every((one, i) => one.size === own.sizes[i]) };
    }
    for (const input of inputs) {
      const from = spaces.get(input);
      if (!from || input >= layer) return null;
      places.forEach(({ size }, axis) => (looked += size * (window?.size[axis] ?? 1)));
      if (looked > MOST_PLACES) return null;
      const read = places.map((one, axis) =>
        readBy(layers[layer], axis, one, from.sizes[axis], own.sizes[axis]),
      );
      const [rows, columns] = read;
      if (!rows || !columns) return null;
      const [known, more] = seen.get(input) ?? [[], []];
      if (rows.size && columns.size)
        seen.set(input, [new Set([...known, ...rows]), new Set([...more, ...columns])]);
    }
  }
  return patch;
}

/**
 * Which places of a layer that it reads are seen by some of its output, along an axis of space.
 * @param {Layer} layer
 * @param {number} axis 0: rows, 1: columns
 * @param {Places} places of the output
 * @param {number} from how many that layer's output has
 * @param {number} to how many the output has
 * @returns {Places | null} null where it is not known
 */
function readBy({ class_name, window, direct, in_place }, axis, places, from, to) {
  if (in_place || (direct && !window && IN_PLACE.test(class_name)))
    return from === to ? places : null;
  if (!direct || !window) return null;
  const { size, strides, dilation, padding_before, padding_after, transposed } = window;
  if (padding_before.length !== 2) return null;
  const [count, stride, apart] = [size[axis], strides[axis], dilation[axis]];
  const [before, after] = [padding_before[axis], padding_after[axis]];
  const extent = (count - 1) * apart + 1;
  // Where the sizes are others, something that is not logged lies between.
  const expected = transposed
    ? (from - 1) * stride + extent - before - after
    : Math.floor((from + before + after - extent) / stride) + 1;
  if (expected !== to) return null;
  /** @type {Places} */
  const read = new Set();
  for (const place of places) {
    for (let k = 0; k < count; k++) {
      const at = transposed
        ? (place + before - k * apart) / stride
        : place * stride - before + k * apart;
      if (at >= 0 && at < from) {
        if (Number.isInteger(at)) read.add(at);
      } else if (window.padding_mode) return null;
    }
  }
  return read;
}

/**
 * The spaces of the layers that give a single activation with rows and columns: of what is called several times, or gives
 * several things, it is not known which one another layer reads.
 * @param {Tensor[]} tensors
 */
function spacesOf(tensors) {
  /** @type {Map<number, Space | null>} */
  const spaces = new Map();
  for (const { layer, kind, call, shape, axes } of tensors) {
    if (kind !== "activation") continue;
    const at = [axes.indexOf("row"), axes.indexOf("column")];
    const sizes = at.map((axis) => shape[axis]);
    const isKnown = !call && shape.length === 4 && sizes.every((n) => n > 0);
    spaces.set(layer, isKnown && !spaces.has(layer) ? { sizes, at } : null);
  }
  return spaces;
}

/**
 * It in words, for the line below a picture.
 * @param {Patch} patch
 */
export function describePatch(patch) {
  const [rows, columns] = [patch.rows, patch.columns].map((places, i) => {
    const name = i ? "column" : "row";
    return places[1] ? `${name}s ${places[0]}–${places.at(-1)}` : `${name} ${places[0]}`;
  });
  return `sees ${patch.whole ? "all" : `${rows}, ${columns}`} of the input`;
}

/**
 * Where a patch lies in the part of the input that is kept, as lengths of CSS.
 * @param {Patch} patch
 * @param {{start: number, step: number, count: number}[]} axes of the kept input: example, row, column
 */
export function patchStyle({ rows, columns }, axes) {
  const [[top, height], [left, width]] = [rows, columns].map((places, i) => {
    const { start, step, count } = axes[i + 1];
    // Of every second row that is kept, one is as high as two.
    const [from, to] = [places[0], places[places.length - 1] + 1].map((at) =>
      Math.min(100, (100 * (at - start)) / step / count),
    );
    return [`${from}%`, `${to - from}%`];
  });
  return { top, height, left, width };
}
