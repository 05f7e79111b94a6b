/** How what a person has chosen stands in the address: one list of fields for reading and writing. */

import { COLOUR_MAPS } from "../picture/colours.js";

/** @typedef {import("../kit/view.js").ViewState} ViewState */

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
  screen: choice("network", "map"),
  detail: flag,
  maps: list,
  statistic: text("rms"),
  transform: choice("", "log", "linear"),
  mapColour: choice("change", "level"),
  rowScales: flag,
  order: text("model"),
  curves: list,
  across: choice("steps", "ranks"),
  spacing: choice("", "linear", "log", "even"),
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
  history: choice("ridges", "heat", "bands"),
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
