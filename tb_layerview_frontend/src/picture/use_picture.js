/** What a picture shows of the selected tensor: which elements, in which order, in which colours. */

import { useMemo, useRef } from "preact/hooks";

import { theme } from "../kit/host.js";
import { mostOf } from "../kit/plausible.js";
import { highestAlong, keysOf, scoreRange } from "./attention.js";
import { picturePalette, scaleFor } from "./colours.js";
import { largestFirst, samePart, sizesAlong } from "./order.js";
import { countMarks, levelsOf } from "./paint.js";
import { stridesOf, unitAxis } from "./plan.js";
import { finiteRange, rangeByHand, rangeOverAllSteps, rangesAlong } from "./range.js";
import { useAxisNames, useShownPart } from "./use_shown_part.js";

/** @typedef {import("../kit/view.js").View} View */
/** @typedef {import("../data/details.js").Detail} Detail */
/** @typedef {import("../data/payload.js").Values} Values */
/** @typedef {import("../data/details.js").TensorHistory} TensorHistory */
/** @typedef {ReturnType<typeof usePicture>} FoundPicture */
/** What is drawn of it. @typedef {Omit<FoundPicture, "overall" | "even"> & {even?: import("../kit/colour.js").ScaleMark}} PictureModel */

/**
 * @param {import("../kit/core.js").Core} core
 * @param {import("./companions.js").Companions} companions
 * @param {import("../data/types.js").Tensor} tensor
 * @param {Detail} detail
 * @param {Values} values
 * @param {TensorHistory | null} history of the tensor; null where there is none
 */
export function usePicture({ view, healthy }, companions, tensor, detail, values, history) {
  const names = useAxisNames(tensor, values);
  const part = useShownPart(view, values, names);
  const unit = unitAxis(names);
  const stride = unit < 0 ? 1 : stridesOf(part.counts)[unit];
  const orders = useOrders(view.sort.value, companions, detail, values, unit, stride);
  const keys = useMemo(() => keysOf(tensor, values, names), [tensor, values, names]);
  const ranges = useRanges(values, history, mostOf(tensor.dtype), keys, healthy.value);
  const colours = useColours(view, values, ranges, unit, stride);
  const { levels } = colours;
  const marks = useMemo(() => countMarks(levels, part.shown.offsets), [levels, part.shown]);
  return { values, names, ...part, unit, orders, marks, ...colours };
}

/**
 * The order of the units that is asked for, and what can be said of it.
 * @param {string} sort
 * @param {import("./companions.js").Companions} companions
 * @param {Detail} detail
 * @param {Values} values
 * @param {number} unit the axis
 * @param {number} stride
 * @returns {{byAxis: Record<number, Int32Array>, problem: string}}
 */
function useOrders(sort, companions, detail, values, unit, stride) {
  const other = companions.reference.value;
  const needed = sort === "change" || sort === "growth";
  /** Until the other step's values are there, units stay where they were. */
  const last = useRef(
    /** @type {{sort: string, tensor: number, order: Int32Array} | null} */ (null),
  );
  return useMemo(() => {
    if (sort === "index" || unit < 0) return { byAxis: {}, problem: "" };
    const count = values.axes[unit].count;
    if (!needed) {
      return {
        byAxis: { [unit]: largestFirst(sizesAlong(values.data, count, stride)) },
        problem: "",
      };
    }
    const known = last.current;
    const kept =
      known &&
      known.sort === sort &&
      known.tensor === detail.tensor &&
      known.order.length === count;
    if (other?.of !== detail.key)
      return { byAxis: kept ? { [unit]: known.order } : {}, problem: "" };
    if (other.problem) return { byAxis: {}, problem: other.problem };
    if (!other.values) {
      return { byAxis: {}, problem: "No earlier step keeps values: units are in their own order." };
    }
    if (!samePart(values, other.values)) {
      return {
        byAxis: {},
        problem: `Step ${other.step} keeps another part: units are in their own order.`,
      };
    }
    const order = largestFirst(sizesAlong(values.data, count, stride, other.values.data));
    last.current = { sort, tensor: detail.tensor, order };
    return { byAxis: { [unit]: order }, problem: "" };
  }, [sort, values, unit, stride, needed ? other : null, detail.key]);
}

/**
 * What the colours may reach over.
 * @typedef {object} Ranges
 * @property {[number, number]} overall of all steps; [0, 0] where nothing is known
 * @property {[number, number]} own of the shown step
 * @property {(count: number, stride: number) => [number, number][]} along for each index of an axis
 * @property {number} keys that attention's scores are shared out among; 0 of other tensors
 */

/**
 * @param {Values} values
 * @param {TensorHistory | null} history
 * @param {number} most from which magnitude on values are not plausible
 * @param {number} keys
 * @param {number} healthy how many steps lie before numbers break
 * @returns {Ranges}
 */
function useRanges({ data }, history, most, keys, healthy) {
  const overall = useMemo(
    () =>
      history
        ? rangeOverAllSteps(history.bySteps, [0, 0], history.extremes, most, healthy)
        : /** @type {[number, number]} */ ([0, 0]),
    [history, most, healthy],
  );
  return useMemo(() => {
    if (!keys) {
      const along = (/** @type {number} */ count, /** @type {number} */ stride) =>
        rangesAlong(data, count, stride, most);
      return { overall, own: finiteRange(data, most), along, keys };
    }
    const along = (/** @type {number} */ count, /** @type {number} */ stride) =>
      highestAlong(data, count, stride).map((high) => scoreRange(keys, high));
    const own = along(1, data.length || 1)[0];
    return { overall: scoreRange(keys, overall[1]), own, along, keys };
  }, [data, overall, most, keys]);
}

/**
 * @param {View} view
 * @param {Values} values
 * @param {Ranges} ranges
 * @param {number} unit the axis
 * @param {number} stride
 */
function useColours(view, values, ranges, unit, stride) {
  const { data, axes } = values;
  const { overall, own, along, keys } = ranges;
  const mode = unit < 0 && view.range.value === "channel" ? "step" : view.range.value;
  const map = view.colours.value;
  const byHand = useMemo(
    () => (mode === "hand" ? rangeByHand(view.low.value, view.high.value) : null),
    [mode, view.low.value, view.high.value],
  );
  const typed = byHand && "range" in byHand ? byHand.range : null;
  const [low, high] = typed ?? (mode === "all" && overall[0] < overall[1] ? overall : own);
  // Scores begin at 0, wherever the lowest of them is.
  const exact = typed !== null || keys > 0;
  const scale = useMemo(() => scaleFor([low, high], map, exact), [low, high, map, exact]);
  const perUnit = useMemo(
    () =>
      mode === "channel"
        ? along(axes[unit].count, stride).map((range) => {
            // All channels in one kind of map: with some below 0, all diverge.
            const { low, high } = scaleFor(range, map, false);
            if (!scale.diverging) return scaleFor(range, map, false);
            const most = Math.max(-low, high);
            return { ...scale, low: -most, high: most };
          })
        : null,
    [mode, along, unit, stride, scale, map],
  );
  const levels = useMemo(
    () => levelsOf(data, perUnit ?? [scale], stride),
    [data, perUnit, scale, stride],
  );
  return {
    mode,
    overall,
    scale,
    perUnit,
    levels,
    palette: picturePalette(map, theme.value, scale.diverging),
    even: keys && !perUnit ? evenMark(keys) : undefined,
    rangeProblem: byHand && "problem" in byHand ? byHand.problem : "",
  };
}

/**
 * The place on the colours of what even attention would be.
 * @param {number} keys
 * @returns {import("../kit/colour.js").ScaleMark}
 */
function evenMark(keys) {
  return {
    value: 1 / keys,
    text: `1/${keys}`,
    words: `what each of ${keys} keys would get if all were looked at evenly`,
  };
}
