import { tensorTitle } from "../data/matching.js";
import { TakeAlong } from "../kit/TakeAlong.jsx";
import { stepTicks, makeStepAxis } from "../kit/axis.js";
import { HATCHED_IN_WORDS } from "../kit/holes.js";
import { drawnAt, withAxes } from "../kit/figure.js";
import { formatCount, formatShare, formatTicks, formatValue } from "../kit/format.js";
import { imageSheet, SHARPNESS, withAxesAround } from "../kit/sheet.js";
import { valueTicks, valueToPosition } from "../kit/value_axis.js";
import { BARS } from "./HistogramView.jsx";
import { acrossOf, chosenAndGhost, makeRidges, ridgeScene } from "./Ridges.jsx";
import { BAND_STATISTICS } from "./bands.js";
import { shareAxis, shareTicks, shareToPosition } from "./draw.js";
import { drawRidges } from "./draw_ridges.js";
import { rebin } from "./histogram.js";
import { layOutRidges, placeOf } from "./ridges.js";
import { perBar } from "./words.js";

/** @typedef {import("../data/payload.js").Histogram} Histogram */

/**
 * The two charts as a picture; all kept bins of all steps, or the quantiles, as text.
 * @param {object} props
 * @param {import("../kit/core.js").Core} props.core
 * @param {import("../data/run.js").Run} props.run
 * @param {Histogram | null} props.own
 * @param {Histogram | null} props.ghost
 * @param {number | undefined} props.ghostStep
 * @param {(Histogram | null)[]} props.bySteps
 * @param {import("./bands.js").Bands | null} props.bands
 * @param {number[]} props.kept
 * @param {Float32Array | null} props.broken the share of non-finite elements by step
 * @param {import("../kit/value_axis.js").ValueAxis | null} props.axis
 * @param {{current: HTMLElement | null}} props.place where the charts are
 */
export function DistributionDownload(props) {
  const { core, run, own, ghost, ghostStep, bySteps, bands, kept, axis, place } = props;
  if (!axis || !kept.length) return null;
  const { steps } = run.history;
  const step = steps[core.stepIndex.value];

  const asRidges = core.view.history.value === "ridges";
  const title = tensorTitle(run.info, run.info.tensors[core.tensor.value]);
  const titled = run.name === "." ? title : `${title}, run ${run.name}`;
  const sheet = () => ridgesSheet(props, titled);
  const picture = () => {
    const canvas = (/** @type {string} */ name) =>
      /** @type {HTMLCanvasElement} */ (place.current?.querySelector(`[data-chart=${name}]`));
    const spacing = core.spacing.value;
    const stepAxis = makeStepAxis(
      kept.map((index) => steps[index]),
      spacing,
      steps,
    );
    const both = [own, ghost].map((one) =>
      one?.total ? rebin(one, axis, BARS, false).shares : null,
    );
    const counts = shareAxis(both, core.view.counts.value === "log");
    const values = valueTicks(axis, 10);
    const texts = formatTicks(values, formatValue);
    const figure = withAxes([
      {
        canvas: canvas("history"),
        left: {
          name: "value",
          ticks: values.map((value, i) => ({
            at: 1 - valueToPosition(axis, value),
            text: texts[i],
          })),
        },
        bottom: {
          name: "step",
          ticks: stepTicks(stepAxis, 6).map((tick) => ({
            at: tick.position,
            text: formatCount(tick.step),
          })),
        },
      },
      {
        canvas: canvas("histogram"),
        bottom: {
          name: perBar(axis, BARS),
          ticks: shareTicks(counts, 3).map((share) => ({
            at: shareToPosition(share, counts),
            text: formatShare(share),
          })),
        },
      },
    ]);
    const other = ghostStep === step ? "the same step" : `step ${formatCount(ghostStep ?? 0)}`;
    const outline = ghostStep === undefined ? "" : `; outline: ${other}`;
    return {
      title: titled,
      lines: [
        bands
          ? "Left: bands p1–p99, p5–p95, p25–p75, the median (full line), min and max (dashed)."
          : "Left: the stronger the colour, the more elements have that value.",
        ...(stepAxis.holes.length ? [HATCHED_IN_WORDS] : []),
        `Right: histogram at step ${formatCount(step)}${outline}.`,
      ],
      canvases: [figure],
    };
  };
  // What is drawn over the steps: the quantiles, or all kept bins of all steps.
  const table = () =>
    bands
      ? {
          head: ["step", ...BAND_STATISTICS],
          rows: kept.map((index) => [
            steps[index],
            ...BAND_STATISTICS.map((name) => bands[name][index]),
          ]),
        }
      : {
          head: ["step", ...BIN_COLUMNS],
          rows: kept.flatMap((index) =>
            binRows(bySteps[index]).map((bin) => [steps[index], ...bin]),
          ),
        };
  const facts = [run.name, title, bands ? "quantiles" : "histograms", `step-${step}`];
  const drawn = asRidges ? { sheet } : { picture };
  return <TakeAlong what="the distribution" panels={[{ facts, ...drawn, table }]} />;
}

/** How large the ridges are where they are not as on the screen, CSS pixels. */
const [WIDE, HIGH] = [560, 420];

/**
 * The ridges, drawn anew: as sharp as is asked for, and as large wherever they are taken from.
 * @param {Parameters<typeof DistributionDownload>[0]} of
 * @param {string} title
 * @returns {import("../kit/sheet.js").Captioned}
 */
function ridgesSheet({ core, run, ghostStep, bySteps, broken, kept, axis }, title) {
  if (!axis) throw new Error("There is nothing to draw.");
  const { steps } = run.history;
  const index = core.stepIndex.value;
  const ghostIndex = ghostStep === undefined ? -1 : steps.indexOf(ghostStep);
  const made = makeRidges({ kept, bySteps, broken, axis, pieces: 120 });
  const ratio = SHARPNESS * (window.devicePixelRatio || 1);
  const canvas = drawnAt(WIDE, HIGH, ratio, (context) => {
    const scene = ridgeScene(made, axis, { width: WIDE, height: HIGH, ratio });
    drawRidges(context, scene, { ...chosenAndGhost(made, index, ghostIndex), pointed: null });
  });
  const { left, right } = acrossOf(made.hasZeros, axis, WIDE);
  const layout = layOutRidges(made.indices.length, HIGH - 2);
  const values = valueTicks(axis, 8);
  const texts = formatTicks(values, formatValue);
  const ends = [...new Set([made.indices[0], index, made.indices[made.indices.length - 1]])];
  const chart = withAxesAround({
    chart: imageSheet(canvas, ratio),
    left: {
      name: "step",
      ticks: ends.map((one) => ({
        at: layout.foot(placeOf(made.indices, one)) / HIGH,
        text: formatCount(steps[one]),
      })),
    },
    bottom: {
      name: "value",
      ticks: values.map((value, i) => ({
        at: (left + valueToPosition(axis, value) * (right - left)) / WIDE,
        text: texts[i],
      })),
    },
  });
  const said = [`Marked: step ${formatCount(steps[index])}`];
  if (ghostIndex >= 0 && ghostIndex !== index) {
    said.push(`dashed, at its foot: step ${formatCount(steps[ghostIndex])}`);
  }
  if (made.hasZeros) said.push("bars beside the axis: exact zeros");
  if (made.beyond.mean > 0) said.push(`${formatShare(made.beyond.mean)} lie beyond the axis`);
  return { title, lines: [`${said.join("; ")}.`], sheets: [chart] };
}

export const BIN_COLUMNS = ["lower", "upper", "count"];

/**
 * The kept bins, see `BIN_COLUMNS`.
 * @param {Histogram | null} histogram
 */
export function binRows(histogram) {
  if (!histogram) return [];
  const { lower, upper, counts } = histogram;
  return Array.from(counts, (count, bin) => [lower[bin], upper[bin], count]);
}
