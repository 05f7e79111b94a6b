/** A film of a picture: the same part of a tensor, in the same colours, at all steps that keep values. */

import { theme } from "../kit/host.js";
import { formatCount } from "../kit/format.js";
import { paceOf } from "../kit/film.js";
import { captioned, scaleSheet, sheetCanvas } from "../kit/sheet.js";
import { picturePalette, scaleFor } from "./colours.js";
import { samePart } from "./order.js";
import { countMarks, levelsOf } from "./paint.js";
import { besideItsInput, stepSheet } from "./picture_sheet.js";
import { finiteRange } from "./range.js";

/** @typedef {import("../data/payload.js").Values} Values */
/** @typedef {import("../kit/colour.js").ColourScale} ColourScale */
/** @typedef {import("./use_picture.js").FoundPicture} FoundPicture */

/**
 * @param {object} of
 * @param {{all: (signal: AbortSignal) => Promise<number[]>, valuesAt: (step: number) => Promise<Values>}} of.kept steps
 *   that keep values, and these
 * @param {FoundPicture} of.picture as it is shown: its part, its order, its colours
 * @param {import("./use_screen.js").Screen} of.screen how it lies on the screen
 * @param {{example: import("./example_canvas.js").ExamplePicture, index: number} | null} of.input
 * @param {string} of.map of colours
 * @param {string} of.title
 * @param {(scale: ColourScale) => string[]} of.lines
 * @param {number} of.sharpness pixels for each of the screen's
 * @param {AbortSignal} of.signal
 * @returns {Promise<import("../kit/film.js").Footage>}
 */
export async function filmOfPicture(of) {
  const { kept, picture, screen, input, map, title, lines, sharpness, signal } = of;
  const found = await stepsOfPart(kept, picture, signal);
  const scale = found.range ? scaleFor(found.range, map, false) : picture.scale;
  const palette = picturePalette(map, theme.value, scale.diverging);
  const { steps } = found;
  return {
    frames: steps.length,
    framesPerSecond: paceOf(steps.length),
    draw: async (index) => {
      const values = await kept.valuesAt(steps[index]);
      const shown = pictureOf(picture, values, scale, palette);
      const body = besideItsInput(shown, screen, input, sharpness);
      const share = steps.length > 1 ? index / (steps.length - 1) : 1;
      const step = stepSheet(`step ${formatCount(steps[index])}`, share, body.width);
      const sheets = [step, body, scaleSheet({ scale, palette })];
      const ratio = screen.space.ratio * sharpness;
      return sheetCanvas(captioned({ title, lines: lines(scale), sheets }), ratio);
    },
  };
}

/**
 * The steps that keep the part that is shown, and the range of their values where the picture has none for all steps.
 * @param {Parameters<typeof filmOfPicture>[0]["kept"]} kept
 * @param {FoundPicture} picture
 * @param {AbortSignal} signal
 * @returns {Promise<{steps: number[], range: [number, number] | null}>}
 */
async function stepsOfPart(kept, picture, signal) {
  const steps = [];
  let [low, high] = [Infinity, -Infinity];
  for (const step of await kept.all(signal)) {
    signal.throwIfAborted();
    const values = await kept.valuesAt(step);
    if (!samePart(values, picture.values)) continue;
    steps.push(step);
    const [from, to] = finiteRange(values.data);
    [low, high] = [Math.min(low, from), Math.max(high, to)];
  }
  const { mode, overall } = picture;
  const isFixed = mode === "hand" || (mode === "all" && overall[0] < overall[1]);
  if (isFixed) return { steps, range: null };
  if (overall[0] < overall[1]) return { steps, range: overall };
  return { steps, range: low <= high ? [low, high] : [0, 1] };
}

/**
 * The picture of another step: the same part in the same place, in given colours.
 * @param {FoundPicture} picture
 * @param {Values} values
 * @param {ColourScale} scale
 * @param {Uint32Array} palette
 * @returns {import("./use_picture.js").PictureModel}
 */
function pictureOf(picture, values, scale, palette) {
  const levels = levelsOf(values.data, [scale], 1);
  const marks = countMarks(levels, picture.shown.offsets);
  return { ...picture, values, levels, marks, scale, perUnit: null, palette };
}
