import { useMemo } from "preact/hooks";

import { palette } from "../colour.js";
import { theme } from "../host.js";
import {
  baseOffset,
  cellAt,
  layOut,
  offsetAt,
  offsetOf,
  paint,
  planPicture,
  trueIndex,
} from "../picture.js";
import { neighbourOffset, originalOffset } from "../picture_difference.js";
import { cssVariable, pointIn, useCanvas, useSize } from "./hooks.js";

/** @typedef {import("../payload.js").Values} Values */

const KEYS = /** @type {const} */ (["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"]);

/**
 * One picture of several that share their colours and the element that is pointed at.
 * @param {object} props
 * @param {string} props.testid
 * @param {string} props.label what it is, in words
 * @param {Values} props.values its units in `order`, if that is given
 * @param {string[]} props.names of the axes
 * @param {Record<number, number>} props.chosen by axis, the index that is shown
 * @param {number[] | null} props.order by place along the last axis, the unit that stands there
 * @param {import("../colour.js").ColourScale} props.scale
 * @param {number[] | null} props.cursor index in the whole tensor
 * @param {(index: number[] | null) => void} props.onCursor
 */
export function CompareCanvas({
  testid,
  label,
  values,
  names,
  chosen,
  order,
  scale,
  cursor,
  onCursor,
}) {
  const [ref, size] = /** @type {ReturnType<typeof useSize<HTMLDivElement>>} */ (useSize());
  const ratio = window.devicePixelRatio || 1;
  const plan = useMemo(() => planPicture(names), [names.join("\n")]);
  const counts = values.axes.map(({ count }) => count);
  const layout = useMemo(
    () =>
      layOut(
        plan,
        counts,
        Math.max(1, Math.floor(size.width * ratio)),
        Math.max(1, Math.floor(size.height * ratio)),
        ratio,
      ),
    [plan, counts.join(), size.width, size.height, ratio],
  );
  const { data } = values;
  const base = baseOffset(plan, counts, chosen);
  const visible = size.width > 0 && size.height > 0 && data.length > 0;
  const [width, height] = visible ? [layout.width / ratio, layout.height / ratio] : [0, 0];
  const colours = palette(theme.value, scale.diverging);
  const canvas = useCanvas(
    width,
    height,
    (context) => {
      const image = new ImageData(layout.width, layout.height);
      paint(new Uint32Array(image.data.buffer), layout, data, base, scale, colours);
      context.putImageData(image, 0, 0);
    },
    [layout, data, base, scale, colours],
  );

  /** Places on the screen hold units in their order; the tensor has them by index. */
  const place = useMemo(() => {
    if (!order) return null;
    const places = new Array(order.length);
    order.forEach((unit, at) => {
      places[unit] = at;
    });
    return places;
  }, [order]);
  /** @param {number} offset on the screen */
  const indexOf = (offset) =>
    trueIndex(values.axes, order ? originalOffset(offset, order) : offset);
  const kept = cursor ? offsetOf(values.axes, cursor) : -1;
  const at = kept < 0 || !place ? kept : originalOffset(kept, place);
  const marks = useCanvas(
    width,
    height,
    (context) => {
      const pixel = at < 0 ? null : pixelOf(layout, base, at, data.length);
      const cell = pixel && cellAt(layout, pixel.x, pixel.y);
      if (!cell) return;
      for (const [style, thickness] of /** @type {const} */ ([
        [cssVariable("--lv-surface"), 3.5],
        [cssVariable("--lv-now"), 1.5],
      ])) {
        context.strokeStyle = style;
        context.lineWidth = thickness * ratio;
        context.strokeRect(cell.x, cell.y, cell.width, cell.height);
      }
    },
    [layout, base, at, data, theme.value],
  );

  /** @param {PointerEvent} event */
  const locate = (event) => {
    const { x, y } = pointIn(event);
    const offset = offsetAt(
      layout,
      base,
      Math.floor(x * ratio),
      Math.floor(y * ratio),
      data.length,
    );
    onCursor(offset < 0 ? null : indexOf(offset));
  };
  /** @param {KeyboardEvent} event */
  const walk = (event) => {
    if (event.key === "Escape") onCursor(null);
    const key = KEYS.find((one) => one === event.key);
    if (!key) return;
    // With the picture in focus, arrows walk through its elements, not through steps and layers.
    event.preventDefault();
    event.stopPropagation();
    onCursor(indexOf(at < 0 ? base : neighbourOffset(plan, counts, at, key)));
  };
  return (
    <div class="lv-picture-place" ref={ref}>
      <div
        class="lv-picture-canvas"
        data-testid={testid}
        role="img"
        tabIndex={0}
        aria-label={`${label}. With the arrow keys you walk through the elements.`}
        style={{ width: `${width}px`, height: `${height}px` }}
        onPointerMove={locate}
        onPointerLeave={() => onCursor(null)}
        onKeyDown={walk}
      >
        <canvas ref={canvas} data-testid={`${testid}-canvas`} />
        <canvas ref={marks} />
      </div>
    </div>
  );
}

/**
 * A pixel of an element; null if it is not on the screen.
 * @param {import("../picture.js").Layout} layout
 * @param {number} base
 * @param {number} offset
 * @param {number} length
 */
function pixelOf(layout, base, offset, length) {
  for (let y = 0; y < layout.height; y++) {
    if (layout.down[y] < 0 || (y > 0 && layout.down[y] === layout.down[y - 1])) continue;
    for (let x = 0; x < layout.width; x++) {
      if (offsetAt(layout, base, x, y, length) === offset) return { x, y };
    }
  }
  return null;
}
