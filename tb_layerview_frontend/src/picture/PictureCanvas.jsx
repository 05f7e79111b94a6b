import { useLayoutEffect, useRef } from "preact/hooks";

import { useCanvas, useSize } from "../kit/hooks.js";
import { theme } from "../kit/host.js";
import { ZoomButtons } from "./ZoomButtons.jsx";
import { drawOutlines, drawPicture } from "./draw.js";
import { panelNames } from "./panel_names.js";
import { cellRect, largestZoom, unitRects } from "./screen.js";
import { usePointing, useUnitInView } from "./use_pointing.js";
import { useScreen } from "./use_screen.js";
import { useZoom } from "./use_zoom.js";

/** @typedef {import("./screen.js").View} View */
/** @typedef {import("./use_picture.js").PictureModel} PictureModel */

/**
 * A picture that can be enlarged and moved, and walked through cell by cell.
 * @param {object} props
 * @param {PictureModel} props.picture
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
 * @param {{current: import("./use_screen.js").Screen | null}} [props.screenRef] how the picture lies
 * @param {string} [props.mark] what is said in the picture's corner
 * @param {string} [props.markTitle]
 */
export function PictureCanvas(props) {
  const { picture, view, onView, cell, onCell, onHover, unit = null, broughtUnit } = props;
  const { label, canvasRef, screenRef, mark, markTitle } = props;
  const [place, size] = /** @type {ReturnType<typeof useSize<HTMLDivElement>>} */ (useSize());
  const screen = useScreen(picture, view, size);
  const { space, grid, transform } = screen;
  const { ratio } = space;
  const pointing = usePointing(picture, screen, props);
  const { cursor, pointed } = pointing;
  const kept = keptIndex(picture.values.axes.at(-1), unit);
  const units = picture.counts[picture.counts.length - 1];
  const { canvas, overlay } = useCanvases(picture, screen, {
    units: kept < 0 ? [] : unitRects(grid, transform, units, kept),
    cursor: cursor && cellRect(grid, transform, cursor.column, cursor.row),
    pointed: pointed && cellRect(grid, transform, pointed.column, pointed.row),
    inputs: [kept, cursor?.column, cursor?.row, pointed?.column, pointed?.row],
  });
  useLayoutEffect(() => {
    canvasRef.current = canvas.current;
    if (screenRef) screenRef.current = screen;
  });
  const latest = useRef({ grid, space, transform, onView });
  latest.current = { grid, space, transform, onView };
  useZoom(place, latest);
  useUnitInView({ unit, kept, units, brought: broughtUnit }, screen, pointing.centre);
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
          style={{ width: `${screen.width / ratio}px`, height: `${screen.height / ratio}px` }}
          onPointerMove={(event) => onHover(pointing.locate(event))}
          onPointerLeave={() => onHover(null)}
          onClick={(event) => {
            const index = pointing.locate(event);
            onCell(index && index.join() !== cell.join() ? index : []);
          }}
          onKeyDown={pointing.onKey}
        >
          <canvas ref={canvas} data-testid="picture-canvas" />
          <canvas ref={overlay} />
        </div>
        {mark && (
          <b class="lv-other-step" data-testid="values-step" title={markTitle}>
            {mark}
          </b>
        )}
      </div>
      <ZoomButtons
        smallest={transform.scale <= 1}
        largest={transform.scale >= largestZoom(grid, ratio) * 0.999}
        onEnlarge={pointing.enlarge}
        onReduce={pointing.reduce}
        onAll={() => onView(null)}
      />
    </>
  );
}

/**
 * The picture, and over it the frames of what is chosen and pointed at.
 * @param {PictureModel} picture
 * @param {import("./use_screen.js").Screen} screen
 * @param {import("./draw.js").Outlines & {inputs: unknown[]}} outlines drawn again when one of the inputs changes
 */
function useCanvases(picture, screen, { inputs, ...outlines }) {
  const { values, levels, base, palette, marks } = picture;
  const { space, grid, transform, projection, visible } = screen;
  const { ratio } = space;
  const marked = marks.nan + marks.posInf + marks.negInf > 0;
  const width = visible ? screen.width / ratio : 0;
  const height = visible ? screen.height / ratio : 0;
  const canvas = useCanvas(
    width,
    height,
    (context) =>
      drawPicture(context, {
        ...picture,
        grid,
        transform,
        projection,
        marked,
        ratio,
        nameOf: (panel) => panelNames(picture, grid, panel),
      }),
    [projection, values.data, levels, base, palette, marked, theme.value],
  );
  const overlay = useCanvas(width, height, (context) => drawOutlines(context, outlines, ratio), [
    projection,
    ...inputs,
    theme.value,
  ]);
  return { canvas, overlay };
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
