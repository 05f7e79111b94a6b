/** The model as a tree of paths. */

/** @typedef {import("./types.js").Layer} Layer */
/** @typedef {import("./types.js").Tensor} Tensor */

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
