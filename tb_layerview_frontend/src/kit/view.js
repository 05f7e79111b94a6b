/** What a person has chosen. */

import { signal } from "@preact/signals";

/**
 * @typedef {object} ViewState
 * @property {string} run empty until one is chosen
 * @property {string} layer path of the selected tensor's layer
 * @property {string} kind of the selected tensor
 * @property {string} name of the selected tensor
 * @property {number} call of the selected tensor
 * @property {number | null} step null: the last one
 * @property {string} screen the "network", or the "map" of layers × steps
 * @property {boolean} detail whether the network has the selected tensor beside it; the map always has
 * @property {string[]} maps kinds whose maps are shown; empty: as many as fit
 * @property {string} statistic
 * @property {string} transform of the map's colours: "log", "linear", or empty for what suits the statistic
 * @property {string} mapColour what a map's colours are: the "change" since the start, or the "level"
 * @property {boolean} rowScales whether each row has a colour scale of its own
 * @property {string} order of the rows
 * @property {string[]} curves names of the scalars that are drawn; empty: the loss alone
 * @property {string} across what lies across the map: "steps", or the "ranks" of the training at the step
 * @property {string} spacing of the step axis; empty: the one that suits the run
 * @property {string} filter
 * @property {string[]} thresholds of the rules that are moved, `rule.name:number`
 * @property {string} why what the findings' panel shows: a finding by its `keyOf`, the "lead",
 *   the "rules", or nothing while it is closed
 * @property {boolean} follow whether the newest step is shown as it comes
 * @property {string} range of the picture's colours: "all" steps, this "step", each "channel", or by "hand"
 * @property {string} low end of the range by hand, as typed
 * @property {string} high end of it
 * @property {string} colours map of the picture, of `COLOUR_MAPS`
 * @property {string} sort of units: by "index", "activity", "change" since the step before or "growth" since the first
 * @property {Record<string, number>} at which index of each axis is shown, by the axis' name
 * @property {string} axes which axis lies where in the picture; empty: the usual ones
 * @property {{scale: number, x: number, y: number} | null} zoom of the picture, and its middle; null: all of it
 * @property {number[]} cell index of the element that is pointed out
 * @property {string} against run that is compared with (B); empty: none
 * @property {number | null} againstStep the one step of B that all of A's are compared with; null: each with its own
 * @property {string} compareMap what the map shows while comparing: the "difference" or the "run" itself
 * @property {string} comparePanel pictures of two runs: side by "side", or their "difference"
 * @property {string} compareUnits order of the units in the difference picture: by "change" or by "index"
 * @property {string} panel what is shown of the tensor: "picture", "distribution", "units" or "numbers"
 * @property {string} values axis of the distribution: "linear", "log" or "symlog"
 * @property {string} counts axis of the histogram: "linear" or "log"
 * @property {string} history the distribution over the steps: as "ridges", "heat" map or quantile "bands"
 * @property {number | null} ghost the step whose histogram is drawn as a ghost; null: the first one
 * @property {number | null} unit the unit that is looked at, an index of the tensor's last axis
 * @property {string} unitStatistic what the map of units shows
 * @property {string} unitOrder in which order
 */

/** @typedef {{[Name in keyof ViewState]: import("@preact/signals").Signal<ViewState[Name]>}} View */

/**
 * @param {ViewState} initial
 * @returns {View}
 */
export function makeView(initial) {
  return /** @type {View} */ (
    Object.fromEntries(Object.entries(initial).map(([name, value]) => [name, signal(value)]))
  );
}
