/** What a person has chosen, as it stands in the address: one list of fields for reading and writing. */

import { COLOUR_MAPS } from "../picture/colours.js";

/** @typedef {import("../data/types.js").Kind} Kind */
/** @typedef {import("../kit/axis.js").Spacing} Spacing */

/**
 * @typedef {object} ViewState
 * @property {string} run empty until one is chosen
 * @property {string} layer path of the selected tensor's layer
 * @property {string} kind of the selected tensor
 * @property {string} name of the selected tensor
 * @property {number} call of the selected tensor
 * @property {number | null} step null: the last one
 * @property {string[]} maps kinds whose maps are shown; empty: as many as fit
 * @property {string} statistic
 * @property {string} transform of the map's colours: "log", "linear", or empty for what suits the statistic
 * @property {boolean} rowScales whether each row has a colour scale of its own
 * @property {string} order of the rows
 * @property {string[]} curvesOff names of the scalars that are not drawn
 * @property {string} spacing of the step axis
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
 * @property {string} history the distribution over the steps: as "heat" map or quantile "bands"
 * @property {number | null} ghost the step whose histogram is drawn as a ghost; null: the first one
 * @property {number | null} unit the unit that is looked at, an index of the tensor's last axis
 * @property {string} unitStatistic what the map of units shows
 * @property {string} unitOrder in which order
 */

/**
 * @template T
 * @typedef {{fallback: T, read: (text: string) => T, write: (value: T) => string}} Field
 */

/** @param {string} fallback @returns {Field<string>} */
const text = (fallback) => ({ fallback, read: String, write: String });

/** @param {string[]} allowed the first is the fallback @returns {Field<string>} */
const choice = (...allowed) => ({
  fallback: allowed[0],
  read: (value) => (allowed.includes(value) ? value : allowed[0]),
  write: String,
});

/** @type {Field<boolean>} */
const flag = { fallback: false, read: (value) => value === "1", write: (on) => (on ? "1" : "0") };

/** @type {Field<string[]>} */
const list = {
  fallback: [],
  read: (value) => value.split(",").filter(Boolean),
  write: (values) => values.join(","),
};

/** @type {Field<number | null>} */
const optionalNumber = {
  fallback: null,
  read: (value) => (/^-?\d+$/.test(value) ? Number(value) : null),
  write: String,
};

/** @type {{[Name in keyof ViewState]: Field<ViewState[Name]>}} */
export const FIELDS = {
  run: text(""),
  layer: text(""),
  kind: text(""),
  name: text(""),
  call: { fallback: 0, read: (value) => Number.parseInt(value, 10) || 0, write: String },
  step: optionalNumber,
  maps: list,
  statistic: text("rms"),
  transform: choice("", "log", "linear"),
  rowScales: flag,
  order: text("model"),
  curvesOff: list,
  spacing: choice("linear", "log", "even"),
  filter: text(""),
  thresholds: list,
  why: text(""),
  follow: flag,
  range: choice("all", "step", "channel", "hand"),
  low: text(""),
  high: text(""),
  colours: choice(...Object.keys(COLOUR_MAPS)),
  sort: choice("index", "activity", "change", "growth"),
  at: {
    fallback: {},
    read: (value) =>
      Object.fromEntries(
        [...value.matchAll(/([^,:]+):(\d+)/g)].map(([, axis, index]) => [axis, Number(index)]),
      ),
    write: (indices) =>
      Object.entries(indices)
        .map(([axis, index]) => `${axis}:${index}`)
        .join(","),
  },
  axes: text(""),
  zoom: {
    fallback: null,
    read: (value) => {
      const [scale, x, y] = value.split(",").map(Number);
      return scale > 1 && x >= 0 && x <= 1 && y >= 0 && y <= 1 ? { scale, x, y } : null;
    },
    write: (zoom) => (zoom ? [zoom.scale, zoom.x, zoom.y].join(",") : ""),
  },
  cell: {
    fallback: [],
    read: (value) => (/^\d+(,\d+)*$/.test(value) ? value.split(",").map(Number) : []),
    write: (index) => index.join(","),
  },
  against: text(""),
  againstStep: optionalNumber,
  compareMap: choice("difference", "run"),
  comparePanel: choice("side", "difference"),
  compareUnits: choice("change", "index"),
  panel: choice("picture", "distribution", "units", "numbers"),
  values: choice("linear", "log", "symlog"),
  counts: choice("linear", "log"),
  history: choice("heat", "bands"),
  ghost: optionalNumber,
  unit: optionalNumber,
  unitStatistic: choice("rms", "mean", "zero", "peak"),
  unitOrder: choice("index", "activity", "change", "previous", "silence"),
};

const PREFIX = "p.layerview.";

/**
 * @param {string} hash of TensorBoard's page, with or without "#"
 * @returns {ViewState}
 */
export function readViewState(hash) {
  /** @type {Map<string, string>} */
  const found = new Map();
  for (const part of partsOf(hash).own) {
    const at = part.indexOf("=");
    if (at > 0) found.set(part.slice(PREFIX.length, at), decode(part.slice(at + 1)));
  }
  return /** @type {ViewState} */ (
    Object.fromEntries(
      Object.entries(FIELDS).map(([name, field]) => {
        const value = found.get(name);
        return [name, value === undefined ? field.fallback : field.read(value)];
      }),
    )
  );
}

/**
 * The hash with the state in it. What is as it would be anyway is left out, what is not ours stays as it is.
 * @param {string} hash of TensorBoard's page
 * @param {ViewState} state
 * @returns {string} with "#"
 */
export function writeViewState(hash, state) {
  const { others } = partsOf(hash);
  const own = Object.entries(FIELDS).flatMap(([name, field]) => {
    const value = field.write(/** @type {never} */ (state[/** @type {keyof ViewState} */ (name)]));
    const same = value === field.write(/** @type {never} */ (field.fallback));
    return same ? [] : [`${PREFIX}${name}=${encodeURIComponent(value)}`];
  });
  if (!others.length) others.push("layerview");
  return `#${[...others, ...own].join("&")}`;
}

/**
 * What of a hash is the tab's own, as it stands there; empty where it says nothing of the tab.
 * @param {string} hash of TensorBoard's page
 */
export function ownPart(hash) {
  return partsOf(hash).own.join("&");
}

/** @param {string} hash */
function partsOf(hash) {
  const parts = hash.replace(/^#/, "").split("&").filter(Boolean);
  return {
    own: parts.filter((part) => part.startsWith(PREFIX)),
    others: parts.filter((part) => !part.startsWith(PREFIX)),
  };
}

/** @param {string} value */
function decode(value) {
  try {
    return decodeURIComponent(value);
  } catch {
    // A hand-made address with a stray "%" means what it says.
    return value;
  }
}
