/** The rows that are shown of the model's tree. */

import { compileFilter } from "./filter.js";
import { orderTree } from "./order.js";

/** @typedef {import("../data/model_tree.js").Node} Node */
/** @typedef {import("../data/types.js").Tensor} Tensor */
/** @typedef {import("../data/types.js").Kind} Kind */

/**
 * @typedef {object} Row
 * @property {Node} node
 * @property {number} depth 0 at the top
 * @property {boolean} expandable
 * @property {boolean} open
 * @property {number[]} tensors those of the kinds that are shown
 */

/** @param {Node[]} nodes @returns {string[]} */
const classNames = (nodes) =>
  nodes.flatMap(({ className, children }) => [className, ...classNames(children)]);

/**
 * Of each part of the model the tensors that are looked at: of the wanted kinds, and found by the filter.
 * @param {Node[]} roots
 * @param {{tensors: Tensor[], kinds: Kind[], filter: string}} options
 * @returns {{own: Map<string, number[]>, layers: number, of: number}} by node key, without those that have none; how many
 *   layers that is, and how many there are without the filter
 */
export function findTensors(roots, { tensors, kinds, filter }) {
  const takes = compileFilter(filter, classNames(roots));
  const shown = new Set(kinds);
  /** @type {Map<string, number[]>} */
  const own = new Map();
  const [found, all] = [new Set(), new Set()];
  /**
   * @param {Node} node
   * @param {{className: string, kinds: Set<Kind>}} layer in which it lies
   * @returns {number[]}
   */
  const collect = (node, layer) => {
    if (node.layer !== null && node.children.length) {
      layer = { className: node.className, kinds: kindsIn(node) };
    }
    /** @type {number[]} */
    let mine;
    if (node.children.length) mine = node.children.flatMap((child) => collect(child, layer));
    else {
      mine = node.tensors.filter((index) => shown.has(tensors[index].kind));
      if (mine.length) all.add(node.layer);
      if (mine.length && takes && !takes({ path: node.path, name: node.label, ...layer }))
        mine = [];
      if (mine.length) found.add(node.layer);
    }
    if (mine.length) own.set(node.key, mine);
    return mine;
  };
  /** @param {Node} node */
  const kindsIn = (node) =>
    new Set(
      node.tensors
        .map((index) => tensors[index])
        .flatMap(({ layer, kind }) => (layer === node.layer ? [kind] : [])),
    );
  for (const root of roots) collect(root, { className: "", kinds: new Set() });
  return { own, layers: found.size, of: all.size };
}

/**
 * The rows to show: what has a tensor of the wanted kinds and matches the filter, folded as wished.
 * @param {Node[]} roots
 * @param {object} options
 * @param {Tensor[]} options.tensors
 * @param {Kind[]} options.kinds
 * @param {string} options.filter see `compileFilter`; empty shows everything
 * @param {import("./order.js").RankKey | null} [options.order] null: the model's own
 * @param {Map<string, boolean>} options.opened by node key: what a person opened (true) or folded (false)
 * @param {number} options.fit about how many rows to show before anybody folds anything
 * @returns {Row[]}
 */
export function visibleRows(roots, { tensors, kinds, filter, order = null, opened, fit }) {
  const { own } = findTensors(roots, { tensors, kinds, filter });
  const ordered = order ? orderTree(roots, order) : roots;
  const ofKinds = (/** @type {Node} */ node) => own.get(node.key) ?? [];

  /**
   * @param {Node[]} nodes
   * @param {number} depth
   * @param {(node: Node, depth: number) => boolean} isOpen
   * @param {Row[]} rows
   */
  const walk = (nodes, depth, isOpen, rows) => {
    for (const node of nodes) {
      const mine = ofKinds(node);
      if (!mine.length) continue;
      const children = node.children.filter((child) => ofKinds(child).length);
      // One child that holds all there is adds a row and says nothing.
      const only = children.length === 1 && children[0].path === node.path;
      const expandable = children.length > 0 && !only;
      const open = expandable && isOpen(node, depth);
      rows.push({ node, depth, expandable, open, tensors: mine });
      if (open) walk(children, depth + 1, isOpen, rows);
    }
    return rows;
  };

  // With several kinds side by side, rows of a kernel here and an output there would mostly be empty.
  const splits = (/** @type {Node} */ node) =>
    kinds.length > 1 && node.children.every((child) => child.path === node.path);
  // What a filter has found is not hidden in a group again.
  const leads = (/** @type {Node} */ node) => filter.trim() !== "" && node.layer === null;
  let depth = 0;
  for (let previous = -1; ; depth++) {
    const rows = walk(ordered, 0, (node, at) => (at <= depth && !splits(node)) || leads(node), []);
    if (rows.length > fit || rows.length === previous) break;
    previous = rows.length;
  }
  const isOpen = (/** @type {Node} */ node, /** @type {number} */ at) =>
    opened.get(node.key) ?? ((at < depth && !splits(node)) || leads(node));
  return walk(ordered, 0, isOpen, []);
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
