import { useMemo, useState } from "preact/hooks";

import { ColourBar } from "../kit/ColourBar.jsx";
import { StepTicks } from "../kit/Ticks.jsx";
import { WordsTable } from "../kit/WordsTable.jsx";
import { columnSteps, indexAt, makeStepAxis, positionOfStep, stepTicks } from "../kit/axis.js";
import { LEVELS, levelOf, palette, statisticScale, TROUBLE } from "../kit/colour.js";
import { withAxes } from "../kit/figure.js";
import { formatCount, formatExact, formatShare, formatValue } from "../kit/format.js";
import { cssVariable, hatching, pointIn, useCanvas, useSize } from "../kit/hooks.js";
import { theme } from "../kit/host.js";
import { scaleRange } from "../kit/scale_range.js";
import { BROKEN, PARTLY_SILENT, SILENT, silenceInWords, sizeRange, toPixels } from "./units.js";

/** @typedef {import("../page/store.js").Store} Store */
/** @typedef {import("./UnitsView.jsx").UnitsShown} UnitsShown */
/** @typedef {import("../kit/axis.js").Spacing} Spacing */

const MOST_TOLD = 256;
const LABEL_HEIGHT = 14;
const BELOW = 34;

/**
 * Units × steps.
 * @param {{store: Store, shown: UnitsShown}} props
 */
export function UnitsMap({ store, shown }) {
  const [ref, size] = /** @type {ReturnType<typeof useSize<HTMLDivElement>>} */ (useSize());
  const [hover, setHover] = useState(
    /** @type {{x: number, y: number, row: number, position: number} | null} */ (null),
  );
  const { column, statistic, steps, at, rows, unit, silence, silent } = shown;
  const spacing = /** @type {Spacing} */ (store.view.spacing.value);
  const axis = useMemo(() => makeStepAxis(steps, spacing), [steps, spacing]);
  const width = Math.max(0, size.width - 54);
  const height = Math.max(0, size.height - BELOW);
  const scale = useMemo(
    () =>
      statisticScale(
        statistic.scale,
        statistic.scale === "size"
          ? sizeRange(column.values)
          : scaleRange([column.values], statistic.scale),
      ),
    [column, statistic],
  );
  const canvas = useUnitsCanvas(shown, axis, scale, width, height);
  const chosen = store.view.unit.value;
  const chosenRow = chosen === null ? -1 : rows.indexOf(chosen);
  const count = column.units;

  /** @param {PointerEvent | MouseEvent} event */
  const locate = (event) => {
    const { x, y } = pointIn(event);
    const row = Math.min(count - 1, Math.max(0, Math.floor((y / height) * count)));
    return { x, y, row, position: indexAt(axis, x / width) };
  };
  /** @param {KeyboardEvent} event */
  const walk = (event) => {
    const to = {
      ArrowUp: Math.max(0, chosenRow - 1),
      ArrowDown: Math.min(count - 1, chosenRow + 1),
    }[event.key];
    if (event.key === "Escape") store.view.unit.value = null;
    if (to === undefined) return;
    // Up and down walk through the units; left and right are steps, here as everywhere.
    event.preventDefault();
    event.stopPropagation();
    store.view.unit.value = rows[to];
  };
  const told = Array.from(rows.subarray(0, MOST_TOLD));
  return (
    <>
      <div class="lv-units-map" ref={ref}>
        {width > 0 && height > 0 && (
          <>
            <RowLabels rows={rows} height={height} unit={unit} />
            <div>
              <div
                class="lv-heat-canvas"
                data-testid="units-map"
                role="img"
                tabIndex={0}
                aria-label={`${statistic.label} of ${count} ${unit}s over ${steps.length} steps. With the up and down keys you choose a ${unit}. A table follows.`}
                style={{ width: `${width}px`, height: `${height}px` }}
                onPointerMove={(event) => setHover(locate(event))}
                onPointerLeave={() => setHover(null)}
                onClick={(event) => {
                  const { row, position } = locate(event);
                  store.view.unit.value = rows[row];
                  store.selectStep(column.indices[position]);
                }}
                onKeyDown={walk}
              >
                <canvas ref={canvas} data-chart="units" data-testid="units" />
                <i
                  class="lv-now"
                  style={{
                    left: `${positionOfStep(axis, store.steps.value[store.stepIndex.value] ?? 0) * width}px`,
                  }}
                />
                {chosenRow >= 0 && (
                  <i
                    class="lv-unit-chosen"
                    style={{
                      top: `${(chosenRow / count) * height}px`,
                      height: `${Math.max(3, height / count)}px`,
                    }}
                  />
                )}
                {hover && (
                  <div
                    class="lv-tooltip lv-tooltip-wide"
                    role="tooltip"
                    data-testid="units-tip"
                    data-side={hover.x > width / 2 ? "left" : "right"}
                    style={{
                      left: `${hover.x}px`,
                      top: `${Math.max(0, Math.min(hover.y, height - 60))}px`,
                    }}
                  >
                    <UnitTip shown={shown} row={hover.row} position={hover.position} />
                  </div>
                )}
              </div>
              <StepTicks axis={axis} width={width} />
            </div>
          </>
        )}
      </div>
      <div class="lv-units-legend">
        <ColourBar
          scale={scale}
          label={statistic.label}
          format={statistic.scale === "share" ? formatShare : formatValue}
          hatched={shown.broken}
        />
        <span class="lv-mark">
          <i class="lv-swatch lv-swatch-silent" />
          {silent.short}
        </span>
        {count > height && (
          <span class="lv-mark">
            <i class="lv-swatch lv-swatch-partly" />
            partly
          </span>
        )}
      </div>
      <WordsTable
        testid="units-table"
        caption={`${statistic.label} of each ${unit} at step ${formatCount(steps[at])}${count > MOST_TOLD ? `: the first ${MOST_TOLD} of ${count} as sorted` : ""}`}
        head={[unit, statistic.label, "silence"]}
        rows={told.map((one) => [
          one,
          showValue(column.values[at * count + one], statistic.scale),
          silenceInWords(silence[one], steps, silent.long),
        ])}
      />
    </>
  );
}

/**
 * @param {number} value
 * @param {"size" | "signed" | "share"} scale
 */
export function showValue(value, scale) {
  return scale === "share" ? formatShare(value) : formatExact(value);
}

/**
 * @param {UnitsShown} shown
 * @param {import("../kit/axis.js").StepAxis} axis
 * @param {import("../kit/colour.js").ColourScale} scale
 * @param {number} width
 * @param {number} height
 */
function useUnitsCanvas({ column, peaks, rows }, axis, scale, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const across = Math.max(1, Math.round(width * ratio));
  // Few units need no more rows of pixels than there are of them.
  const down = Math.max(1, Math.min(column.units, Math.round(height * ratio)));
  const pixels = useMemo(
    () => toPixels(column, peaks, rows, down, columnSteps(axis, across)),
    [column, peaks, rows, down, axis, across],
  );
  return useCanvas(
    width,
    height,
    (context) => {
      const { values, marks } = pixels;
      const colours = palette(theme.value, scale.diverging);
      const silent = packed("--lv-silent");
      const image = new ImageData(across, down);
      const bits = new Uint32Array(image.data.buffer);
      for (let i = 0; i < bits.length; i++) {
        const level = levelOf(scale, values[i]);
        const own = level < LEVELS ? colours[level] : 0;
        if (marks[i] === SILENT) bits[i] = silent;
        else if (marks[i] === PARTLY_SILENT) bits[i] = halfWay(own, silent);
        else bits[i] = own;
      }
      const small = document.createElement("canvas");
      small.width = across;
      small.height = down;
      /** @type {CanvasRenderingContext2D} */ (small.getContext("2d")).putImageData(image, 0, 0);
      const { width: w, height: h } = context.canvas;
      context.imageSmoothingEnabled = false;
      context.drawImage(small, 0, 0, across, down, 0, 0, w, h);
      drawBroken(context, marks, across, down, ratio);
    },
    [pixels, scale, theme.value],
  );
}

/**
 * What is not finite is hatched, and never thinner than can be seen.
 * @param {CanvasRenderingContext2D} context
 * @param {Uint8Array} marks
 * @param {number} across
 * @param {number} down
 * @param {number} ratio
 */
function drawBroken(context, marks, across, down, ratio) {
  if (!marks.includes(BROKEN)) return;
  const { nan } = TROUBLE[theme.value];
  context.fillStyle = hatching(context, nan, cssVariable("--lv-surface"), ratio);
  const tall = Math.max(2 * ratio, context.canvas.height / down);
  for (let y = 0; y < down; y++) {
    for (let x = 0; x < across; x++) {
      if (marks[y * across + x] !== BROKEN) continue;
      let end = x + 1;
      while (end < across && marks[y * across + end] === BROKEN) end++;
      const top = (y / down) * context.canvas.height;
      context.fillRect(x, top, Math.max(2 * ratio, end - x), tall);
      x = end;
    }
  }
}

/** A colour of the style sheet as the bits of an ImageData. @param {string} name */
function packed(name) {
  const hex = cssVariable(name);
  const [r, g, b] = [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));
  return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
}

/**
 * @param {number} a
 * @param {number} b
 */
function halfWay(a, b) {
  if (!a) return b;
  let mixed = 0xff000000;
  for (const shift of [0, 8, 16]) {
    mixed += ((((a >>> shift) & 255) + ((b >>> shift) & 255)) >> 1) << shift;
  }
  return mixed >>> 0;
}

/** @param {{rows: Uint32Array, height: number, unit: string}} props */
function RowLabels({ rows, height, unit }) {
  return (
    <div class="lv-value-ticks" aria-hidden="true" style={{ height: `${height}px` }}>
      <b data-below style={{ top: `${height + 17}px` }}>
        {unit}
      </b>
      {labelled(rows, height).map(({ row, at }) => (
        <span key={row} style={{ top: `${Math.max(LABEL_HEIGHT / 2, at * height)}px` }}>
          {rows[row]}
        </span>
      ))}
    </div>
  );
}

/**
 * The rows that have room for a label.
 * @param {Uint32Array} rows
 * @param {number} height
 */
function labelled(rows, height) {
  const fit = Math.max(1, Math.floor(height / LABEL_HEIGHT));
  const every =
    [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000].find((n) => rows.length / n <= fit) ??
    rows.length;
  const found = [];
  for (let row = 0; row < rows.length; row += every) {
    const at = (row + 0.5) / rows.length;
    if (at * height >= LABEL_HEIGHT / 3) found.push({ row, at });
  }
  return found;
}

/** @param {{shown: UnitsShown, row: number, position: number}} props */
function UnitTip({ shown, row, position }) {
  const { column, peaks, statistic, steps, rows, silence, silent, unit } = shown;
  const own = rows[row];
  const place = position * column.units + own;
  return (
    <>
      <div class="lv-tooltip-title">
        {unit} {own} · step {formatCount(steps[position])}
      </div>
      <div>
        {statistic.label} {showValue(column.values[place], statistic.scale)}
        {peaks[place] === 0 && `, ${silent.short}`}
      </div>
      <div>{silenceInWords(silence[own], steps, silent.long)}</div>
    </>
  );
}

/**
 * The map with its axes, for a file.
 * @param {HTMLCanvasElement} canvas
 * @param {UnitsShown} shown
 * @param {Spacing} spacing
 */
export function unitsFigure(canvas, { rows, steps, unit }, spacing) {
  const height = canvas.height / (window.devicePixelRatio || 1);
  return withAxes([
    {
      canvas,
      left: {
        name: unit,
        ticks: labelled(rows, height).map(({ row, at }) => ({ at, text: String(rows[row]) })),
      },
      bottom: {
        name: "step",
        ticks: stepTicks(makeStepAxis(steps, spacing), 6).map(({ step, position }) => ({
          at: position,
          text: formatCount(step),
        })),
      },
    },
  ]);
}
