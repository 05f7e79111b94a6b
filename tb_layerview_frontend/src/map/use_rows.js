/** The rows of the map: which there are, which is selected, and how a person walks through them. */

import { useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";

import { tensorForRow } from "../data/selection.js";
import { isEditing } from "../kit/hooks.js";
import { findTensors, rowOf, visibleRows } from "./rows.js";
import { useComparedRows } from "./use_comparison.js";
import { useRank } from "./use_layers.js";

/** @typedef {import("../kit/core.js").Core} Core */
/** @typedef {import("../data/run.js").Run} Run */
/** @typedef {import("./rows.js").Row} Row */

/**
 * @param {Core} core
 * @param {Run} run
 * @param {object} shown
 * @param {import("./layer.js").MapLayer[]} shown.layers of the run itself
 * @param {import("./difference_layer.js").DifferenceLayer[] | null} shown.difference
 * @param {number} shown.height of the rows' place, CSS pixels
 */
export function useRows(core, run, { layers, difference, height }) {
  const { view, kinds, tensor } = core;
  const { tensors } = run.info;
  const opened = useSignal(/** @type {Map<string, boolean>} */ (new Map()));
  // Another run has other layers to fold.
  useEffect(() => {
    opened.value = new Map();
  }, [run.name]);
  const filter = view.filter.value;
  const order = useRank(view.order.value, run, layers);
  const matches = useMemo(
    () => findTensors(run.tree, { tensors, kinds: kinds.value, filter }),
    [run.tree, tensors, kinds.value.join(), filter],
  );
  const ownRows = useMemo(
    () =>
      visibleRows(run.tree, {
        tensors,
        kinds: kinds.value,
        filter,
        order,
        opened: opened.value,
        fit: Math.max(12, Math.floor(height / 18)),
      }),
    [run.tree, tensors, kinds.value.join(), filter, order, opened.value, height],
  );
  const rows = useComparedRows(view, run, ownRows, difference);
  const rowHeight = Math.min(48, Math.max(20, Math.floor(height / Math.max(1, rows.length))));
  const selected = useMemo(() => rowOf(rows, tensor.value), [rows, tensor.value]);

  /** @param {number} index of a row */
  const select = (index) => {
    const found = rows[index] ? tensorOf(rows[index], core, run) : -1;
    if (found >= 0) core.selectTensor(found);
  };
  /** @param {Row} row */
  const toggle = (row) => {
    opened.value = new Map(opened.value).set(row.node.key, !row.open);
  };
  useRowKeys(rows, selected, select, toggle);
  /** Whether the worst rows stand first. */
  const ranked = order !== null && rows === ownRows;
  return { rows, rowHeight, matches, ranked, selected, select, toggle };
}

/**
 * The tensor that a row stands for when it is chosen; -1 for none.
 * @param {Row} row
 * @param {Core} core
 * @param {Run} run
 */
function tensorOf({ node, tensors: candidates }, { kinds, tensor }, { info }) {
  const { layers, tensors } = info;
  const isOwn = (/** @type {number} */ at) => layers[tensors[at].layer].path === node.path;
  const kind = tensors[tensor.value]?.kind;
  const among = kinds.value.includes(kind) ? [kind, ...kinds.value] : kinds.value;
  for (const wanted of among) {
    // Attention is a layer of its own, and its projections lie within it: what it logs itself comes first.
    const inner = tensorForRow(tensors, candidates, wanted, tensor.value);
    const own = tensorForRow(tensors, candidates.filter(isOwn), wanted, tensor.value);
    const found = own >= 0 ? own : inner;
    if (found >= 0) return found;
  }
  return -1;
}

/**
 * Whatever has selected it, its row is seen.
 * @param {import("preact").RefObject<HTMLElement>} place that scrolls
 * @param {{selected: number, rowHeight: number}} rows
 * @param {number} height of the rows' place; 0 until it is laid out
 * @param {unknown[]} inputs what selects a row
 */
export function useRowInView(place, { selected, rowHeight }, height, inputs) {
  const isLaidOut = height > 0;
  useEffect(() => {
    const element = place.current;
    if (!element || selected < 0 || !isLaidOut) return;
    const top = selected * rowHeight;
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top + rowHeight > element.scrollTop + height) {
      element.scrollTop = top + rowHeight - height;
    }
  }, [...inputs, isLaidOut]);
}

/**
 * Up and down walk through the rows, Enter folds.
 * @param {Row[]} rows
 * @param {number} selected
 * @param {(index: number) => void} select
 * @param {(row: Row) => void} toggle
 */
function useRowKeys(rows, selected, select, toggle) {
  const latest = useRef({ rows, selected, select, toggle });
  latest.current = { rows, selected, select, toggle };
  useEffect(() => {
    const end = new AbortController();
    document.addEventListener(
      "keydown",
      (event) => {
        const own = latest.current;
        if (event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey) return;
        if (isEditing(event.target)) return;
        if (event.key === "ArrowDown") own.select(Math.min(own.rows.length - 1, own.selected + 1));
        else if (event.key === "ArrowUp") own.select(Math.max(0, own.selected - 1));
        else if (event.key === "Enter" && isIn(event.target, ".lv-labels")) {
          const row = own.rows[own.selected];
          if (row?.expandable) own.toggle(row);
        } else return;
        event.preventDefault();
      },
      { signal: end.signal },
    );
    return () => end.abort();
  }, []);
}

/**
 * @param {EventTarget | null} target
 * @param {string} selector
 */
function isIn(target, selector) {
  return target instanceof Element && target.closest(selector) !== null;
}
