/** The network, drawn: everything but what is written. */

import { cssVariable } from "../kit/hooks.js";
import { drawFlow, drawRail, drawRidges } from "./draw_columns.js";
import { drawLane } from "./draw_pictures.js";
import { pictured } from "./lanes.js";

/** @typedef {import("./lanes.js").Entry} Entry */

/**
 * @typedef {object} Scene
 * @property {import("./layout.js").Layout} layout
 * @property {Entry[]} entries
 * @property {import("./rail.js").Edge[]} edges
 * @property {import("./verdict.js").Verdict[]} verdicts by entry
 * @property {Map<number, import("../data/framed.js").Thumbnails>} pictures by tensor
 * @property {{pictures: Scene["pictures"], shown: import("./pictures_data.js").Shown | null, names: string[]} | null} beside what
 *   is compared with: its pictures by tensor of what is shown, of when they are, and what both are called, this one first
 * @property {Map<number, import("../data/framed.js").Ridges>} ridges by tensor
 * @property {import("./draw_columns.js").Flow | null} flow
 * @property {number} step
 * @property {Set<number>} inputs layers that read no other
 * @property {import("../kit/colour.js").Theme} theme
 */

/**
 * @param {CanvasRenderingContext2D} context in device pixels
 * @param {number} ratio device pixels to a CSS pixel
 * @param {Scene} scene
 * @param {{top: number, height: number}} seen the part that is seen, CSS pixels
 */
export function drawNetwork(context, ratio, scene, { top, height }) {
  const { layout, entries } = scene;
  const seen = entries.filter(
    (entry) => entry.top < top + height && entry.top + entry.height > top,
  );
  context.save();
  context.scale(ratio, ratio);
  context.translate(0, -top);
  if (scene.flow && layout.flow) {
    drawFlow(context, scene.flow, entries, layout.flow, { top, height });
  }
  drawRail(context, { ...scene, rail: layout.rail });
  const shades = shadesOf();
  for (const entry of seen) {
    const ridges = scene.ridges.get(tensorOf(entry));
    if (layout.ridges && ridges && !entry.open) {
      const place = { ...layout.ridges, y: entry.top + 4, height: entry.height - 8 };
      drawRidges(context, ridges, scene.step, place, shades);
    }
  }
  context.restore();
  for (const [column, pictures] of /** @type {const} */ ([
    [layout.pictures, scene.pictures],
    [layout.others, scene.beside?.pictures],
  ])) {
    for (const entry of seen) {
      const of = pictures?.get(tensorOf(entry));
      if (!column || !of || entry.open || of.step === null) continue;
      const place = {
        ...column,
        y: entry.top - top + (entry.height - layout.side) / 2,
        side: layout.side,
        tiles: layout.tiles,
        ratio,
      };
      const isInput = scene.inputs.has(pictured(entry.part)?.layer ?? -1);
      drawLane(context, of, place, scene.theme, isInput);
    }
  }
}

/**
 * The activation that an entry shows; -1 for none.
 * @param {Pick<Entry, "part">} entry
 */
export const tensorOf = ({ part }) => pictured(part)?.tensor ?? -1;

/** The colours of ridges, from early to late. */
function shadesOf() {
  return ["1", "2", "3", "4", "5"].map((number) => cssVariable(`--lv-ridge-${number}`));
}
