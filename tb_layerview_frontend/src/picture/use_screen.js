/** How a picture lies on the screen. */

import { useMemo } from "preact/hooks";

import { useDevicePixels } from "../kit/hooks.js";
import { layOut } from "./layout.js";
import { cellShape } from "./plan.js";
import { project, transformOf } from "./screen.js";

/** @typedef {ReturnType<typeof useScreen>} Screen */

/**
 * @param {import("./use_picture.js").PictureModel} picture
 * @param {import("./screen.js").View | null} view what of it is enlarged
 * @param {{width: number, height: number}} size of its place, CSS pixels
 */
export function useScreen({ values, names, plan, counts, orders }, view, size) {
  const space = useDevicePixels(size);
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
  return { space, grid, transform, width, height, projection, visible };
}
