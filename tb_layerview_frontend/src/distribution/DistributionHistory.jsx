import { useMemo } from "preact/hooks";

import { HatchedMark } from "../kit/ColourBar.jsx";
import { HoleMark } from "../kit/HoleMark.jsx";
import { StepTicks } from "../kit/Ticks.jsx";
import { WordsTable } from "../kit/WordsTable.jsx";
import { columnSteps, cursorAt, indexAt, makeStepAxis } from "../kit/axis.js";
import { TROUBLE } from "../kit/colour.js";
import { formatCount, formatTicks, formatValue } from "../kit/format.js";
import { drawHoles } from "../kit/holes.js";
import { cssVariable, hatching, pointIn, useCanvas } from "../kit/hooks.js";
import { theme } from "../kit/host.js";
import { valueTicks, valueToPosition } from "../kit/value_axis.js";
import { bandsAt } from "./bands.js";
import { drawBands, drawHeat } from "./draw.js";
import { historyShares } from "./histogram.js";
import { pointAt } from "./pointing.js";
import { belowInWords, countAt, spread, TOLD, toldQuantiles } from "./words.js";

/** @typedef {import("../data/payload.js").Histogram} Histogram */
/** @typedef {import("../kit/value_axis.js").ValueAxis} ValueAxis */
/** @typedef {import("./pointing.js").Pointed} Pointed */

/** Room below a chart: its ticks, its axis' name, its key. */
export const BELOW = 66;
export const MOST_TOLD = 12;

/**
 * Step × value: the stronger the colour, the more elements, or bands of quantiles.
 * @param {object} props
 * @param {import("../kit/core.js").Core} props.core
 * @param {number[]} props.steps all that are logged
 * @param {number[]} props.kept indices of those of which something is known
 * @param {(Histogram | null)[]} props.bySteps
 * @param {import("./bands.js").Bands | null} props.bands null for a heat map
 * @param {Float32Array | null} props.broken the share of non-finite elements by step
 * @param {ValueAxis} props.axis
 * @param {number} props.width
 * @param {number} props.height
 * @param {Pointed | null} props.pointed
 * @param {(at: Pointed | null) => void} props.onPoint
 */
export function DistributionHistory(props) {
  const { core, steps, kept, bySteps, bands, axis, width, height, pointed, onPoint } = props;
  const spacing = core.spacing.value;
  const stepAxis = useMemo(
    () =>
      makeStepAxis(
        kept.map((step) => steps[step]),
        spacing,
        steps,
      ),
    [kept, steps, spacing],
  );
  const mapHeight = Math.max(0, height - BELOW);
  const canvas = useHistoryCanvas({ ...props, stepAxis, mapHeight });
  const index = core.stepIndex.value;
  const at = cursorAt(stepAxis, steps[index], width);
  /** @param {PointerEvent} event */
  const locate = (event) => {
    const { x, y } = pointIn(event);
    return pointAt(axis, mapHeight, y, kept[indexAt(stepAxis, x / width)]);
  };
  const over = pointed?.index ?? null;
  return (
    <>
      <ValueTicks axis={axis} height={mapHeight} />
      <div class="lv-heat" style={{ width: `${width}px` }}>
        <div
          class="lv-heat-canvas"
          data-testid="distribution"
          role="img"
          aria-label={
            bands
              ? "Quantiles of the values over the steps. A table follows."
              : "Distribution of the values over the steps; the stronger the colour, the more elements have that value. A table follows."
          }
          style={{ width: `${width}px`, height: `${mapHeight}px` }}
          onPointerDown={(event) => {
            event.currentTarget.setPointerCapture(event.pointerId);
            core.selectStep(locate(event).index ?? 0);
          }}
          onPointerMove={(event) => {
            const found = locate(event);
            onPoint(found);
            if (event.buttons & 1) core.selectStep(found.index ?? 0);
          }}
          onPointerLeave={() => onPoint(null)}
        >
          <canvas ref={canvas} data-chart="history" />
          <i class="lv-now" style={{ left: `${at}px` }} />
          {pointed && <ValueLine axis={axis} value={pointed.value} height={mapHeight} />}
          {pointed && over !== null && (
            <HistoryTip
              pointed={pointed}
              step={steps[over]}
              histogram={bySteps[over] ?? null}
              bands={bands && bandsAt(bands, over)}
              x={stepAxis.positionOf(steps[over]) * width}
              y={(1 - valueToPosition(axis, pointed.value)) * mapHeight}
              width={width}
              height={mapHeight}
            />
          )}
        </div>
        <StepTicks axis={stepAxis} width={width} />
        <Key
          bands={bands !== null}
          broken={props.broken?.some((share) => share > 0) ?? false}
          kept={kept.length}
          logged={steps.length}
          axis={stepAxis}
        />
      </div>
      <WordsTable
        testid="distribution-table"
        caption={`Quantiles at ${kept.length > MOST_TOLD ? `${MOST_TOLD} of ` : ""}${kept.length} steps`}
        head={["step", ...TOLD.map(([name]) => name)]}
        rows={spread(kept, MOST_TOLD).map((step) => [
          formatCount(steps[step]),
          ...told(bands, bySteps[step], step).map(formatValue),
        ])}
      />
    </>
  );
}

/**
 * @param {import("./bands.js").Bands | null} bands
 * @param {Histogram | null | undefined} histogram
 * @param {number} step
 */
function told(bands, histogram, step) {
  if (bands) return TOLD.map(([name]) => bands[name][step]);
  return histogram ? toldQuantiles(histogram) : TOLD.map(() => NaN);
}

/**
 * @param {Parameters<typeof DistributionHistory>[0] & {stepAxis: import("../kit/axis.js").StepAxis, mapHeight: number}} props
 */
function useHistoryCanvas({ kept, bySteps, bands, broken, axis, width, stepAxis, mapHeight }) {
  const ratio = window.devicePixelRatio || 1;
  const across = Math.max(1, Math.round(width * ratio));
  const bins = Math.max(8, Math.min(160, Math.floor(mapHeight / 1.5)));
  const columns = useMemo(() => columnSteps(stepAxis, across), [stepAxis, across]);
  const shares = useMemo(() => {
    if (bands) return null;
    const own = kept.map((step) => bySteps[step]);
    return historyShares(own, columns.first, columns.last, axis, bins);
  }, [bands, kept, bySteps, columns, axis, bins]);
  const lines = useMemo(() => {
    if (!bands) return null;
    const pick = (/** @type {Float32Array} */ all) => Float32Array.from(kept, (step) => all[step]);
    return /** @type {import("./bands.js").Bands} */ (
      Object.fromEntries(Object.entries(bands).map(([name, all]) => [name, pick(all)]))
    );
  }, [bands, kept]);
  return useCanvas(
    width,
    mapHeight,
    (context) => {
      drawHoles(context, stepAxis, ratio);
      if (shares) drawHeat(context, shares, bins, theme.value);
      if (lines) {
        const colours = {
          band: cssVariable("--lv-bar"),
          median: cssVariable("--lv-text"),
          ends: cssVariable("--lv-secondary"),
        };
        drawBands(context, lines, columns, axis, colours, ratio);
      }
      const { height } = context.canvas;
      if (axis.low < 0 && axis.high > 0) {
        context.fillStyle = cssVariable("--lv-faint");
        context.globalAlpha = 0.5;
        const zero = (1 - valueToPosition(axis, 0)) * height;
        context.fillRect(0, Math.round(zero), across, Math.max(1, Math.round(ratio / 2)));
        context.globalAlpha = 1;
      }
      if (!broken) return;
      const { nan } = TROUBLE[theme.value];
      context.fillStyle = hatching(context, nan, cssVariable("--lv-surface"), ratio);
      kept.forEach((step, i) => {
        if (!(broken[step] > 0)) return;
        const from = stepAxis.starts[i] * across;
        const wide = Math.max(3 * ratio, stepAxis.ends[i] * across - from);
        // Where nothing at all is finite there is nothing to cover.
        const empty = bands ? Number.isNaN(bands.p50[step] ?? NaN) : !bySteps[step]?.total;
        context.fillRect(from, 0, wide, empty ? height : 6 * ratio);
      });
    },
    [shares, lines, columns, axis, theme.value, broken, kept],
  );
}

/** @param {{axis: ValueAxis, height: number}} props */
function ValueTicks({ axis, height }) {
  const ticks = valueTicks(axis, Math.max(2, Math.floor((height - 16) / 26)));
  const texts = formatTicks(ticks, formatValue);
  return (
    <div class="lv-value-ticks" aria-hidden="true" style={{ height: `${height}px` }}>
      <b>value</b>
      {ticks.map((value, i) => {
        const at = (1 - valueToPosition(axis, value)) * height;
        // Room for the axis' name, at the top.
        return at < 22 ? null : (
          <span key={value} style={{ top: `${at}px` }}>
            {texts[i]}
          </span>
        );
      })}
    </div>
  );
}

/** @param {{axis: ValueAxis, value: number, height: number}} props */
export function ValueLine({ axis, value, height }) {
  return (
    <i class="lv-value-line" style={{ top: `${(1 - valueToPosition(axis, value)) * height}px` }} />
  );
}

/** @param {{bands: boolean, broken: boolean, kept: number, logged: number, axis: import("../kit/axis.js").StepAxis}} props */
function Key({ bands, broken, kept, logged, axis }) {
  return (
    <p class="lv-chart-key">
      {bands ? (
        <>
          <span>
            <i class="lv-key-band" data-band="0" />
            p1–p99
          </span>
          <span>
            <i class="lv-key-band" data-band="1" />
            p5–p95
          </span>
          <span>
            <i class="lv-key-band" data-band="2" />
            p25–p75
          </span>
          <span>
            <i class="lv-key-line" />
            median
          </span>
          <span>
            <i class="lv-key-line" data-dashed />
            min, max
          </span>
        </>
      ) : (
        <span>the stronger, the more elements</span>
      )}
      {broken && <HatchedMark />}
      <HoleMark axis={axis} what={kept < logged ? "kept" : "logged"} />
      {kept < logged && (
        <span>
          kept at {formatCount(kept)} of {formatCount(logged)} steps
        </span>
      )}
    </p>
  );
}

/**
 * @param {object} props
 * @param {Pointed} props.pointed
 * @param {number} props.step
 * @param {Histogram | null} props.histogram
 * @param {Record<string, number> | null} props.bands
 * @param {number} props.x
 * @param {number} props.y
 * @param {number} props.width
 * @param {number} props.height
 */
export function HistoryTip({ pointed, step, histogram, bands, x, y, width, height }) {
  const { value, slack } = pointed;
  const quantiles = bands
    ? Object.entries(bands)
    : histogram
      ? toldQuantiles(histogram).map((one, i) => /** @type {const} */ ([TOLD[i][0], one]))
      : [];
  const text = (/** @type {readonly (readonly [string, number])[]} */ some) =>
    some.map(([name, one]) => `${name} ${formatValue(one)}`).join(" · ");
  return (
    <div
      class="lv-tooltip lv-tooltip-wide"
      role="tooltip"
      data-testid="distribution-tip"
      data-side={x > width / 2 ? "left" : "right"}
      style={{ left: `${x}px`, top: `${Math.max(0, Math.min(y, height - 122))}px` }}
    >
      <div class="lv-tooltip-title">step {formatCount(step)}</div>
      {histogram?.total ? (
        <>
          <div>{countAt(histogram, value, slack)}</div>
          <div>{belowInWords(histogram, value)}</div>
        </>
      ) : (
        <div>value {formatValue(value)}; no histogram is kept</div>
      )}
      {[0, 3, 6].map((from) => (
        <div key={from}>{text(quantiles.slice(from, from + 3))}</div>
      ))}
    </div>
  );
}
