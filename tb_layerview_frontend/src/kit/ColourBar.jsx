import { cssColour, LEVELS, palette, scaleTicks, toUnit, TROUBLE } from "./colour.js";
import { formatCount, formatValue } from "./format.js";
import { useCanvas, useSize } from "./hooks.js";
import { theme } from "./host.js";

/** @typedef {import("./colour.js").Counts} Counts */

/**
 * A colour scale with its numbers, and what stands for values that are no numbers.
 * @param {object} props
 * @param {import("./colour.js").ColourScale} props.scale
 * @param {string} props.label what the colours are
 * @param {string} [props.whole] the same in full, where the label leaves out what stands elsewhere
 * @param {(value: number) => string} [props.format]
 * @param {import("./colour.js").Palette} [props.palette] the usual one of the scale if it is left out
 * @param {[string, string]} [props.ends] what stands at the ends where they are no numbers
 * @param {Counts} [props.counts] of the picture: what lies beyond the ends, and what is no number
 * @param {import("./colour.js").ScaleMark} [props.mark] a value that is marked
 * @param {boolean} [props.hatched] whether troubled cells of a map are
 * @param {import("preact").ComponentChildren} [props.children] other marks of the map
 */
export function ColourBar({
  scale,
  label,
  whole = label,
  format = formatValue,
  palette: given,
  ends,
  counts,
  mark,
  hatched,
  children,
}) {
  const [ref, { width }] = /** @type {ReturnType<typeof useSize<HTMLDivElement>>} */ (useSize());
  const colours = given ?? palette(theme.value, scale.diverging);
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
  const isMarked = mark && mark.value > scale.low && mark.value < scale.high ? mark : undefined;
  const named = (/** @type {number} */ value) =>
    value === isMarked?.value ? isMarked.text : format(value);
  const ticks = ends ? [] : fitting(scaleTicks(scale), scale, named, width, isMarked?.value);
  const trouble = TROUBLE[theme.value];
  return (
    <div
      class="lv-colourbar"
      role="img"
      aria-label={inWords(whole, ends ?? [format(scale.low), format(scale.high)], counts, isMarked)}
    >
      <span class="lv-colourbar-label" title={whole}>
        {label}
      </span>
      <div class="lv-colourbar-scale">
        <div class="lv-colourbar-ramp" ref={ref}>
          <canvas ref={canvas} />
          {isMarked && (
            <span
              class="lv-colourbar-mark"
              data-testid="scale-mark"
              data-value={isMarked.value}
              title={`${isMarked.text}: ${isMarked.words}`}
              style={{ left: `${toUnit(scale, isMarked.value) * 100}%` }}
            />
          )}
          {counts && counts.low > 0 && (
            <span class="lv-clip lv-clip-low" title={`${formatCount(counts.low)} lie below`} />
          )}
          {counts && counts.high > 0 && (
            <span class="lv-clip lv-clip-high" title={`${formatCount(counts.high)} lie above`} />
          )}
        </div>
        <div class="lv-colourbar-ticks" aria-hidden="true">
          {ends?.map((end, i) => (
            <span key={end} style={{ left: `${100 * i}%` }}>
              {end}
            </span>
          ))}
          {ticks.map((value) => (
            <span
              key={value}
              style={{ left: `${Math.min(1, Math.max(0, toUnit(scale, value))) * 100}%` }}
            >
              {named(value)}
            </span>
          ))}
        </div>
      </div>
      {hatched && <HatchedMark />}
      {children}
      {counts && counts.low + counts.high > 0 && (
        <span
          class="lv-mark"
          title="Elements beyond the ends have the end's colour"
          data-testid="clipped"
        >
          {formatCount(counts.low + counts.high)} beyond
        </span>
      )}
      {counts &&
        MARKS.filter(([name]) => counts[name]).map(([name, sign, words]) => (
          <span key={name} class="lv-mark" data-testid={`mark-${name}`}>
            <i
              class={`lv-swatch lv-swatch-${name.toLowerCase()}`}
              style={{ "--lv-swatch": trouble[name] }}
            >
              <b>{sign}</b>
            </i>
            {words} {formatCount(counts[name])}
          </span>
        ))}
    </div>
  );
}

const MARKS = /** @type {const} */ ([
  ["nan", "×", "NaN"],
  ["posInf", "+", "+inf"],
  ["negInf", "−", "−inf"],
]);

/**
 * @param {string} label
 * @param {[string, string]} ends
 * @param {Counts | undefined} counts
 * @param {import("./colour.js").ScaleMark | undefined} mark
 */
function inWords(label, ends, counts, mark) {
  const parts = [`${label} from ${ends[0]} to ${ends[1]}`.trim()];
  if (mark) parts.push(`${mark.text} is ${mark.words}`);
  if (counts?.low) parts.push(`${formatCount(counts.low)} elements below`);
  if (counts?.high) parts.push(`${formatCount(counts.high)} above`);
  for (const [name, , words] of MARKS) {
    if (counts?.[name]) parts.push(`${formatCount(counts[name])} ${words}`);
  }
  return parts.join(", ");
}

const DIGIT_WIDTH = 6.5;

/**
 * The labels that have room: both ends first, then the others from the middle on.
 * @param {number[]} ticks ascending
 * @param {import("./colour.js").ColourScale} scale
 * @param {(value: number) => string} format
 * @param {number} width CSS pixels
 * @param {number} [marked] a value that has room before all others, instead of those within the ends
 */
function fitting(ticks, scale, format, width, marked) {
  /** @type {{value: number, from: number, to: number}[]} */
  const placed = [];
  const inner = marked === undefined ? ticks.slice(1, -1) : [];
  const middle = (inner.length - 1) / 2;
  const distance = (/** @type {number} */ value) => Math.abs(inner.indexOf(value) - middle);
  const order = [
    ...(marked === undefined ? [] : [marked]),
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

/**
 * What has the overflow's colour: the value of the largest magnitude.
 * @param {{value?: number, of?: string, others?: number, format?: (value: number) => string}} props `of` says whose it is,
 *   `others` how many more overflow
 */
export function BeyondMark({ value, of = "", others = 0, format = formatValue }) {
  if (!value) return null;
  return (
    <span
      class="lv-mark"
      title="Far beyond the colours, which reach over the steps before numbers broke. Max pooling makes the lowest float of NaN."
      data-testid="beyond"
    >
      <i class="lv-swatch lv-swatch-over" style={{ "--lv-swatch": TROUBLE[theme.value].over }} />
      {of && `${of}: `}
      {format(value)}
      {others > 0 && ` and ${formatCount(others)} more`}
    </span>
  );
}

/** What hatching means on a map over the steps. */
export function HatchedMark() {
  return (
    <span class="lv-mark">
      <i class="lv-swatch lv-swatch-hatched" style={{ "--lv-swatch": TROUBLE[theme.value].nan }} />
      NaN or inf
    </span>
  );
}
