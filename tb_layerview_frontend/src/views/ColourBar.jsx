import { cssColour, LEVELS, palette, scaleTicks, toUnit, TROUBLE } from "../colour.js";
import { formatValue } from "../format.js";
import { theme } from "../host.js";
import { useCanvas, useSize } from "./hooks.js";

/**
 * A colour scale with its numbers, and what stands for values that are no numbers.
 * @param {object} props
 * @param {import("../colour.js").ColourScale} props.scale
 * @param {string} props.label what the colours are
 * @param {(value: number) => string} [props.format]
 * @param {{low: boolean, high: boolean}} [props.clipped] whether values lie beyond the ends
 * @param {{nan: boolean, posInf: boolean, negInf: boolean}} [props.marks] which of them are on the picture
 * @param {[string, string]} [props.ends] words instead of numbers, where they differ from row to row
 * @param {boolean} [props.hatched] whether troubled cells of a map are
 */
export function ColourBar({ scale, label, format = formatValue, clipped, marks, ends, hatched }) {
  const [ref, { width }] = /** @type {ReturnType<typeof useSize<HTMLDivElement>>} */ (useSize());
  const colours = palette(theme.value, scale.diverging);
  const canvas = useCanvas(
    width,
    10,
    (context) => {
      const { width: across, height } = context.canvas;
      for (let x = 0; x < across; x++) {
        const level = Math.round((x / Math.max(1, across - 1)) * (LEVELS - 1));
        context.fillStyle = cssColour(colours, level);
        context.fillRect(x, 0, 1, height);
      }
    },
    [colours],
  );
  const ticks = fitting(scaleTicks(scale), scale, format, width);
  const trouble = TROUBLE[theme.value];
  return (
    <div
      class="lv-colourbar"
      role="img"
      aria-label={`${label}, from ${ends ? ends.join(" to ") : `${format(scale.low)} to ${format(scale.high)}`}`}
    >
      <span class="lv-colourbar-label">{label}</span>
      <div class="lv-colourbar-scale">
        <div class="lv-colourbar-ramp" ref={ref}>
          <canvas ref={canvas} />
          {clipped?.low && <span class="lv-clip lv-clip-low" title="Some values lie below" />}
          {clipped?.high && <span class="lv-clip lv-clip-high" title="Some values lie above" />}
        </div>
        <div class="lv-colourbar-ticks" aria-hidden="true">
          {ends?.map((end, i) => (
            <span key={end} style={{ left: `${100 * i}%` }}>
              {end}
            </span>
          ))}
          {(ends ? [] : ticks).map((value) => (
            <span
              key={value}
              style={{ left: `${Math.min(1, Math.max(0, toUnit(scale, value))) * 100}%` }}
            >
              {format(value)}
            </span>
          ))}
        </div>
      </div>
      {hatched && (
        <span class="lv-mark">
          <i class="lv-swatch lv-swatch-hatched" />
          NaN or inf
        </span>
      )}
      {marks?.nan && (
        <span class="lv-mark">
          <i class="lv-swatch" style={{ background: trouble.nan }}>
            ×
          </i>
          NaN
        </span>
      )}
      {marks?.posInf && (
        <span class="lv-mark">
          <i class="lv-swatch" style={{ background: trouble.posInf }}>
            +
          </i>
          +inf
        </span>
      )}
      {marks?.negInf && (
        <span class="lv-mark">
          <i class="lv-swatch" style={{ background: trouble.negInf }}>
            −
          </i>
          −inf
        </span>
      )}
    </div>
  );
}

const DIGIT_WIDTH = 6.5;

/**
 * The labels that have room: both ends first, then the others from the middle on.
 * @param {number[]} ticks ascending
 * @param {import("../colour.js").ColourScale} scale
 * @param {(value: number) => string} format
 * @param {number} width CSS pixels
 */
function fitting(ticks, scale, format, width) {
  /** @type {{value: number, from: number, to: number}[]} */
  const placed = [];
  const inner = ticks.slice(1, -1);
  const middle = (inner.length - 1) / 2;
  const distance = (/** @type {number} */ value) => Math.abs(inner.indexOf(value) - middle);
  const order = [
    ticks[0],
    ticks[ticks.length - 1],
    ...[...inner].sort((a, b) => distance(a) - distance(b)),
  ];
  for (const value of new Set(order)) {
    const half = (format(value).length * DIGIT_WIDTH) / 2;
    const at = toUnit(scale, value) * width;
    const [from, to] = [at - half - 3, at + half + 3];
    if (placed.every((other) => to <= other.from || from >= other.to))
      placed.push({ value, from, to });
  }
  return placed.map(({ value }) => value).sort((a, b) => a - b);
}
