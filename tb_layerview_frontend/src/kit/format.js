/** Numbers in words that fit beside a picture. */

import { format } from "d3-format";

const short = format(".3~g");
const scientific = format(".2~e");
const exact = format(".6~g");
const exactScientific = format(".5~e");
const grouped = format(",");

/** @param {string} text */
const withSign = (text) => text.replace("e+", "e").replace(/-/g, "−");

/**
 * A value with about three digits.
 * @param {number} value
 */
export function formatValue(value) {
  if (!Number.isFinite(value)) return formatNonFinite(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e5)) return withSign(scientific(value));
  return withSign(size >= 1000 ? grouped(Math.round(value)) : short(value));
}

/**
 * A value with the digits that were kept of it.
 * @param {number} value
 */
export function formatExact(value) {
  if (!Number.isFinite(value)) return formatNonFinite(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e7)) return withSign(exactScientific(value));
  return withSign(exact(value));
}

/** @param {number} value */
function formatNonFinite(value) {
  return Number.isNaN(value) ? "NaN" : value > 0 ? "+inf" : "−inf";
}

const tick = format(".1~g");

/**
 * A number of one digit, for an axis with hardly any room: 0.02, 3, 1e5.
 * @param {number} value
 */
export function formatTick(value) {
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.01 || size >= 1000)) return withSign(value.toExponential(0));
  return withSign(
    size >= 1 ? value.toFixed(size >= 10 || Number.isInteger(value) ? 0 : 1) : tick(value),
  );
}

/**
 * The numbers of one axis: as short as they may be while no two read the same.
 * @param {number[]} values
 * @param {(value: number) => string} shortest
 */
export function formatTicks(values, shortest = formatTick) {
  const brief = values.map(shortest);
  if (new Set(brief).size === brief.length) return brief;
  for (const digits of [2, 3, 4, 5]) {
    const texts = values.map(format(`.${digits}~g`)).map(withSign);
    if (new Set(texts).size === texts.length) return texts;
  }
  return values.map(formatExact);
}

/**
 * A share of 1 as per cent; one that is neither none nor all is never rounded to that.
 * @param {number} share
 */
export function formatShare(share) {
  if (Number.isNaN(share)) return "–";
  if (share > 0 && share < 0.001) return "< 0.1 %";
  if (share < 1 && share > 0.999) return "> 99.9 %";
  const percent = 100 * share;
  return `${percent >= 10 || percent === 0 ? percent.toFixed(share === 1 ? 0 : percent < 99 ? 0 : 1) : percent.toFixed(1)} %`;
}

/** @param {number} count */
export function formatCount(count) {
  return grouped(count).replace("-", "−");
}

/** @param {number} bytes */
export function formatBytes(bytes) {
  for (const [unit, size] of /** @type {const} */ ([
    ["GB", 1e9],
    ["MB", 1e6],
    ["KB", 1e3],
  ])) {
    if (bytes >= size) return `${(bytes / size).toPrecision(bytes >= 100 * size ? 3 : 2)} ${unit}`;
  }
  return `${bytes} bytes`;
}

/** @param {number} seconds */
export function formatSeconds(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/**
 * Seconds as milliseconds, while they are less than one.
 * @param {number} seconds
 */
export function formatMilliseconds(seconds) {
  if (seconds >= 1) return formatSeconds(seconds);
  const milliseconds = 1000 * seconds;
  if (milliseconds >= 10) return `${Number(milliseconds.toPrecision(2))} ms`;
  return `${milliseconds.toPrecision(milliseconds < 1 ? 1 : 2)} ms`;
}

/**
 * A tensor's shape.
 * @param {number[]} shape -1 for a size that varies
 */
export function formatShape(shape) {
  if (!shape.length) return "scalar";
  return shape.map((size) => (size < 0 ? "?" : String(size))).join(" × ");
}
