import { useState } from "preact/hooks";

import { pluralOf } from "../data/selection.js";
import { spansOf } from "../findings/marks.js";
import { ruleInWords } from "../findings/words.js";
import { Tooltip } from "../kit/Tooltip.jsx";
import { columnSteps, cursorAt, holeAt, indexAt, stretches } from "../kit/axis.js";
import { EMPTY, levelOf, palette, TROUBLE } from "../kit/colour.js";
import { BREAK_WIDTH, drawHoles, tellHole } from "../kit/holes.js";
import { cssVariable, hatching, pointIn, useCanvas } from "../kit/hooks.js";
import { theme } from "../kit/host.js";
import { markFirstPaint } from "../kit/timing.js";
import { Profile } from "./Profile.jsx";
import { toColumns, troubleRuns } from "./aggregate.js";
import { describeCell } from "./layer.js";

/** @typedef {import("./rows.js").Row} Row */
/** @typedef {import("./layer.js").MapLayer} MapLayer */

/** How wide a single bad step is at least. */
const LEAST_TROUBLE = 6;

/**
 * What lies across a map, one thing a column.
 * @typedef {object} Across
 * @property {string} what what they are called
 * @property {number} index of the one that is selected; -1 for none
 * @property {(index: number) => void} choose selects another one
 * @property {boolean} drags whether one is selected while the pointer is drawn over it
 * @property {boolean} profile whether the one that is selected is drawn beside the map, too
 */

/**
 * One kind's map, what of it is selected, and the profile of that.
 * @param {object} props
 * @param {import("../kit/core.js").Core} props.core
 * @param {import("../data/run.js").Run} props.run
 * @param {MapLayer} props.layer
 * @param {Row[]} props.rows
 * @param {import("../kit/axis.js").StepAxis} props.axis
 * @param {Map<number, import("../findings/findings.js").Finding[]>} props.found what is found, by tensor
 * @param {Across} props.across
 * @param {number} props.selectedRow
 * @param {number} props.rowHeight CSS pixels
 * @param {number} props.scrollTop CSS pixels
 * @param {number} props.width CSS pixels, without the profile
 * @param {number} props.height CSS pixels
 */
export function MapCanvas(props) {
  const { core, run, layer, rows, axis, found, across } = props;
  const { selectedRow, rowHeight, scrollTop, width, height } = props;
  const [hover, setHover] = useState(
    /** @type {{x: number, y: number, row: number} | null} */ (null),
  );
  const base = useCanvas(width, height, (context, ratio) => drawMap(context, ratio, props), [
    layer,
    rows,
    axis,
    found,
    rowHeight,
    scrollTop,
    theme.value,
  ]);
  const { index } = across;
  const { statistic } = layer.level ?? layer;
  const selectedHere = run.info.tensors[core.tensor.value]?.kind === layer.kind;
  const overlay = useCanvas(
    width,
    height,
    (context, ratio) =>
      drawMarks(context, ratio, {
        row: selectedRow,
        strong: selectedHere,
        hoverRow: hover?.row ?? -1,
        rowHeight,
        scrollTop,
      }),
    [selectedRow, selectedHere, hover?.row, rowHeight, scrollTop, theme.value],
  );

  /** @param {PointerEvent} event */
  const locate = (event) => {
    const { x, y } = pointIn(event);
    const row = Math.floor((y + scrollTop) / rowHeight);
    return { x, y, row: Math.min(rows.length - 1, Math.max(0, row)) };
  };
  /** @param {number} x @param {number} row */
  const cellAt = (x, row) => {
    const columns = Math.max(1, Math.round(width * (devicePixelRatio || 1)));
    const column = Math.min(columns - 1, Math.max(0, Math.floor((x / width) * columns)));
    const first = indexAt(axis, column / columns);
    const last = Math.max(first, indexAt(axis, (column + 1) / columns - 1e-12));
    const cell = describeCell({ run, layer, row: rows[row], first, last });
    const here = findingsOf(rows[row], layer, run, found).filter(
      (finding) => finding.first <= axis.steps[last] && finding.last >= axis.steps[first],
    );
    const words = here.map(
      ({ rule, severity, since }) => `${severity}: ${ruleInWords(rule)}, ${since}`,
    );
    return cell && { ...cell, lines: [...cell.lines, ...new Set(words)].slice(0, 9) };
  };
  /** @param {PointerEvent} event */
  const choose = (event) => {
    const { x, row } = locate(event);
    const cell = rows.length && !holeHere(x) ? cellAt(x, row) : null;
    if (cell) core.selectTensor(cell.tensor);
    across.choose(cell?.step ?? indexAt(axis, x / width));
  };
  /** @param {number} x */
  const holeHere = (x) => holeAt(axis, x / width, BREAK_WIDTH / width);
  const hole = hover && holeHere(hover.x);
  const cell = hover && !hole && rows[hover.row] ? cellAt(hover.x, hover.row) : null;
  const lines = hole ? tellHole(hole, run) : (cell?.lines ?? []);

  return (
    <div class="lv-map-column">
      <div
        class="lv-map-canvas"
        data-testid={`map-${layer.kind}`}
        role="img"
        aria-label={`${statistic.label} of the ${pluralOf(layer.kind)}${layer.level ? ", its change since the start" : ""}, layers down, ${across.what} across. Use the arrow keys to move.`}
        style={{ width: `${width}px`, height: `${height}px` }}
        onPointerDown={(event) => {
          if (event.button !== 0) return;
          event.currentTarget.setPointerCapture(event.pointerId);
          choose(event);
        }}
        onPointerMove={(event) => {
          setHover(locate(event));
          if (event.buttons & 1 && across.drags) choose(event);
        }}
        onPointerLeave={() => setHover(null)}
      >
        <canvas ref={base} data-testid="map-canvas" />
        <canvas ref={overlay} />
        {index >= 0 && layer.ready && (
          <i
            class="lv-now"
            data-halo
            style={{ left: `${cursorAt(axis, axis.steps[index], width)}px` }}
          />
        )}
        {layer.problem && <p class="lv-map-message lv-error">{layer.problem}</p>}
        {!layer.problem && !layer.ready && <p class="lv-map-message">Loading the statistics…</p>}
        {!layer.problem && layer.unknown && (
          <p class="lv-map-message" data-testid="unknown-statistic">
            No {statistic.label} of these {pluralOf(layer.kind)} is known: none of them has one, or
            the log is of an older version.
          </p>
        )}
      </div>
      {across.profile && <Profile {...props} layer={layer.level ?? layer} />}
      {hover && lines.length > 0 && (
        <Tooltip lines={lines} x={hover.x} y={hover.y} width={width} height={height} />
      )}
    </div>
  );
}

/**
 * What is found of a row's tensors of the map's kind.
 * @param {Row} row
 * @param {MapLayer} layer
 * @param {import("../data/run.js").Run} run
 * @param {Map<number, import("../findings/findings.js").Finding[]>} found
 */
function findingsOf(row, { kind }, { info }, found) {
  return found.size
    ? row.tensors.flatMap((tensor) =>
        info.tensors[tensor].kind === kind ? (found.get(tensor) ?? []) : [],
      )
    : [];
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} ratio
 * @param {Pick<Parameters<typeof MapCanvas>[0], "run" | "layer" | "rows" | "axis" | "found" | "rowHeight" | "scrollTop" | "height">} what
 */
export function drawMap(
  context,
  ratio,
  { run, layer, rows, axis, found, rowHeight, scrollTop, height },
) {
  const { width } = context.canvas;
  const first = Math.floor(scrollTop / rowHeight);
  const last = Math.min(rows.length, Math.ceil((scrollTop + height) / rowHeight));
  if (!layer.ready || last <= first) return;
  const columns = columnSteps(axis, width);
  const colours = palette(theme.value, layer.scale.diverging);
  const line = new ImageData(width, 1);
  const pixels = new Uint32Array(line.data.buffer);
  const strip = document.createElement("canvas");
  strip.width = width;
  strip.height = 1;
  const stripContext = /** @type {CanvasRenderingContext2D} */ (strip.getContext("2d"));
  context.imageSmoothingEnabled = false;
  if (axis.spacing !== "even") drawHoles(context, axis, ratio);
  const { nan } = TROUBLE[theme.value];
  const ground = cssVariable("--lv-surface");
  const hatch = hatching(context, nan, ground, ratio);
  // An error's band is twice as high as a warning's: which it is shows without its colour.
  const bands = {
    error: { share: 0.5, fill: hatching(context, ground, nan, ratio) },
    warning: { share: 0.25, fill: hatching(context, ground, cssVariable("--lv-warn"), ratio) },
  };
  for (let row = first; row < last; row++) {
    const series = layer.seriesOf(rows[row]);
    if (!series) continue;
    const { values, trouble } = toColumns(series, columns, layer.badness);
    const scale = layer.scaleOf(rows[row]);
    for (let x = 0; x < width; x++) {
      if (columns.last[x] < columns.first[x]) pixels[x] = 0;
      else
        pixels[x] = Number.isNaN(values[x]) ? colours[EMPTY] : colours[levelOf(scale, values[x])];
    }
    stripContext.putImageData(line, 0, 0);
    const top = Math.round((row * rowHeight - scrollTop) * ratio);
    const bottom = Math.round(((row + 1) * rowHeight - scrollTop - 1) * ratio);
    context.drawImage(strip, 0, 0, width, 1, 0, top, width, bottom - top);
    context.fillStyle = hatch;
    for (const [from, to] of troubleRuns(trouble, Math.round(LEAST_TROUBLE * ratio))) {
      context.fillRect(from, top, to - from, bottom - top);
    }
    // NaN and infinities are hatched where they are, the other findings from their first to their last step.
    const marked = findingsOf(rows[row], layer, run, found).filter(
      ({ rule }) => rule !== "non_finite",
    );
    for (const { from, to, severity } of spansOf(marked, axis.steps)) {
      const { share, fill } = bands[severity];
      const high = Math.max(4 * ratio, Math.round(share * (bottom - top)));
      context.fillStyle = fill;
      for (const [left, right] of stretches(axis, (i) => i >= from && i <= to)) {
        const wide = Math.max(LEAST_TROUBLE * ratio, (right - left) * width);
        context.fillRect(left * width, bottom - high, wide, high);
      }
    }
  }
  // Between two steps that lie side by side there is no room below the rows.
  if (axis.spacing === "even") drawHoles(context, axis, ratio);
  markFirstPaint("map");
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} ratio
 * @param {{row: number, strong: boolean, hoverRow: number, rowHeight: number, scrollTop: number}} what
 */
function drawMarks(context, ratio, { row, strong, hoverRow, rowHeight, scrollTop }) {
  const { width } = context.canvas;
  const accent = cssVariable("--lv-now");
  const halo = cssVariable("--lv-surface");
  const rowTop = (/** @type {number} */ at) => (at * rowHeight - scrollTop) * ratio;
  if (hoverRow >= 0 && hoverRow !== row) {
    context.strokeStyle = cssVariable("--lv-faint");
    context.lineWidth = ratio;
    context.strokeRect(
      0.5 * ratio,
      rowTop(hoverRow) - 0.5 * ratio,
      width - ratio,
      rowHeight * ratio,
    );
  }
  if (row >= 0) {
    context.globalAlpha = strong ? 1 : 0.4;
    // A halo: the frame is as visible on dark rows as on light ones.
    for (const [colour, thickness] of /** @type {const} */ ([
      [halo, 3],
      [accent, 1.5],
    ])) {
      context.strokeStyle = colour;
      context.lineWidth = thickness * ratio;
      context.strokeRect(ratio, rowTop(row) - 0.5 * ratio, width - 2 * ratio, rowHeight * ratio);
    }
    context.globalAlpha = 1;
  }
}
