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
/** @typedef {import("../data/details.js").Detail} Detail */
/** @typedef {import("../kit/value_axis.js").ValueAxis} ValueAxis */
/** @typedef {ReturnType<typeof rebin> | null} Shares */

const BINS = 64;
/** Room for the axes' numbers and names, CSS pixels. */
const [AXIS_HEIGHT, NAME_WIDTH] = [30, 16];

/**
 * Both distributions on one value axis: A as bars, B as an outline.
 * @param {object} props
 * @param {import("../kit/core.js").Core} props.core
 * @param {import("./comparison.js").Comparison} props.comparison
 * @param {Detail | null} props.a
 * @param {Detail | null} props.b
 */
export function ComparedHistograms({ core, comparison, a, b }) {
  const [ref, size] = /** @type {ReturnType<typeof useSize<HTMLDivElement>>} */ (useSize());
  const { values } = core.view;
  const spacing = /** @type {import("../kit/value_axis.js").ValueSpacing} */ (values.value);
  const { axis, shares } = useShares(a?.histogram ?? null, b?.histogram ?? null, spacing);
  const height = Math.max(0, size.height - AXIS_HEIGHT);
  const width = Math.max(0, size.width - NAME_WIDTH);
  const canvas = useCanvas(
    width,
    height,
    (context, ratio) => drawHistograms(context, ratio, shares),
    [shares, theme.value],
  );
  const words = [inWords("A", a, shares[0]), inWords("B", b, shares[1])];
  const file = axis && fileOf([a, b], axis, canvas);
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
          value={values.value}
          onChange={(event) => {
            values.value = event.currentTarget.value;
          }}
        >
          {Object.entries(VALUE_SPACINGS).map(([value, label]) => (
            <option key={value} value={value}>
              {label}
            </option>
          ))}
        </select>
        {file && (
          <TakeAlong
            what="the distributions"
            panels={[comparedFile(core, comparison, "histograms", file)]}
            small
          />
        )}
      </div>
      <div class="lv-compare-plot" style={{ paddingLeft: `${NAME_WIDTH}px` }} ref={ref}>
        {axis && (
          <span class="lv-compare-share" title="Share of the finite elements">
            share
          </span>
        )}
        <div style={{ width: `${width}px`, height: `${height}px` }}>
          <canvas
            ref={canvas}
            data-testid="compare-histograms"
            role="img"
            aria-label={`Distributions: ${words.join("; ")}`}
          />
        </div>
        {axis && <Ends axis={axis} />}
        {!axis && (
          <p class="lv-histogram-none">No histogram is kept at this step, in neither run.</p>
        )}
      </div>
    </div>
  );
}

/**
 * The axis that both lie on, and the bars of each on it.
 * @param {Histogram | null} own
 * @param {Histogram | null} others
 * @param {import("../kit/value_axis.js").ValueSpacing} spacing
 * @returns {{axis: ValueAxis | null, shares: Shares[]}}
 */
function useShares(own, others, spacing) {
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
  return { axis, shares };
}

/**
 * @param {string} side
 * @param {Detail | null} detail
 * @param {Shares} shares
 */
function inWords(side, detail, shares) {
  if (!detail) return `${side} loading`;
  const { histogram, step } = detail;
  if (!histogram?.total) return `${side} no histogram at step ${formatCount(step)}`;
  const [low, middle, high] = quantiles(histogram, [0.05, 0.5, 0.95]).map(formatValue);
  const zeros = shares?.zeros ?? 0;
  return (
    `${side} p5 ${low}, p50 ${middle}, p95 ${high}` +
    (zeros > 0.001 ? `, ${formatShare(zeros)} exactly 0` : "")
  );
}

/**
 * @param {(Detail | null)[]} sides
 * @param {ValueAxis} axis
 * @param {{current: HTMLCanvasElement | null}} canvas
 * @returns {Parameters<typeof comparedFile>[3]}
 */
function fileOf(sides, axis, canvas) {
  return {
    lines: ["Bars: A. Outline: B. Each bar is a share of the tensor's finite elements."],
    canvases: () => [
      withAxes([
        {
          canvas: /** @type {HTMLCanvasElement} */ (canvas.current),
          left: { name: "share of elements", ticks: [] },
          bottom: {
            name: "value",
            ticks: valueTicks(axis, 6).map((value) => ({
              at: valueToPosition(axis, value),
              text: formatValue(value),
            })),
          },
        },
      ]),
    ],
    table: () => ({
      head: ["side", "step", ...BIN_COLUMNS],
      rows: sides.flatMap((detail, i) =>
        binRows(detail?.histogram ?? null).map((bin) => ["AB"[i], detail?.step ?? "", ...bin]),
      ),
    }),
  };
}

/** The numbers at the axis' ends, and 0 where it has room. @param {{axis: ValueAxis}} props */
function Ends({ axis }) {
  const zero = valueToPosition(axis, 0);
  return (
    <div class="lv-compare-ticks" aria-hidden="true">
      {[axis.low, ...(zero > 0.15 && zero < 0.85 ? [0] : []), axis.high].map((value) => (
        <span key={value} style={{ left: `${100 * valueToPosition(axis, value)}%` }}>
          {formatValue(value)}
        </span>
      ))}
      <p>value</p>
    </div>
  );
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} ratio
 * @param {Shares[]} shares of A and of B
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
