import { useMemo } from "preact/hooks";

import { BIN_COLUMNS, binRows } from "../distribution/DistributionDownload.jsx";
import { typicalMagnitude } from "../distribution/bands.js";
import { quantiles, rebin } from "../distribution/histogram.js";
import { histogramRange, middleOf } from "../distribution/histogram_axis.js";
import { TakeAlong } from "../kit/TakeAlong.jsx";
import { withAxes } from "../kit/figure.js";
import { formatCount, formatShare, formatValue } from "../kit/format.js";
import { cssVariable, useCanvas, useSize } from "../kit/hooks.js";
import { theme } from "../kit/host.js";
import { makeValueAxis, VALUE_SPACINGS, valueTicks, valueToPosition } from "../kit/value_axis.js";
import { comparedFile } from "./compared_file.js";

/** @typedef {import("../data/payload.js").Histogram} Histogram */
/** @typedef {import("../data/tensor_data.js").Detail} Detail */

const BINS = 64;
const AXIS_HEIGHT = 18;

/**
 * Both distributions on one value axis: A as bars, B as an outline.
 * @param {{store: import("../page/store.js").Store, a: Detail | null, b: Detail | null}} props
 */
export function ComparedHistograms({ store, a, b }) {
  const [ref, size] = /** @type {ReturnType<typeof useSize<HTMLDivElement>>} */ (useSize());
  const { view } = store;
  const spacing = /** @type {import("../kit/value_axis.js").ValueSpacing} */ (view.values.value);
  const [own, others] = [a?.histogram ?? null, b?.histogram ?? null];
  const axis = useMemo(() => {
    const both = [own, others];
    const range = histogramRange(both, spacing);
    const { p25, p75 } = middleOf(both);
    return range && makeValueAxis(range, spacing, typicalMagnitude(p25, p75));
  }, [own, others, spacing]);
  const shares = useMemo(
    () =>
      [own, others].map((histogram) =>
        histogram?.total && axis ? rebin(histogram, axis, BINS, false) : null,
      ),
    [own, others, axis],
  );
  const height = Math.max(0, size.height - AXIS_HEIGHT);
  const canvas = useCanvas(
    size.width,
    height,
    (context, ratio) => drawHistograms(context, ratio, shares),
    [shares, theme.value],
  );
  /**
   * @param {import("../kit/value_axis.js").ValueAxis} on
   * @returns {import("../kit/TakeAlong.jsx").Panel}
   */
  const panel = (on) =>
    comparedFile(store, "histograms", {
      lines: ["Bars: A. Outline: B. Each bar is a share of the tensor's finite elements."],
      canvases: () => [
        withAxes([
          {
            canvas: /** @type {HTMLCanvasElement} */ (canvas.current),
            bottom: {
              name: "value",
              ticks: valueTicks(on, 6).map((value) => ({
                at: valueToPosition(on, value),
                text: formatValue(value),
              })),
            },
          },
        ]),
      ],
      table: () => ({
        head: ["side", "step", ...BIN_COLUMNS],
        rows: [a, b].flatMap((detail, i) =>
          binRows(detail?.histogram ?? null).map((bin) => ["AB"[i], detail?.step ?? "", ...bin]),
        ),
      }),
    });
  const words = /** @type {[string, Histogram | null, Detail | null][]} */ ([
    ["A", own, a],
    ["B", others, b],
  ]).map(([side, histogram, detail], i) => {
    if (!detail) return `${side} loading`;
    if (!histogram?.total) return `${side} no histogram at step ${formatCount(detail.step)}`;
    const [low, middle, high] = quantiles(histogram, [0.05, 0.5, 0.95]).map(formatValue);
    const zeros = shares[i]?.zeros ?? 0;
    return (
      `${side} p5 ${low}, p50 ${middle}, p95 ${high}` +
      (zeros > 0.001 ? `, ${formatShare(zeros)} exactly 0` : "")
    );
  });
  return (
    <div class="lv-compare-chart">
      <div class="lv-compare-legend">
        <span title={words[0]}>
          <i class="lv-key-bar" />A
        </span>
        <span title={words[1]}>
          <i class="lv-key-ghost lv-key-ghost-b" />B
        </span>
        <select
          aria-label="Value axis"
          data-testid="compare-value-axis"
          value={view.values.value}
          onChange={(event) => {
            view.values.value = event.currentTarget.value;
          }}
        >
          {Object.entries(VALUE_SPACINGS).map(([value, label]) => (
            <option key={value} value={value}>
              {label}
            </option>
          ))}
        </select>
        {axis && <TakeAlong what="the distributions" panels={[panel(axis)]} small />}
      </div>
      <div class="lv-compare-plot" ref={ref}>
        <div style={{ width: `${size.width}px`, height: `${height}px` }}>
          <canvas
            ref={canvas}
            data-testid="compare-histograms"
            role="img"
            aria-label={`Distributions: ${words.join("; ")}`}
          />
        </div>
        {axis && (
          <div class="lv-compare-ticks" aria-hidden="true">
            {[axis.low, 0, axis.high]
              .filter((value, i) => i !== 1 || isInside(valueToPosition(axis, value)))
              .map((value) => (
                <span key={value} style={{ left: `${100 * valueToPosition(axis, value)}%` }}>
                  {formatValue(value)}
                </span>
              ))}
          </div>
        )}
        {!axis && (
          <p class="lv-histogram-none">No histogram is kept at this step, in neither run.</p>
        )}
      </div>
    </div>
  );
}

/** @param {number} position */
function isInside(position) {
  return position > 0.15 && position < 0.85;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} ratio
 * @param {(ReturnType<typeof rebin> | null)[]} shares of A and of B
 */
function drawHistograms(context, ratio, [own, others]) {
  const { width, height } = context.canvas;
  const most = Math.max(...(own?.shares ?? [0]), ...(others?.shares ?? [0]));
  if (!most) return;
  const x = (/** @type {number} */ bin) => Math.round((bin / BINS) * width);
  const tall = (/** @type {number} */ share) => (share / most) * (height - 2 * ratio);
  if (own) {
    context.fillStyle = cssVariable("--lv-bar");
    own.shares.forEach((share, bin) => {
      if (share > 0) {
        const size = Math.max(ratio, tall(share));
        context.fillRect(x(bin), height - size, Math.max(1, x(bin + 1) - x(bin)), size);
      }
    });
  }
  if (!others) return;
  context.strokeStyle = cssVariable("--lv-side-b");
  context.lineWidth = 1.5 * ratio;
  context.beginPath();
  context.moveTo(0, height);
  others.shares.forEach((share, bin) => {
    const y = height - Math.max(0.5, tall(share));
    context.lineTo(x(bin), y);
    context.lineTo(x(bin + 1), y);
  });
  context.lineTo(width, height);
  context.stroke();
}
