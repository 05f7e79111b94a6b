import { tensorTitle } from "../data/matching.js";
import { TakeAlong } from "../kit/TakeAlong.jsx";
import { stepTicks, makeStepAxis } from "../kit/axis.js";
import { withAxes } from "../kit/figure.js";
import { formatCount, formatShare, formatTicks, formatValue } from "../kit/format.js";
import { valueTicks, valueToPosition } from "../kit/value_axis.js";
import { BARS } from "./HistogramView.jsx";
import { BAND_STATISTICS } from "./bands.js";
import { shareAxis, shareTicks, shareToPosition } from "./draw.js";
import { rebin } from "./histogram.js";
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
 * @param {import("../kit/value_axis.js").ValueAxis | null} props.axis
 * @param {{current: HTMLElement | null}} props.place where the charts are
 */
export function DistributionDownload(props) {
  const { core, run, own, ghost, ghostStep, bySteps, bands, kept, axis, place } = props;
  if (!axis || !kept.length) return null;
  const { steps } = run.history;
  const step = steps[core.stepIndex.value];
  const title = tensorTitle(run.info, run.info.tensors[core.tensor.value]);

  const picture = () => {
    const canvas = (/** @type {string} */ name) =>
      /** @type {HTMLCanvasElement} */ (place.current?.querySelector(`[data-chart=${name}]`));
    const spacing = /** @type {import("../kit/axis.js").Spacing} */ (core.view.spacing.value);
    const stepAxis = makeStepAxis(
      kept.map((index) => steps[index]),
      spacing,
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
      title: `${title}, run ${run.name}`,
      lines: [
        bands
          ? "Left: bands p1–p99, p5–p95, p25–p75, the median (full line), min and max (dashed)."
          : "Left: the stronger the colour, the more elements have that value.",
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
  return <TakeAlong what="the distribution" panels={[{ facts, picture, table }]} />;
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
