import { useState } from "preact/hooks";

import { pluralOf } from "../data/selection.js";
import { Tooltip } from "../kit/Tooltip.jsx";
import { fromUnit, toUnit, TROUBLE } from "../kit/colour.js";
import { formatCount, formatTick } from "../kit/format.js";
import { cssVariable, hatching, pointIn, useCanvas } from "../kit/hooks.js";
import { theme } from "../kit/host.js";
import { describeCell } from "./layer.js";

/** @typedef {import("./rows.js").Row} Row */
/** @typedef {import("./layer.js").MapLayer} MapLayer */

/** The width of the profile, with its margin. */
export const PROFILE_WIDTH = 58;
const PROFILE_MARGIN = 6;
/** As many as three numbers may have together below the profile. */
const MOST_DIGITS = 8;
const WIDTH = PROFILE_WIDTH - PROFILE_MARGIN;

/**
 * The statistic over depth at the selected step: a bar for each row.
 * @param {object} props
 * @param {import("../kit/core.js").Core} props.core
 * @param {import("../data/run.js").Run} props.run
 * @param {MapLayer} props.layer
 * @param {Row[]} props.rows
 * @param {number} props.rowHeight CSS pixels
 * @param {number} props.scrollTop CSS pixels
 * @param {number} props.height CSS pixels
 */
export function Profile(props) {
  const { core, run, layer, rows, rowHeight, scrollTop, height } = props;
  const [hover, setHover] = useState(
    /** @type {{x: number, y: number, row: number} | null} */ (null),
  );
  const stepIndex = core.stepIndex.value;
  const canvas = useCanvas(
    WIDTH,
    height,
    (context, ratio) => drawProfile(context, ratio, props, stepIndex, hover?.row ?? -1),
    [layer, rows, stepIndex, rowHeight, scrollTop, hover?.row, theme.value],
  );
  /** @param {PointerEvent} event */
  const locate = (event) => {
    const { x, y } = pointIn(event);
    return { x, y, row: Math.floor((y + scrollTop) / rowHeight) };
  };
  /** @param {number} row */
  const cellOf = (row) =>
    rows[row]
      ? describeCell({ run, layer, row: rows[row], first: stepIndex, last: stepIndex })
      : null;
  const cell = hover ? cellOf(hover.row) : null;
  return (
    <div
      class="lv-profile"
      data-testid={`profile-${layer.kind}`}
      style={{ height: `${height}px` }}
      onPointerMove={(event) => setHover(locate(event))}
      onPointerLeave={() => setHover(null)}
      onPointerDown={(event) => {
        const chosen = event.button === 0 ? cellOf(locate(event).row) : null;
        if (chosen) core.selectTensor(chosen.tensor);
      }}
    >
      <canvas
        ref={canvas}
        role="img"
        aria-label={`${layer.statistic.label} of the ${pluralOf(layer.kind)} from layer to layer at step ${formatCount(
          core.steps.value[stepIndex] ?? 0,
        )}: ${inWords(layer, rows, stepIndex)}`}
      />
      {hover && cell && (
        <Tooltip lines={cell.lines} x={hover.x} y={hover.y} width={0} height={height} />
      )}
    </div>
  );
}

/**
 * The numbers of the profile's axis, and what it shows.
 * @param {{layer: MapLayer, step: number | undefined}} props
 */
export function ProfileAxis({ layer, step }) {
  const { scale, statistic } = layer;
  const numbers = [0, 0.5, 1].map((unit) => formatTick(fromUnit(scale, unit)));
  // The middle says something where colours diverge around it, if there is room.
  const middle = scale.diverging && numbers.join("").length <= MOST_DIGITS ? [0.5] : [];
  const log = scale.transform !== "linear" ? ", logarithmic" : "";
  return (
    <div
      class="lv-profile-axis"
      title={`${statistic.label}${log}, from layer to layer at the selected step`}
    >
      {[0, ...middle, 1].map((unit) => (
        <span key={unit} style={{ left: `${unit * WIDTH}px` }}>
          {formatTick(fromUnit(scale, unit))}
        </span>
      ))}
      <p>{step === undefined ? "" : `at ${formatCount(step)}`}</p>
    </div>
  );
}

/**
 * The profile in words: its extremes.
 * @param {MapLayer} layer
 * @param {Row[]} rows
 * @param {number} stepIndex
 */
function inWords(layer, rows, stepIndex) {
  const known = rows.flatMap((row) => {
    const value = layer.seriesOf(row)?.values[stepIndex] ?? NaN;
    return Number.isNaN(value) ? [] : [{ value, path: row.node.path }];
  });
  if (!known.length) return "nothing is known.";
  const low = known.reduce((a, b) => (b.value < a.value ? b : a));
  const high = known.reduce((a, b) => (b.value > a.value ? b : a));
  return `from ${layer.format(low.value)} in ${low.path} to ${layer.format(high.value)} in ${high.path}.`;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} ratio
 * @param {Pick<Parameters<typeof Profile>[0], "layer" | "rows" | "rowHeight" | "scrollTop" | "height">} what
 * @param {number} stepIndex
 * @param {number} hoverRow
 */
export function drawProfile(context, ratio, what, stepIndex, hoverRow) {
  const { layer, rows, rowHeight, scrollTop, height } = what;
  const { width } = context.canvas;
  const first = Math.floor(scrollTop / rowHeight);
  const last = Math.min(rows.length, Math.ceil((scrollTop + height) / rowHeight));
  if (!layer.ready) return;
  const { diverging } = layer.scale;
  const ground = diverging ? width / 2 : 0;
  const [track, hover] = [cssVariable("--lv-track"), cssVariable("--lv-border")];
  const bar = cssVariable("--lv-bar");
  const hatch = hatching(context, TROUBLE[theme.value].nan, cssVariable("--lv-surface"), ratio);
  for (let row = first; row < last; row++) {
    const top = Math.round((row * rowHeight - scrollTop) * ratio);
    const full = Math.round((rowHeight - 1) * ratio);
    context.fillStyle = row === hoverRow ? hover : track;
    context.fillRect(0, top, width, full);
    const series = layer.seriesOf(rows[row]);
    if (!series) continue;
    if (series.nonFinite[stepIndex] > 0) {
      context.fillStyle = hatch;
      context.fillRect(0, top, width, full);
      continue;
    }
    const value = series.values[stepIndex];
    if (value === undefined || Number.isNaN(value)) continue;
    const thick = Math.min(full, Math.max(4 * ratio, full * 0.6));
    const end = Math.min(1, Math.max(0, toUnit(layer.scale, value))) * width;
    context.fillStyle = bar;
    const from = Math.min(ground, end);
    context.fillRect(
      from,
      top + (full - thick) / 2,
      Math.max(ratio, Math.abs(end - ground)),
      thick,
    );
  }
}
