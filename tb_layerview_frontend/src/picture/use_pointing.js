/** Pointing at a picture's elements, and moving and enlarging it, with pointer and keys. */

import { useLayoutEffect } from "preact/hooks";

import { pointIn } from "../kit/hooks.js";
import { inShownSlices, offsetOf, trueIndex } from "./plan.js";
import {
  cellOfOffset,
  cellRect,
  clampTransform,
  enlarged,
  isInside,
  middleCell,
  offsetOfCell,
  unitRects,
  viewOf,
} from "./screen.js";

/** @typedef {import("./screen.js").View} View */

const ZOOM_STEP = 1.6;

/** @type {Record<string, [number, number]>} */
const DIRECTIONS = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};
/** @type {Record<string, number>} */
const FACTORS = { "+": ZOOM_STEP, "=": ZOOM_STEP, "-": 1 / ZOOM_STEP, "−": 1 / ZOOM_STEP };

/**
 * @param {import("./use_picture.js").PictureModel} picture
 * @param {import("./use_screen.js").Screen} screen
 * @param {object} pointed
 * @param {number[]} pointed.cell index of the element that is pointed out, of the whole tensor; empty: none
 * @param {(index: number[]) => void} pointed.onCell
 * @param {number[] | null} pointed.hover index of the element under the pointer
 * @param {(view: View | null) => void} pointed.onView
 */
export function usePointing(picture, screen, { cell, onCell, hover, onView }) {
  const { values, chosen, base } = picture;
  const { space, grid, transform, width, height, projection } = screen;

  /** The element of an index, in the slices that are shown. @param {number[] | null} index */
  const cellOf = (index) => {
    if (!index || index.length !== values.axes.length) return null;
    const offset = offsetOf(values.axes, inShownSlices(index, values.axes, chosen));
    return offset < 0 ? null : cellOfOffset(grid, offset - base);
  };
  /** @param {number} column @param {number} row @returns {number[] | null} */
  const indexAt = (column, row) => {
    const offset = offsetOfCell(grid, column, row);
    return offset < 0 ? null : trueIndex(values.axes, base + offset);
  };
  const cursor = cellOf(cell.length ? cell : null);

  /** Around the cursor, if there is one. @param {number} factor */
  const zoomBy = (factor) => {
    const rect = cursor && cellRect(grid, transform, cursor.column, cursor.row);
    const point = rect
      ? { x: rect.x + rect.width / 2, y: rect.y + rect.height / 2 }
      : middleCell(projection);
    onView(viewOf(grid, enlarged(grid, transform, factor, point, space), space));
  };
  /** Moves what is enlarged. @param {import("./screen.js").Rect} rect */
  const centre = (rect) => {
    if (transform.scale <= 1) return;
    const moved = {
      scale: transform.scale,
      x: transform.x + space.width / 2 - rect.x - rect.width / 2,
      y: transform.y + space.height / 2 - rect.y - rect.height / 2,
    };
    onView(viewOf(grid, clampTransform(grid, moved, space), space));
  };
  /** @param {number} column @param {number} row */
  const moveTo = (column, row) => {
    const index = indexAt(column, row);
    if (!index) return;
    onCell(index);
    const rect = cellRect(grid, transform, column, row);
    if (!isInside(rect, width, height)) centre(rect);
  };

  /** @param {KeyboardEvent} event */
  const onKey = (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const direction = DIRECTIONS[event.key];
    const factor = FACTORS[event.key];
    if (direction) {
      if (!cursor) {
        const first = projection.columnAt.find((column) => column >= 0);
        moveTo(first ?? 0, projection.rowAt.find((row) => row >= 0) ?? 0);
      } else moveTo(cursor.column + direction[0], cursor.row + direction[1]);
    } else if (factor) zoomBy(factor);
    else if (event.key === "0") onView(null);
    else if (event.key === "Escape") {
      if (cell.length) onCell([]);
      else if (event.currentTarget instanceof HTMLElement) event.currentTarget.blur();
    } else return;
    // With the picture in focus, arrows walk through its elements, not through steps and layers.
    event.preventDefault();
    event.stopPropagation();
  };

  /** The index of the element under the pointer. @param {PointerEvent | MouseEvent} event */
  const locate = (event) => {
    const { x, y } = pointIn(event);
    const column = projection.columnAt[Math.floor(x * space.ratio)] ?? -1;
    return indexAt(column, projection.rowAt[Math.floor(y * space.ratio)] ?? -1);
  };
  return {
    cursor,
    pointed: cellOf(hover),
    centre,
    onKey,
    locate,
    enlarge: () => zoomBy(ZOOM_STEP),
    reduce: () => zoomBy(1 / ZOOM_STEP),
  };
}

/**
 * Moves what is enlarged to the unit that is chosen, once for each choice.
 * @param {object} of
 * @param {number | null} of.unit that is chosen, an index of the tensor's last axis
 * @param {number} of.kept its place among the kept ones, -1 for none
 * @param {number} of.units how many are kept
 * @param {{current: number | null} | undefined} of.brought the one that was chosen when it was last brought into view
 * @param {import("./use_screen.js").Screen} screen
 * @param {(rect: import("./screen.js").Rect) => void} centre
 */
export function useUnitInView({ unit, kept, units, brought }, screen, centre) {
  const { grid, transform, width, height, visible } = screen;
  useLayoutEffect(() => {
    if (!brought || !visible || brought.current === unit) return;
    brought.current = unit;
    if (kept < 0) return;
    const rects = unitRects(grid, transform, units, kept);
    if (rects.length && !rects.some((rect) => isInside(rect, width, height))) centre(rects[0]);
  }, [unit, visible]);
}
