import { useMemo } from "preact/hooks";

import { WordsTable } from "../kit/WordsTable.jsx";
import { formatShare, formatValue } from "../kit/format.js";
import { cssVariable, pointIn, useCanvas } from "../kit/hooks.js";
import { theme } from "../kit/host.js";
import { positionToValue, valueToPosition } from "../kit/value_axis.js";
import { BELOW, ValueLine } from "./DistributionHistory.jsx";
import { drawHistogram, shareAxis, shareTicks, shareToPosition } from "./draw.js";
import { rebin } from "./histogram.js";
import { pointAt } from "./pointing.js";
import { belowInWords, countAt, notShown, perBar } from "./words.js";

/** @typedef {import("../data/payload.js").Histogram} Histogram */
/** @typedef {import("./pointing.js").Pointed} Pointed */

export const BARS = 56;
const TOLD_BARS = 14;

/**
 * The distribution at one step, lying on its side so that it shares the value axis. All bars are equally wide on that
 * axis, so that their areas are shares of the elements; a kept bin that is wider than a bar is spread over those it covers.
 * @param {object} props
 * @param {Histogram | null} props.histogram
 * @param {Histogram | null} props.ghost another step's
 * @param {import("../kit/value_axis.js").ValueAxis} props.axis
 * @param {boolean} props.logarithmic the axis of shares
 * @param {number} props.width
 * @param {number} props.height
 * @param {string} props.label
 * @param {string} props.ghostLabel
 * @param {Pointed | null} props.pointed
 * @param {(at: Pointed | null) => void} props.onPoint
 */
export function HistogramView(props) {
  const { histogram, ghost, axis, logarithmic, width, height, label, ghostLabel } = props;
  const { pointed, onPoint } = props;
  const mapHeight = Math.max(0, height - BELOW);
  const own = useMemo(() => bars(histogram, axis, BARS), [histogram, axis]);
  const before = useMemo(() => bars(ghost, axis, BARS), [ghost, axis]);
  const counts = shareAxis([own?.shares ?? null, before?.shares ?? null], logarithmic);
  const canvas = useCanvas(
    width,
    mapHeight,
    (context, ratio) => {
      const colours = { bar: cssVariable("--lv-bar"), ghost: cssVariable("--lv-ghost") };
      const [mine, other] = [own?.shares ?? null, before?.shares ?? null];
      drawHistogram(context, mine, other, counts, colours, ratio);
    },
    [own, before, logarithmic, theme.value],
  );
  const notes = own && histogram ? notShown(own, axis, histogram) : [];
  return (
    <div class="lv-histogram" style={{ width: `${width}px` }}>
      <div
        class="lv-histogram-canvas"
        style={{ width: `${width}px`, height: `${mapHeight}px` }}
        onPointerMove={(event) => onPoint(pointAt(axis, mapHeight, pointIn(event).y, null))}
        onPointerLeave={() => onPoint(null)}
      >
        <canvas
          ref={canvas}
          data-testid="histogram"
          data-chart="histogram"
          role="img"
          aria-label={`Histogram at ${label}${notes.length ? `; ${notes.join(", ")}` : ""}. A table follows.`}
        />
        {!own && <p class="lv-histogram-none">no histogram at this step</p>}
        {notes.length > 0 && (
          <p class="lv-histogram-note">
            {notes.map((note) => (
              <span key={note}>{note}</span>
            ))}
          </p>
        )}
        {pointed && <ValueLine axis={axis} value={pointed.value} height={mapHeight} />}
        {pointed && pointed.index === null && (
          <div
            class="lv-tooltip lv-tooltip-wide"
            role="tooltip"
            data-testid="histogram-tip"
            data-side="left"
            style={{
              left: `${width}px`,
              top: `${Math.max(0, Math.min((1 - valueToPosition(axis, pointed.value)) * mapHeight, mapHeight - 110))}px`,
            }}
          >
            <Told name={label} histogram={histogram} pointed={pointed} />
            {ghostLabel !== label && <Told name={ghostLabel} histogram={ghost} pointed={pointed} />}
          </div>
        )}
      </div>
      <div class="lv-chart-axis" aria-hidden="true">
        {shareTicks(counts, Math.max(2, Math.floor(width / 48))).map((share) => {
          const at = shareToPosition(share, counts);
          return (
            <span
              key={share}
              style={{ left: `${at * 100}%` }}
              data-edge={at < 0.1 ? "start" : at > 0.9 ? "end" : ""}
            >
              {share < 0.001 && share > 0 ? `${formatValue(100 * share)} %` : formatShare(share)}
            </span>
          );
        })}
        <b>{perBar(axis, BARS)}</b>
      </div>
      <p class="lv-chart-key">
        <span>
          <i class="lv-key-bar" />
          {label}
        </span>
        {ghostLabel && ghostLabel !== label && (
          <span data-testid="ghost-step">
            <i class="lv-key-ghost" />
            {ghostLabel}
          </span>
        )}
      </p>
      <WordsTable
        testid="histogram-table"
        caption={`Histogram at ${label}${notes.length ? `: ${notes.join(", ")}` : ""}`}
        head={["from", "to", label, ...(ghostLabel && ghostLabel !== label ? [ghostLabel] : [])]}
        rows={tableRows(histogram, ghostLabel === label ? null : ghost, axis)}
      />
    </div>
  );
}

/**
 * @param {Histogram | null} histogram
 * @param {import("../kit/value_axis.js").ValueAxis} axis
 * @param {number} count
 */
function bars(histogram, axis, count) {
  return histogram?.total ? rebin(histogram, axis, count, false) : null;
}

/**
 * @param {Histogram | null} histogram
 * @param {Histogram | null} ghost
 * @param {import("../kit/value_axis.js").ValueAxis} axis
 */
function tableRows(histogram, ghost, axis) {
  const own = bars(histogram, axis, TOLD_BARS);
  const before = bars(ghost, axis, TOLD_BARS);
  const share = (/** @type {ReturnType<typeof bars>} */ of, /** @type {number} */ bar) =>
    of ? formatShare(of.shares[bar]) : "–";
  return Array.from({ length: TOLD_BARS }, (_, bar) => [
    formatValue(positionToValue(axis, bar / TOLD_BARS)),
    formatValue(positionToValue(axis, (bar + 1) / TOLD_BARS)),
    share(own, bar),
    ...(ghost ? [share(before, bar)] : []),
  ]);
}

/** @param {{name: string, histogram: Histogram | null, pointed: Pointed}} props */
function Told({ name, histogram, pointed }) {
  return (
    <>
      <div class="lv-tooltip-title">{name}</div>
      {histogram?.total ? (
        <>
          <div>{countAt(histogram, pointed.value, pointed.slack)}</div>
          <div>{belowInWords(histogram, pointed.value)}</div>
        </>
      ) : (
        <div>no histogram is kept</div>
      )}
    </>
  );
}
