/** What the pictures of two runs, or of two steps, show: side by side in the same colours, or their difference. */

import { useMemo } from "preact/hooks";

import { theme } from "../kit/host.js";
import { picturePalette, scaleFor } from "../picture/colours.js";
import { largestFirst, samePart, sizesAlong } from "../picture/order.js";
import { countMarks, levelsOf } from "../picture/paint.js";
import { stridesOf, unitAxis } from "../picture/plan.js";
import { finiteRange } from "../picture/range.js";
import { useAxisNames, useShownPart } from "../picture/use_shown_part.js";
import { subtract } from "./subtract.js";

/** @typedef {import("../kit/view.js").View} View */
/** @typedef {import("../data/payload.js").Values} Values */

/** A diverging map, whatever the pictures' own is: what grew and what shrank are two colours. */
const DIFFERENCE_COLOURS = "purple-green";

/**
 * @param {View} view
 * @param {import("../data/types.js").Tensor} tensor
 * @param {Values} a
 * @param {Values} b
 */
export function useComparedPictures(view, tensor, a, b) {
  const names = useAxisNames(tensor, a);
  const difference = useMemo(() => (samePart(a, b) ? subtract(a, b) : null), [a, b]);
  const isDifference = difference !== null && view.comparePanel.value === "difference";
  const unit = unitAxis(names);
  const changes = useMemo(() => {
    if (!difference || unit < 0) return null;
    const counts = difference.axes.map(({ count }) => count);
    return sizesAlong(difference.data, counts[unit], stridesOf(counts)[unit]);
  }, [difference, unit]);
  const ranked = useMemo(() => changes && largestFirst(changes), [changes]);
  const byChange = isDifference && view.compareUnits.value === "change";
  const order = byChange ? ranked : null;
  const orders = useMemo(
    () => ({ byAxis: order && unit >= 0 ? { [unit]: order } : {}, problem: "" }),
    [order, unit],
  );
  const map = isDifference ? DIFFERENCE_COLOURS : view.colours.value;
  const [low, high] = useMemo(() => {
    if (isDifference) return finiteRange(difference.data);
    const [own, others] = [finiteRange(a.data), finiteRange(b.data)];
    return [Math.min(own[0], others[0]), Math.max(own[1], others[1])];
  }, [isDifference, difference, a, b]);
  const scale = useMemo(() => scaleFor([low, high], map, false), [low, high, map]);
  const shared = { names, unit, orders, scale, perUnit: null, map };
  const first = usePictureOf(view, isDifference ? difference : a, shared);
  const second = usePictureOf(view, b, shared);
  return {
    a,
    b,
    names,
    unit,
    isDifference,
    difference,
    changes,
    ranked,
    scale,
    pictures: { first, second },
  };
}

/**
 * One picture, as `PictureCanvas` draws it.
 * @param {View} view
 * @param {Values} values
 * @param {{names: string[], unit: number, orders: {byAxis: Record<number, Int32Array>, problem: string},
 *   scale: import("../kit/colour.js").ColourScale, perUnit: null, map: string}} shared by all that are compared
 */
function usePictureOf(view, values, { names, unit, orders, scale, perUnit, map }) {
  const part = useShownPart(view, values, names);
  const levels = useMemo(() => levelsOf(values.data, [scale], 1), [values, scale]);
  const marks = useMemo(() => countMarks(levels, part.shown.offsets), [levels, part.shown]);
  return {
    values,
    names,
    ...part,
    unit,
    orders,
    marks,
    mode: "step",
    scale,
    perUnit,
    levels,
    palette: picturePalette(map, theme.value, scale.diverging),
    rangeProblem: "",
  };
}
