/** Enlarging and moving a picture by wheel, drag and pinch. */

import { useLayoutEffect, useRef } from "preact/hooks";
import { select } from "d3-selection";
import { zoom as zoomBehaviour, zoomIdentity } from "d3-zoom";

import { clampTransform, largestZoom, viewOf } from "./screen.js";

/** @typedef {import("./screen.js").View} View */

/**
 * Wheel, drag and pinch, as d3-zoom understands them.
 * @param {import("preact").RefObject<HTMLDivElement>} place
 * @param {{current: {grid: import("./layout.js").Grid, space: import("./screen.js").Space,
 *   transform: import("./screen.js").Transform, onView: (view: View | null) => void}}} latest
 */
export function useZoom(place, latest) {
  /** @type {{current: import("d3-zoom").ZoomBehavior<HTMLDivElement, unknown> | null}} */
  const behaviour = useRef(null);
  useLayoutEffect(() => {
    const element = place.current;
    if (!element) return undefined;
    /** @param {import("d3-zoom").ZoomTransform} of */
    const inPixels = ({ k, x, y }) => {
      const { ratio } = latest.current.space;
      return { scale: k, x: x * ratio, y: y * ratio };
    };
    const made = /** @type {import("d3-zoom").ZoomBehavior<HTMLDivElement, unknown>} */ (
      zoomBehaviour()
    )
      .clickDistance(4)
      .filter((event) => !event.button)
      .constrain((asked) => {
        const { grid, space } = latest.current;
        const { scale, x, y } = clampTransform(grid, inPixels(asked), space);
        return zoomIdentity.translate(x / space.ratio, y / space.ratio).scale(scale);
      })
      .on("zoom", ({ transform, sourceEvent }) => {
        const { grid, space, onView } = latest.current;
        if (sourceEvent) onView(viewOf(grid, inPixels(transform), space));
      });
    behaviour.current = made;
    const selection = select(element);
    selection.call(made).on("dblclick.zoom", null);
    return () => void selection.on(".zoom", null);
  }, []);
  // What d3 keeps of the element follows what is shown, whoever has changed it.
  useLayoutEffect(() => {
    const { grid, space, transform } = latest.current;
    behaviour.current?.scaleExtent([1, largestZoom(grid, space.ratio)]);
    select(place.current).property(
      "__zoom",
      zoomIdentity
        .translate(transform.x / space.ratio, transform.y / space.ratio)
        .scale(transform.scale),
    );
  });
}
