/** The model as a tree of paths, and the rows that are shown of it. */

/** @typedef {import("./api.js").Layer} Layer */
/** @typedef {import("./api.js").Tensor} Tensor */
/** @typedef {import("./api.js").Kind} Kind */

/**
 * A part of the model: a group of layers, a layer, or one tensor name of a layer (its `kernel`: the weight and its gradient).
 * @typedef {object} Node
 * @property {string} key unique in the tree
 * @property {string} label
 * @property {string} path of the layer or group
 * @property {number | null} layer index of the layer; null for a group that is none itself
 * @property {string} className
 * @property {Node[]} children
 * @property {number[]} tensors indices of all tensors at and below it
 */

/**
 * @typedef {object} Row
 * @property {Node} node
 * @property {number} depth 0 at the top
 * @property {boolean} expandable
 * @property {boolean} open
 * @property {number[]} tensors those of the kinds that are shown
 */

/**
 * Nests layers by their paths, in the order in which they run.
 * @param {Layer[]} layers
 * @param {Tensor[]} tensors
 * @returns {Node[]}
 */
export function buildTree(layers, tensors) {
  /** @type {Map<string, Node>} */
  const byPath = new Map();
  /** @type {Node[]} */
  const roots = [];
  /** @param {string} path @returns {Node} */
  const ensure = (path) => {
    const known = byPath.get(path);
    if (known) return known;
    const slash = path.lastIndexOf("/");
    const node = {
      key: path,
      label: path.slice(slash + 1),
      path,
      layer: null,
      className: "",
      children: [],
      tensors: [],
    };
    byPath.set(path, node);
    if (slash > 0) ensure(path.slice(0, slash)).children.push(node);
    else roots.push(node);
    return node;
  };
  layers.forEach((layer, index) => {
    const node = ensure(layer.path);
    node.layer = index;
    node.className = layer.class_name;
  });
  /** @type {Map<string, Node>} */
  const named = new Map();
  tensors.forEach((tensor, index) => {
    const { path } = layers[tensor.layer];
    const layer = ensure(path);
    const key = `${path}\n${tensor.name}\n${tensor.call}`;
    let leaf = named.get(key);
    if (!leaf) {
      leaf = {
        key,
        label: tensor.call ? `${tensor.name}, call ${tensor.call}` : tensor.name,
        path,
        layer: tensor.layer,
        className: "",
        children: [],
        tensors: [],
      };
      named.set(key, leaf);
      layer.children.push(leaf);
    }
    leaf.tensors.push(index);
  });
  const collect = (/** @type {Node} */ node) => {
    for (const child of node.children) {
      collect(child);
      node.tensors.push(...child.tensors);
    }
  };
  roots.forEach(collect);
  return roots.map(joinChain);
}

/**
 * A group that holds nothing but one other part makes one row with it: "mlp/dense".
 * @param {Node} node
 * @returns {Node}
 */
function joinChain(node) {
  const children = node.children.map(joinChain);
  const [only] = children;
  const isChain = node.layer === null && children.length === 1 && only.path !== node.path;
  return isChain ? { ...only, label: `${node.label}/${only.label}` } : { ...node, children };
}

/**
 * The rows to show: what has a tensor of the wanted kinds and matches the filter, folded as wished.
 * @param {Node[]} roots
 * @param {object} options
 * @param {Tensor[]} options.tensors
 * @param {Kind[]} options.kinds
 * @param {string} options.filter words that a path or class name must all contain; empty shows everything
 * @param {Map<string, boolean>} options.opened by node key: what a person opened (true) or folded (false)
 * @param {number} options.fit about how many rows to show before anybody folds anything
 * @returns {Row[]}
 */
export function visibleRows(roots, { tensors, kinds, filter, opened, fit }) {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = new Set(kinds);
  /** @param {Node} node */
  const ofKinds = (node) => node.tensors.filter((index) => shown.has(tensors[index].kind));
  /** @param {Node} node */
  const matches = (node) => {
    const text = `${node.path} ${node.className} ${node.label}`.toLowerCase();
    return words.every((word) => text.includes(word));
  };
  /** @param {Node} node @returns {boolean} */
  const anyMatch = (node) => matches(node) || node.children.some(anyMatch);

  /**
   * @param {Node[]} nodes
   * @param {number} depth
   * @param {(node: Node, depth: number) => boolean} isOpen
   * @param {boolean} matched whether an ancestor matches, so that all below it is shown
   * @param {Row[]} rows
   */
  const walk = (nodes, depth, isOpen, matched, rows) => {
    for (const node of nodes) {
      const here = matched || !words.length || matches(node);
      if (!here && !node.children.some(anyMatch)) continue;
      const own = ofKinds(node);
      if (!own.length) continue;
      const children = node.children.filter((child) => ofKinds(child).length);
      // One child that holds all there is adds a row and says nothing.
      const only = children.length === 1 && children[0].path === node.path;
      const expandable = children.length > 0 && !only;
      const open = expandable && (isOpen(node, depth) || (words.length > 0 && !here));
      rows.push({ node, depth, expandable, open, tensors: own });
      if (open) walk(children, depth + 1, isOpen, here, rows);
    }
    return rows;
  };

  // With several kinds side by side, rows of a kernel here and an output there would mostly be empty.
  const splits = (/** @type {Node} */ node) =>
    kinds.length > 1 && node.children.every((child) => child.path === node.path);
  let depth = 0;
  for (let previous = -1; ; depth++) {
    const rows = walk(roots, 0, (node, at) => at <= depth && !splits(node), false, []);
    if (rows.length > fit || rows.length === previous) break;
    previous = rows.length;
  }
  const isOpen = (/** @type {Node} */ node, /** @type {number} */ at) =>
    opened.get(node.key) ?? (at < depth && !splits(node));
  return walk(roots, 0, isOpen, false, []);
}

/**
 * The row that stands for a tensor: the deepest one at or below which it lies; -1 if none is shown. That may be a row of its
 * layer, where the tensor itself is of a kind that is not shown.
 * @param {Row[]} rows
 * @param {number} tensor
 */
export function rowOf(rows, tensor) {
  let found = -1;
  rows.forEach(({ node, depth }, index) => {
    if (node.tensors.includes(tensor) && (found < 0 || depth > rows[found].depth)) found = index;
  });
  return found;
}
