/** The model as lanes: one a layer, in the order in which they run, and repeated blocks folded into one. */

/** @typedef {import("../data/types.js").RunInfo} RunInfo */
/** @typedef {import("../data/types.js").Tensor} Tensor */

/**
 * One layer as it is drawn, or the attention scores of one.
 * @typedef {object} Lane
 * @property {string} key unique in the model
 * @property {string} name the last part of the layer's path
 * @property {string} path of the layer
 * @property {string} className
 * @property {number} layer
 * @property {number} tensor index of the activation whose pictures are shown; -1 for none
 * @property {boolean} scores whether these are attention scores
 * @property {number} calls how often the layer is called
 * @property {number} gradient index of the gradient of its kernel; -1 for none
 * @property {number} update index of the kernel's update; -1 for none
 * @property {number[]} tensors all of the layer's that are logged
 */

/**
 * Lanes that have the beginning of their paths in common, and follow each other.
 * @typedef {object} Block
 * @property {string} key unique in the model: the common beginning, and where it begins
 * @property {string} name "conv3 × 4"
 * @property {string} path the common beginning
 * @property {(Lane | Block)[]} parts
 * @property {Lane[]} lanes all in it
 */

/** What is drawn, from top to bottom. @typedef {{part: Lane | Block, open: boolean, depth: number, top: number, height: number}} Entry */

/** Where models are larger than this, their blocks are folded. */
const MOST_UNFOLDED = 20;
/** Blocks of which there is more than that of the model are opened, as long as no more than `MOST_OPENED` lanes show. */
const MOST_OF_ALL = 0.5;
const MOST_OPENED = 30;
/** Fewer make no block. */
const LEAST_IN_BLOCK = 3;

/** @param {Lane | Block} part @returns {part is Block} */
export const isBlock = (part) => "parts" in part;

/** @param {Tensor} tensor */
const isScores = ({ axes }) => axes.includes("query") && axes.includes("key");

/**
 * @param {RunInfo} info
 * @returns {Lane[]} layers that log nothing have none
 */
export function lanesOf({ layers, tensors }) {
  const own = layers.map(() => /** @type {number[]} */ ([]));
  tensors.forEach(({ layer }, index) => own[layer].push(index));
  return layers.flatMap(({ path, class_name: className }, layer) => {
    const indices = own[layer];
    if (!indices.length) return [];
    const activations = indices.filter((index) => tensors[index].kind === "activation");
    const calls = new Set(activations.map((index) => tensors[index].call)).size;
    const first = activations.filter((index) => tensors[index].call === 0);
    const scores = first.filter((index) => isScores(tensors[index]));
    const lane = {
      key: path,
      name: path.slice(path.lastIndexOf("/") + 1),
      path,
      className,
      layer,
      tensor: first.find((index) => !scores.includes(index)) ?? -1,
      scores: false,
      calls,
      ...kernelOf(indices, tensors),
      tensors: indices.filter((index) => !scores.includes(index)),
    };
    const beside = scores.map((tensor) => ({
      ...lane,
      key: `${path}\n${tensors[tensor].name}`,
      name: `${lane.name}: attention`,
      tensor,
      scores: true,
      gradient: -1,
      update: -1,
      tensors: [tensor],
    }));
    return lane.tensors.length ? [lane, ...beside] : beside;
  });
}

/**
 * The gradient and the update of a layer's kernel: of the weight with the most axes, the first of several.
 * @param {number[]} indices of the layer's tensors
 * @param {Tensor[]} tensors
 */
function kernelOf(indices, tensors) {
  const [gradient, update] = /** @type {const} */ (["gradient", "update"]).map((kind) => {
    const own = indices.filter(
      (index) => tensors[index].kind === kind && isOfWeight(tensors, index),
    );
    const most = Math.max(...own.map((index) => tensors[index].shape.length));
    return own.find((index) => tensors[index].shape.length === most) ?? -1;
  });
  return { gradient, update };
}

/**
 * Gradients are those of weights, unless they are called as an activation of the layer is: then they are its.
 * @param {Tensor[]} tensors
 * @param {number} index
 */
function isOfWeight(tensors, index) {
  const { layer, name, kind } = tensors[index];
  if (kind === "update") return true;
  return !tensors.some(
    (other) => other.layer === layer && other.kind === "activation" && other.name === name,
  );
}

/**
 * Puts lanes that follow each other and whose paths begin alike into blocks, and these into blocks again.
 * @param {Lane[]} lanes
 * @returns {(Lane | Block)[]}
 */
export function blocksOf(lanes) {
  return grouped(lanes, 0);
}

/**
 * @param {Lane[]} lanes
 * @param {number} depth how many parts of their paths they have in common
 * @returns {(Lane | Block)[]}
 */
function grouped(lanes, depth) {
  /** @type {(Lane | Block)[]} */
  const parts = [];
  for (let from = 0, to; from < lanes.length; from = to) {
    const token = tokensOf(lanes[from].path)[depth];
    to = from + 1;
    while (token && to < lanes.length && tokensOf(lanes[to].path)[depth] === token) to++;
    const run = lanes.slice(from, to);
    if (run.length === 1) {
      parts.push(run[0]);
      continue;
    }
    const inner = grouped(run, depth + 1);
    const [only] = inner;
    if (inner.length === 1 && isBlock(only)) parts.push(blockOf(run, only.parts, depth));
    else if (
      run.length < LEAST_IN_BLOCK ||
      (run.length === inner.length && !isNested(run, depth))
    ) {
      parts.push(...inner);
    } else parts.push(blockOf(run, inner, depth));
  }
  return parts;
}

/**
 * Whether lanes lie in one part of the model, and are not merely called alike: "dense", "dense_1", "dense_2" are not.
 * @param {Lane[]} lanes
 * @param {number} depth
 */
function isNested(lanes, depth) {
  return lanes.every(({ path }) =>
    tokensOf(path)
      .slice(depth + 1)
      .some((part) => !/^\d+$/.test(part)),
  );
}

/**
 * @param {Lane[]} lanes
 * @param {(Lane | Block)[]} parts
 * @param {number} depth
 * @returns {Block}
 */
function blockOf(lanes, parts, depth) {
  const [{ path }] = lanes;
  const end = tokensOf(path)
    .slice(0, depth + 1)
    .reduce((at, token) => path.indexOf(token, at) + token.length, 0);
  const prefix = path.slice(0, end);
  const repeated = parts.filter(isBlock).length;
  const count = repeated > 1 ? ` × ${repeated}` : "";
  return {
    key: `${prefix}\n${lanes[0].layer}`,
    name: `${prefix.slice(prefix.lastIndexOf("/") + 1)}${count}`,
    path: prefix,
    parts,
    lanes,
  };
}

/** @type {Map<string, string[]>} */
const known = new Map();

/**
 * The parts of a path: "conv2_block1/bn" is conv2, block1, bn.
 * @param {string} path
 */
function tokensOf(path) {
  const found = known.get(path) ?? path.split(/[/._]+/);
  known.set(path, found);
  return found;
}

/**
 * The blocks that are open before anybody has opened or folded one: all of a small model; of a large one those that it
 * nearly consists of, and those around what is worst.
 * @param {(Lane | Block)[]} parts
 * @param {number} lanes how many there are
 * @param {number} worst the layer in which something is found; -1 for none
 * @returns {Set<string>} their keys
 */
export function openAtFirst(parts, lanes, worst) {
  /** @type {Set<string>} */
  const open = new Set();
  let shown = parts.length;
  /** @param {(Lane | Block)[]} within */
  const visit = (within) => {
    for (const part of within) {
      if (!isBlock(part)) continue;
      const isAll = part.lanes.length > MOST_OF_ALL * lanes;
      const fits = shown + part.parts.length <= MOST_OPENED;
      const isWorst = part.lanes.some(({ layer }) => layer === worst);
      if (lanes > MOST_UNFOLDED && !(isAll && fits) && !isWorst) continue;
      open.add(part.key);
      shown += part.parts.length;
      visit(part.parts);
    }
  };
  visit(parts);
  return open;
}

/**
 * What is drawn, one below the other. The blocks of a small model have no line of their own.
 * @param {(Lane | Block)[]} parts
 * @param {(block: Block) => boolean} isOpen
 * @param {{lane: number, head: number, heads: boolean}} sizes heights of a lane and of an open block's line, CSS pixels;
 *   whether open blocks have a line
 * @returns {Entry[]}
 */
export function entriesOf(parts, isOpen, { lane, head, heads }) {
  /** @type {Entry[]} */
  const entries = [];
  let top = 0;
  /** @param {Lane | Block} part @param {boolean} open @param {number} depth @param {number} height */
  const add = (part, open, depth, height) => {
    entries.push({ part, open, depth, top, height });
    top += height;
  };
  /** @param {(Lane | Block)[]} within @param {number} depth */
  const visit = (within, depth) => {
    for (const part of within) {
      if (!isBlock(part) || !isOpen(part)) add(part, false, depth, lane);
      else {
        if (heads) add(part, true, depth, head);
        visit(part.parts, heads ? depth + 1 : depth);
      }
    }
  };
  visit(parts, 0);
  return entries;
}

/** Whether open blocks have a line, to be folded again. @param {number} lanes */
export const hasHeads = (lanes) => lanes > MOST_UNFOLDED;

/**
 * The lane whose picture stands for a part: of a block the last one that has any, which is what the block gives.
 * @param {Lane | Block} part
 * @returns {Lane | null}
 */
export function pictured(part) {
  if (!isBlock(part)) return part;
  const able = part.lanes.filter(({ tensor, scores }) => tensor >= 0 && !scores);
  return able.find(({ path }) => path === part.path) ?? able.at(-1) ?? part.lanes.at(-1) ?? null;
}

/**
 * The lanes of a part.
 * @param {Lane | Block} part
 */
export const lanesIn = (part) => (isBlock(part) ? part.lanes : [part]);

/**
 * The entry in which a layer is drawn; -1 for none.
 * @param {Entry[]} entries
 * @param {number} layer
 */
export function entryOfLayer(entries, layer) {
  return entries.findIndex(
    ({ part, open }) => !open && lanesIn(part).some((lane) => lane.layer === layer && !lane.scores),
  );
}
