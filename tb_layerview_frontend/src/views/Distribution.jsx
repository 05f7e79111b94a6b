import { useMemo, useState } from "preact/hooks";

import { columnSteps, indexAt, makeStepAxis } from "../axis.js";
import { LEVELS, palette } from "../colour.js";
import { formatCount, formatShare, formatValue } from "../format.js";
import {
  historyShares,
  makeValueAxis,
  positionToValue,
  quantiles,
  rangeOverSteps,
  rebin,
  valueToPosition,
} from "../histogram.js";
import { theme } from "../host.js";
import { UnitsView } from "./UnitsView.jsx";
import { cssVariable, hatching, pointIn, useCanvas, useSize } from "./hooks.js";

/** @typedef {import("../store.js").Store} Store */
/** @typedef {import("../run_data.js").Run} Run */
/** @typedef {import("../payload.js").Histogram} Histogram */
/** @typedef {import("../histogram.js").ValueAxis} ValueAxis */

const HISTOGRAM_BINS = 56;

/**
 * The tensor's distribution over all steps, and beside it, on the same value axis, that of the selected step.
 * @param {{store: Store, run: Run}} props
 */
export function Distribution({ store, run }) {
  const { view } = store;
  const asUnits = view.panel.value === "units";
  const loaded = store.histograms.value;
  const unreadable = loaded.status === "ready" ? loaded.value.unreadable : 0;
  return (
    <section class="lv-distribution" aria-label="Distribution">
      <div class="lv-panel-head">
        <div class="lv-tabs" role="tablist" aria-label="Distribution or units">
          {[
            ["histogram", "Distribution"],
            ["units", "Units"],
          ].map(([name, label]) => (
            <button
              key={name}
              type="button"
              role="tab"
              data-testid={`panel-${name}`}
              aria-selected={view.panel.value === name}
              onClick={() => {
                view.panel.value = name;
              }}
            >
              {label}
            </button>
          ))}
        </div>
        {!asUnits && unreadable > 0 && (
          <span class="lv-error" role="alert">
            {formatCount(unreadable)} histograms could not be read
          </span>
        )}
        {!asUnits && (
          <label class="lv-select">
            <select
              data-testid="value-axis"
              aria-label="Value axis"
              value={view.values.value}
              onChange={(event) => {
                view.values.value = event.currentTarget.value;
              }}
            >
              <option value="linear">linear values</option>
              <option value="log">logarithmic values</option>
            </select>
          </label>
        )}
      </div>
      {asUnits ? <UnitsView store={store} run={run} /> : <Charts store={store} run={run} />}
    </section>
  );
}

/** @param {{store: Store, run: Run}} props */
function Charts({ store, run }) {
  const loaded = store.histograms.value;
  if (loaded.status === "loading") {
    return <div class="lv-charts lv-message">Loading the histograms…</div>;
  }
  if (loaded.status === "error") {
    return (
      <div class="lv-charts lv-message" role="alert">
        <p class="lv-error">{loaded.message}</p>
      </div>
    );
  }
  const { bySteps } = loaded.value;
  return <ReadyCharts store={store} run={run} bySteps={bySteps} />;
}

/** @param {{store: Store, run: Run, bySteps: (Histogram | null)[]}} props */
function ReadyCharts({ store, run, bySteps }) {
  const [ref, size] = /** @type {ReturnType<typeof useSize<HTMLDivElement>>} */ (useSize());
  const [other, setOther] = useState(/** @type {number | null} */ (null));
  const logarithmic = store.view.values.value === "log";
  const axis = useMemo(() => {
    const range = rangeOverSteps(bySteps, logarithmic ? 0 : 0.002, logarithmic ? 1 : 0.998);
    return range && makeValueAxis(range, logarithmic);
  }, [bySteps, logarithmic]);
  const index = store.stepIndex.value;
  if (!axis) {
    return (
      <div class="lv-charts lv-message">
        No histogram of this tensor is kept: it has no finite element at any step, or histograms
        were left out when logging.
      </div>
    );
  }
  const detail = store.detail.value;
  const step = store.steps.value[index];
  const own =
    bySteps[index] ??
    (detail.status === "ready" && detail.value.step === step ? detail.value.histogram : null);
  const first = bySteps.find((histogram) => histogram?.total) ?? null;
  return (
    <div class="lv-charts" ref={ref}>
      {size.width > 0 && (
        <>
          <ValueTicks axis={axis} height={size.height - 18} />
          <HeatMap
            store={store}
            run={run}
            bySteps={bySteps}
            axis={axis}
            width={Math.floor((size.width - 52) * 0.62)}
            height={size.height}
            onHover={setOther}
          />
          <HistogramView
            histogram={(other === null ? null : bySteps[other]) ?? own}
            ghost={first}
            axis={axis}
            width={Math.floor((size.width - 52) * 0.38) - 14}
            height={size.height}
            label={`step ${formatCount(store.steps.value[other ?? index] ?? 0)}`}
          />
        </>
      )}
    </div>
  );
}

/** @param {{axis: ValueAxis, height: number}} props */
function ValueTicks({ axis, height }) {
  const ticks = valueTicks(axis, Math.max(2, Math.floor(height / 26)));
  return (
    <div class="lv-value-ticks" aria-hidden="true" style={{ height: `${height}px` }}>
      {ticks.map((value) => (
        <span key={value} style={{ top: `${(1 - valueToPosition(axis, value)) * height}px` }}>
          {formatValue(value)}
        </span>
      ))}
    </div>
  );
}

/**
 * Values to label: round ones on a linear axis, powers of ten on a logarithmic one.
 * @param {ValueAxis} axis
 * @param {number} most
 * @returns {number[]}
 */
function valueTicks(axis, most) {
  const { low, high, unit } = axis;
  if (unit !== null) {
    const wanted = [0];
    const top = Math.floor(Math.log10(Math.max(Math.abs(low), Math.abs(high))));
    for (let power = top; 10 ** power > 3 * unit; power--) wanted.push(10 ** power, -(10 ** power));
    const inside = wanted.filter((value) => value >= low && value <= high);
    const every = 1 / most;
    /** @type {number[]} */
    const kept = [];
    for (const value of inside) {
      const at = valueToPosition(axis, value);
      if (kept.every((known) => Math.abs(valueToPosition(axis, known) - at) > every))
        kept.push(value);
    }
    return kept;
  }
  const raw = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(raw));
  const interval = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= raw) ?? raw;
  const ticks = [];
  for (let i = Math.ceil(low / interval); i * interval <= high; i++) {
    ticks.push(i === 0 ? 0 : Number((i * interval).toPrecision(6)));
  }
  return ticks;
}

/**
 * Step × value, the darker the more elements.
 * @param {object} props
 * @param {Store} props.store
 * @param {Run} props.run
 * @param {(Histogram | null)[]} props.bySteps
 * @param {ValueAxis} props.axis
 * @param {number} props.width
 * @param {number} props.height
 * @param {(index: number | null) => void} props.onHover
 */
function HeatMap({ store, run, bySteps, axis, width, height, onHover }) {
  const [hover, setHover] = useState(/** @type {{x: number, y: number} | null} */ (null));
  const spacing = /** @type {import("../axis.js").Spacing} */ (store.view.spacing.value);
  const steps = run.history.steps;
  const stepAxis = useMemo(() => makeStepAxis(steps, spacing), [steps, spacing]);
  const mapHeight = height - 18;
  const ratio = window.devicePixelRatio || 1;
  const across = Math.max(1, Math.round(width * ratio));
  const bins = Math.max(8, Math.min(160, Math.floor(mapHeight / 1.5)));
  const columns = useMemo(() => columnSteps(stepAxis, across), [stepAxis, across]);
  const shares = useMemo(
    () => historyShares(bySteps, columns.first, columns.last, axis, bins),
    [bySteps, columns, axis, bins],
  );
  const broken = useNonFinite(store, run);
  const canvas = useCanvas(
    width,
    mapHeight,
    (context) => {
      const colours = palette(theme.value, false);
      const image = new ImageData(across, bins);
      const pixels = new Uint32Array(image.data.buffer);
      for (let x = 0; x < across; x++) {
        let most = 0;
        for (let bin = 0; bin < bins; bin++) most = Math.max(most, shares[x * bins + bin] || 0);
        if (!most) continue;
        for (let bin = 0; bin < bins; bin++) {
          const share = shares[x * bins + bin];
          // Each step's own peak is darkest; the root lets thin tails be seen.
          const level = share > 0 ? 24 + Math.round((share / most) ** 0.4 * (LEVELS - 25)) : -1;
          if (level >= 0) pixels[(bins - 1 - bin) * across + x] = colours[level];
        }
      }
      const small = document.createElement("canvas");
      small.width = across;
      small.height = bins;
      /** @type {CanvasRenderingContext2D} */ (small.getContext("2d")).putImageData(image, 0, 0);
      context.imageSmoothingEnabled = false;
      context.drawImage(
        small,
        0,
        0,
        across,
        bins,
        0,
        0,
        context.canvas.width,
        context.canvas.height,
      );
      if (axis.low < 0 && axis.high > 0) {
        context.fillStyle = cssVariable("--lv-faint");
        const zero = (1 - valueToPosition(axis, 0)) * context.canvas.height;
        context.globalAlpha = 0.5;
        context.fillRect(0, Math.round(zero), across, Math.max(1, Math.round(ratio / 2)));
        context.globalAlpha = 1;
      }
      if (broken) {
        context.fillStyle = hatching(
          context,
          cssVariable("--lv-bad"),
          cssVariable("--lv-surface"),
          ratio,
        );
        for (let x = 0; x < across; x++) {
          for (let i = columns.first[x]; i <= columns.last[x]; i++) {
            if (broken[i] > 0) {
              context.fillRect(x - ratio, 0, 3 * ratio, 6 * ratio);
              break;
            }
          }
        }
      }
    },
    [shares, theme.value, broken],
  );
  const index = store.stepIndex.value;
  const at = index >= 0 && steps.length ? stepAxis.positions[index] * width : 0;
  const hovered = hover ? indexAt(stepAxis, hover.x / width) : -1;
  const choose = (/** @type {PointerEvent} */ event) =>
    store.selectStep(indexAt(stepAxis, pointIn(event).x / width));
  return (
    <div class="lv-heat">
      <div
        class="lv-heat-canvas"
        data-testid="distribution"
        role="img"
        aria-label="Distribution of the values over the steps; the darker, the more elements have that value"
        style={{ width: `${width}px`, height: `${mapHeight}px` }}
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId);
          choose(event);
        }}
        onPointerMove={(event) => {
          const point = pointIn(event);
          setHover(point);
          onHover(indexAt(stepAxis, point.x / width));
          if (event.buttons & 1) choose(event);
        }}
        onPointerLeave={() => {
          setHover(null);
          onHover(null);
        }}
      >
        <canvas ref={canvas} />
        <i class="lv-now" style={{ left: `${at}px` }} />
        {hover && hovered >= 0 && (
          <div
            class="lv-tooltip"
            role="tooltip"
            data-side={hover.x > width / 2 ? "left" : "right"}
            style={{ left: `${hover.x}px`, top: `${Math.min(hover.y, mapHeight - 50)}px` }}
          >
            <div class="lv-tooltip-title">step {formatCount(steps[hovered])}</div>
            <div>value {formatValue(positionToValue(axis, 1 - hover.y / mapHeight))}</div>
            {bySteps[hovered]?.total ? (
              <div>
                {quantiles(/** @type {Histogram} */ (bySteps[hovered]), [0.05, 0.5, 0.95])
                  .map((value, i) => `${["p5", "p50", "p95"][i]} ${formatValue(value)}`)
                  .join(" · ")}
              </div>
            ) : (
              <div>no histogram is kept</div>
            )}
          </div>
        )}
      </div>
      <div class="lv-heat-steps" aria-hidden="true">
        <span>{steps.length ? formatCount(steps[0]) : ""}</span>
        <span>step</span>
        <span>{steps.length > 1 ? formatCount(steps[steps.length - 1]) : ""}</span>
      </div>
    </div>
  );
}

/**
 * The share of non-finite elements of the selected tensor by step, where it is known.
 * @param {Store} store
 * @param {Run} run
 */
function useNonFinite(store, run) {
  const revision = store.revision.value;
  const index = store.tensor.value;
  return useMemo(() => {
    const columns = run.columns.get(run.info.tensors[index]?.kind);
    return columns?.has("non_finite") ? (columns.of("non_finite", [index])[0] ?? null) : null;
  }, [revision, index, run]);
}

/**
 * The distribution at one step, lying on its side so that it shares the value axis.
 * @param {object} props
 * @param {Histogram | null} props.histogram
 * @param {Histogram | null} props.ghost the first step's
 * @param {ValueAxis} props.axis
 * @param {number} props.width
 * @param {number} props.height
 * @param {string} props.label
 */
function HistogramView({ histogram, ghost, axis, width, height, label }) {
  const mapHeight = height - 18;
  const own = useMemo(
    () => (histogram?.total ? rebin(histogram, axis, HISTOGRAM_BINS, false) : null),
    [histogram, axis],
  );
  const before = useMemo(
    () => (ghost?.total ? rebin(ghost, axis, HISTOGRAM_BINS, false) : null),
    [ghost, axis],
  );
  const canvas = useCanvas(
    width,
    mapHeight,
    (context, ratio) => {
      const { width: across, height: down } = context.canvas;
      const most = Math.max(...(own?.shares ?? [0]), ...(before?.shares ?? [0]));
      if (!most) return;
      const top = (/** @type {number} */ bin) => down - ((bin + 1) / HISTOGRAM_BINS) * down;
      const length = (/** @type {number} */ share) => (share / most) * (across - 4 * ratio);
      if (own) {
        context.fillStyle = cssVariable("--lv-bar");
        own.shares.forEach((share, bin) => {
          const y = Math.round(top(bin));
          const thick = Math.max(1, Math.round(top(bin - 1)) - y);
          if (share > 0) context.fillRect(0, y, Math.max(ratio, length(share)), thick);
        });
      }
      if (before) {
        context.strokeStyle = cssVariable("--lv-ghost");
        context.lineWidth = 1.25 * ratio;
        context.beginPath();
        before.shares.forEach((share, bin) => {
          const x = Math.max(0.5, length(share));
          if (bin === 0) context.moveTo(x, down);
          context.lineTo(x, top(bin - 1));
          context.lineTo(x, top(bin));
        });
        context.stroke();
      }
    },
    [own, before, theme.value],
  );
  const beyond = own ? own.below + own.above : 0;
  const notes = [
    own && own.zeros > 0.001 ? `${formatShare(own.zeros)} are exactly 0` : "",
    beyond > 0.001 ? `${formatShare(beyond)} lie beyond` : "",
  ].filter(Boolean);
  return (
    <div class="lv-histogram">
      <div class="lv-histogram-canvas" style={{ width: `${width}px`, height: `${mapHeight}px` }}>
        <canvas
          ref={canvas}
          data-testid="histogram"
          role="img"
          aria-label={`Histogram at ${label}${notes.length ? `; ${notes.join(", ")}` : ""}`}
        />
        {!own && <p class="lv-histogram-none">no histogram at this step</p>}
        {notes.length > 0 && <p class="lv-histogram-note">{notes.join(" · ")}</p>}
      </div>
      <div class="lv-histogram-legend">
        <span>
          <i class="lv-key-bar" />
          {label}
        </span>
        <span>
          <i class="lv-key-ghost" />
          first
        </span>
      </div>
    </div>
  );
}
