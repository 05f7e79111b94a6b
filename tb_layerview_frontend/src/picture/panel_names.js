/** What the panels of a picture are called. */

import { trueIndex } from "./plan.js";

/**
 * What a panel is, the longest text first.
 * @param {import("./use_picture.js").PictureModel} picture
 * @param {import("./layout.js").Grid} grid
 * @param {number} panel
 */
export function panelNames({ values, names, plan, base }, grid, panel) {
  const offset = grid.panelOffsets[panel] + grid.rowOffsets[0] + grid.columnOffsets[0];
  const index = trueIndex(values.axes, base + offset);
  const [down, across] = [plan.panelRow, plan.panelColumn];
  if (down !== null && across !== null) {
    return [
      `${names[down]} ${index[down]}, ${names[across]} ${index[across]}`,
      `${index[down]}, ${index[across]}`,
    ];
  }
  return across === null ? [] : [`${names[across]} ${index[across]}`, String(index[across])];
}
