/** Where maps lie: how much room there is, and how far it is scrolled. */

import { useLayoutEffect, useState } from "preact/hooks";

import { useSize } from "../kit/hooks.js";

const TWO_MAPS_WIDTH = 900;

/**
 * @param {import("../kit/core.js").Core} core which is told for how many maps there is room
 * @returns {{ref: import("preact").RefObject<HTMLDivElement>, size: {width: number, height: number}, scrollTop: number, onScroll: (event: import("preact").TargetedEvent<HTMLDivElement>) => void}}
 */
export function usePlace({ roomForMaps }) {
  const [ref, size] = /** @type {ReturnType<typeof useSize<HTMLDivElement>>} */ (useSize());
  const [scrollTop, setScrollTop] = useState(0);
  useLayoutEffect(() => {
    if (size.width) roomForMaps.value = size.width >= TWO_MAPS_WIDTH ? 2 : 1;
  }, [size.width]);
  return { ref, size, scrollTop, onScroll: (event) => setScrollTop(event.currentTarget.scrollTop) };
}
