/** Which elements of kept values a picture shows. */

import { useMemo } from "preact/hooks";

import { axisNames } from "../data/axes.js";
import { baseOffset, chosenIndices, readPlan, shownElements } from "./plan.js";

/** @typedef {import("../data/payload.js").Values} Values */

/**
 * The axes' names.
 * @param {import("../data/types.js").Tensor} tensor
 * @param {Values} values
 */
export function useAxisNames(tensor, { axes }) {
  return useMemo(() => axisNames(tensor.axes, axes.length, tensor.kind), [tensor, axes.length]);
}

/**
 * The part that is chosen by the plan of the axes and the sliders, the same objects for values of the same axes.
 * @param {import("../kit/view.js").View} view
 * @param {Values} values
 * @param {string[]} names of its axes
 */
export function useShownPart(view, { axes }, names) {
  const [planned, at] = [view.axes.value, view.at.value];
  const key = axes.map(({ start, step, count }) => `${start}/${step}/${count}`).join();
  const plan = useMemo(() => readPlan(planned, names), [names, planned]);
  const chosen = useMemo(
    () => chosenIndices(axes, names, plan.choosers, at),
    [names, plan, at, key],
  );
  const counts = useMemo(() => axes.map(({ count }) => count), [key]);
  const shown = useMemo(() => shownElements(counts, chosen), [counts, chosen]);
  return { plan, chosen, counts, shown, base: baseOffset(counts, chosen) };
}
