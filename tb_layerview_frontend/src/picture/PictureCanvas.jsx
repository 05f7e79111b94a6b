import { useLayoutEffect, useMemo, useRef } from "preact/hooks";

import { cssVariable, pointIn, useCanvas, useDevicePixels, useSize } from "../kit/hooks.js";
import { theme } from "../kit/host.js";
import { drawPicture } from "./draw.js";
import { layOut } from "./layout.js";
import { cellShape, offsetOf, trueIndex } from "./plan.js";
import {
  cellOfOffset,
  cellRect,
  clampTransform,
  enlarged,
  isInside,
  largestZoom,
  middleCell,
  offsetOfCell,
  project,
  transformOf,
  unitRects,
  viewOf,
} from "./screen.js";
import { useZoom } from "./use_zoom.js";

/** @typedef {import("./screen.js").View} View */

const ZOOM_STEP = 1.6;

/**
 * A picture that can be enlarged and moved, and walked through cell by cell.
 * @param {object} props
 * @param {import("./use_picture.js").PictureModel} props.picture
 * @param {View | null} props.view
 * @param {(view: View | null) => void} props.onView
 * @param {number[]} props.cell index of the element that is pointed out, of the whole tensor; empty: none
 * @param {(index: number[]) => void} props.onCell
 * @param {number[] | null} props.hover index of the element under the pointer
 * @param {(index: number[] | null) => void} props.onHover
 * @param {number | null} [props.unit] that is chosen, an index of the tensor's last axis: it is outlined
 * @param {{current: number | null}} [props.broughtUnit] the one that was chosen when it was last brought into view
 * @param {string} props.label
 * @param {{current: HTMLCanvasElement | null}} props.canvasRef
 */
export function PictureCanvas({
  picture,
  view,
  onView,
  cell,
  onCell,
  hover,
  onHover,
  unit = null,
  broughtUnit,
  label,
  canvasRef,
}) {
  const [place, size] = /** @type {ReturnType<typeof useSize<HTMLDivElement>>} */ (useSize());
  const { values, names, plan, chosen, counts, orders, base, levels, palette, marks } = picture;
  const space = useDevicePixels(size);
  const { ratio } = space;
  const grid = useMemo(
    () => layOut(plan, counts, orders.byAxis, space, cellShape(values.axes, names, plan)),
    [plan, counts, orders.byAxis, space, names],
  );
  const transform = useMemo(() => transformOf(grid, view, space), [grid, view, space]);
  const width = Math.min(space.width, Math.ceil(grid.width * transform.scale));
  const height = Math.min(space.height, Math.ceil(grid.height * (grid.bars ? 1 : transform.scale)));
  const projection = useMemo(
    () => project(grid, transform, width, height),
    [grid, transform, width, height],
  );
  const visible = size.width > 0 && size.height > 0 && values.data.length > 0;
  const marked = marks.nan + marks.posInf + marks.negInf > 0;
  const canvas = useCanvas(
    visible ? width / ratio : 0,
    visible ? height / ratio : 0,
    (context) =>
      drawPicture(context, {
        ...picture,
        grid,
        transform,
        projection,
        marked,
        ratio,
        nameOf: (panel) => panelNames(picture, panel),
      }),
    [projection, values.data, levels, base, palette, marked, theme.value],
  );
  useLayoutEffect(() => {
    canvasRef.current = canvas.current;
  });

  /** The element of an index, in the slices that are shown. @param {number[] | null} index */
  const cellOf = (index) => {
    if (!index || index.length !== values.axes.length) return null;
    const here = index.map((at, axis) =>
      axis in chosen ? values.axes[axis].start + values.axes[axis].step * chosen[axis] : at,
    );
    const offset = offsetOf(values.axes, here);
    return offset < 0 ? null : cellOfOffset(grid, offset - base);
  };
  /** @param {number} column @param {number} row @returns {number[] | null} */
  const indexAt = (column, row) => {
    const offset = offsetOfCell(grid, column, row);
    return offset < 0 ? null : trueIndex(values.axes, base + offset);
  };
  const cursor = cellOf(cell.length ? cell : null);
  const pointed = cellOf(hover);
  const chosenUnit = keptIndex(values.axes.at(-1), unit);
  const overlay = useCanvas(
    visible ? width / ratio : 0,
    visible ? height / ratio : 0,
    (context) => {
      // An element smaller than the frame around it is still seen.
      const outline = (
        /** @type {import("./screen.js").Rect} */ { x, y, width: wide, height: high },
        /** @type {string} */ colour,
        thickness = 1.5,
      ) => {
        for (const [style, line] of /** @type {const} */ ([
          [cssVariable("--lv-surface"), thickness + 2],
          [cssVariable(colour), thickness],
        ])) {
          context.strokeStyle = style;
          context.lineWidth = line * ratio;
          context.strokeRect(x, y, Math.max(2, wide), Math.max(2, high));
        }
      };
      if (chosenUnit >= 0) {
        const units = values.axes[values.axes.length - 1].count;
        for (const rect of unitRects(grid, transform, units, chosenUnit))
          outline(rect, "--lv-accent", 2);
      }
      for (const [at, colour] of /** @type {const} */ ([
        [cursor, "--lv-accent"],
        [pointed, "--lv-now"],
      ])) {
        if (at) outline(cellRect(grid, transform, at.column, at.row), colour);
      }
    },
    [
      projection,
      chosenUnit,
      cursor?.column,
      cursor?.row,
      pointed?.column,
      pointed?.row,
      theme.value,
    ],
  );

  const latest = useRef({ grid, space, transform, onView });
  latest.current = { grid, space, transform, onView };
  useZoom(place, latest);

  /** Around the cursor, if there is one. @param {number} factor */
  const enlarge = (factor) => {
    const rect = cursor && cellRect(grid, transform, cursor.column, cursor.row);
    const point = rect
      ? { x: rect.x + rect.width / 2, y: rect.y + rect.height / 2 }
      : middleCell(projection);
    onView(viewOf(grid, enlarged(grid, transform, factor, point, space), space));
  };

  /** @param {number} column @param {number} row */
  const moveTo = (column, row) => {
    const index = indexAt(column, row);
    if (!index) return;
    onCell(index);
    const rect = cellRect(grid, transform, column, row);
    if (!isInside(rect, width, height)) centre(rect);
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

  useLayoutEffect(() => {
    if (!broughtUnit || !visible || broughtUnit.current === unit) return;
    broughtUnit.current = unit;
    if (chosenUnit < 0) return;
    const rects = unitRects(grid, transform, counts[counts.length - 1], chosenUnit);
    if (rects.length && !rects.some((rect) => isInside(rect, width, height))) centre(rects[0]);
  }, [unit, visible]);

  /** @param {KeyboardEvent} event */
  const onKey = (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const direction = {
      ArrowLeft: [-1, 0],
      ArrowRight: [1, 0],
      ArrowUp: [0, -1],
      ArrowDown: [0, 1],
    }[event.key];
    const factor = { "+": ZOOM_STEP, "=": ZOOM_STEP, "-": 1 / ZOOM_STEP, "−": 1 / ZOOM_STEP }[
      event.key
    ];
    if (direction) {
      if (!cursor) {
        const first = projection.columnAt.find((column) => column >= 0);
        moveTo(first ?? 0, projection.rowAt.find((row) => row >= 0) ?? 0);
      } else moveTo(cursor.column + direction[0], cursor.row + direction[1]);
    } else if (factor) enlarge(factor);
    else if (event.key === "0") onView(null);
    else if (event.key === "Escape") {
      if (cell.length) onCell([]);
      else if (event.currentTarget instanceof HTMLElement) event.currentTarget.blur();
    } else return;
    // With the picture in focus, arrows walk through its elements, not through steps and layers.
    event.preventDefault();
    event.stopPropagation();
  };

  /** @param {PointerEvent | MouseEvent} event */
  const locate = (event) => {
    const { x, y } = pointIn(event);
    const column = projection.columnAt[Math.floor(x * ratio)] ?? -1;
    return indexAt(column, projection.rowAt[Math.floor(y * ratio)] ?? -1);
  };
  const largest = transform.scale >= largestZoom(grid, ratio) * 0.999;
  return (
    <>
      <div class="lv-picture-place" ref={place}>
        <div
          class="lv-picture-canvas"
          data-testid="picture"
          role="application"
          aria-roledescription="picture of a tensor"
          tabIndex={0}
          aria-label={`${label} Arrow keys walk through its elements, plus and minus enlarge it, 0 shows all of it, Escape leaves.`}
          data-scale={transform.scale}
          style={{ width: `${width / ratio}px`, height: `${height / ratio}px` }}
          onPointerMove={(event) => onHover(locate(event))}
          onPointerLeave={() => onHover(null)}
          onClick={(event) => {
            const index = locate(event);
            onCell(index && index.join() !== cell.join() ? index : []);
          }}
          onKeyDown={onKey}
        >
          <canvas ref={canvas} data-testid="picture-canvas" />
          <canvas ref={overlay} />
        </div>
      </div>
      <div class="lv-zoom" role="group" aria-label="Zoom">
        <button
          type="button"
          aria-label="Enlarge the picture"
          title="Enlarge (+, or turn the wheel over the picture)"
          data-testid="zoom-in"
          disabled={largest}
          onClick={() => enlarge(ZOOM_STEP)}
        >
          +
        </button>
        <button
          type="button"
          aria-label="Make the picture smaller"
          title="Make smaller (−)"
          data-testid="zoom-out"
          disabled={transform.scale <= 1}
          onClick={() => enlarge(1 / ZOOM_STEP)}
        >
          −
        </button>
        <button
          type="button"
          aria-label="Show all of the picture"
          title="Show all of it (0)"
          data-testid="zoom-all"
          disabled={transform.scale <= 1}
          onClick={() => onView(null)}
        >
          ⤢
        </button>
      </div>
    </>
  );

  /** @param {import("./use_picture.js").PictureModel} model @param {number} panel */
  function panelNames(model, panel) {
    const offset = grid.panelOffsets[panel] + grid.rowOffsets[0] + grid.columnOffsets[0];
    const index = trueIndex(model.values.axes, base + offset);
    const [down, across] = [plan.panelRow, plan.panelColumn];
    if (down !== null && across !== null) {
      return [
        `${names[down]} ${index[down]}, ${names[across]} ${index[across]}`,
        `${index[down]}, ${index[across]}`,
      ];
    }
    return across === null ? [] : [`${names[across]} ${index[across]}`, String(index[across])];
  }
}

/**
 * The place of an index among those of an axis that are kept; -1 for none.
 * @param {import("../data/payload.js").Values["axes"][number] | undefined} axis
 * @param {number | null} index
 */
function keptIndex(axis, index) {
  if (!axis || index === null) return -1;
  const at = (index - axis.start) / axis.step;
  return Number.isInteger(at) && at < axis.count ? at : -1;
}
