/** The map, the profile and the curves as files: how they are called, what is drawn, and which numbers. */

import { SPACINGS, stepTicks } from "../kit/axis.js";
import { scaleTicks, toUnit } from "../kit/colour.js";
import { drawKey, drawn, drawRowNames, drawScale, withAxes } from "../kit/figure.js";
import { HATCHED_IN_WORDS } from "../kit/holes.js";
import { formatCount, formatTick } from "../kit/format.js";
import { drawMap } from "./MapCanvas.jsx";
import { drawProfile } from "./Profile.jsx";
import { labelledScales, stripAxis } from "./Strip.jsx";
import { curveScales } from "./curves.js";
import { layerLabel } from "./layer.js";
import { curvesTable, mapTable } from "./table.js";

/** @typedef {import("../kit/TakeAlong.jsx").Panel} Panel */
/** @typedef {import("../kit/axis.js").StepAxis} StepAxis */
/** @typedef {import("../data/run.js").Run} Run */

const PROFILE_WIDTH = 240;

/**
 * What is on the screen.
 * @typedef {object} ShownMap
 * @property {Run} run
 * @property {import("./layer.js").MapLayer[]} layers
 * @property {import("./rows.js").Row[]} rows
 * @property {StepAxis} axis
 * @property {Map<number, import("../findings/findings.js").Finding[]>} found what is marked, by tensor
 * @property {number} rowHeight CSS pixels
 * @property {number} width of a map, CSS pixels
 * @property {string} filter
 * @property {string} other what the run is compared with, empty if it is not
 */

/**
 * @param {ShownMap} shown
 * @returns {Panel}
 */
export function mapFile(shown) {
  const { run, layers, rows, axis, rowHeight, width } = shown;
  const { steps } = run.history;
  const height = rowHeight * rows.length;
  return {
    label: "the map",
    facts: factsOf(shown, "map"),
    picture: () => ({
      title: `${layers.map(layerLabel).join(" and ")}, ${sidesOf(shown)}`,
      lines: linesOf(shown),
      canvases: [
        withAxes([
          { canvas: drawRowNames(rows, rowHeight) },
          ...layers.map((layer) => ({
            canvas: drawn(width, height, (context, ratio) =>
              drawMap(context, ratio, { ...shown, scrollTop: 0, height, layer }),
            ),
            bottom: bottomAxis(axis, width),
          })),
        ]),
        ...layers.map((layer) =>
          drawScale({
            ...layer,
            label: layerLabel(layer),
            ends: layer.rowScales ? ["low", "high of each row"] : undefined,
          }),
        ),
      ],
    }),
    table: () => mapTable({ info: run.info, steps, layers, rows, indices: [...steps.keys()] }),
  };
}

/**
 * @param {ShownMap} all
 * @param {number} index of the selected step
 * @returns {Panel}
 */
export function profileFile(all, index) {
  // The level, where the map has the change.
  const layers = all.layers.map((layer) => layer.level ?? layer);
  const shown = { ...all, layers };
  const { run, rows, rowHeight } = shown;
  const { steps } = run.history;
  const height = rowHeight * rows.length;
  const scroll = { rows, rowHeight, scrollTop: 0, height };
  return {
    label: "the profile",
    facts: factsOf(shown, `profile step ${steps[index]}`),
    picture: () => ({
      title: `${layers.map(layerLabel).join(" and ")} at step ${formatCount(steps[index])}, ${sidesOf(shown)}`,
      lines: linesOf(shown),
      canvases: [
        withAxes([
          { canvas: drawRowNames(rows, rowHeight) },
          ...layers.map((layer) => ({
            canvas: drawn(PROFILE_WIDTH, height, (context, ratio) =>
              drawProfile(context, ratio, { ...scroll, layer }, index, -1),
            ),
            bottom: {
              name: layerLabel(layer) + (layer.scale.transform === "linear" ? "" : ", logarithmic"),
              ticks: scaleTicks(layer.scale).map((value) => ({
                at: toUnit(layer.scale, value),
                text: formatTick(value),
              })),
            },
          })),
        ]),
      ],
    }),
    table: () => mapTable({ info: run.info, steps, layers, rows, indices: [index] }),
  };
}

/**
 * @param {Pick<ShownMap, "run" | "axis" | "width" | "other"> & {curves: import("./curves.js").Curve[],
 *   drawn: import("./curves.js").Curve[], evaluation: string, place: {current: HTMLElement | null}}} what `evaluation` is
 *   the run whose points are, `place` is where the strip is
 * @returns {Panel}
 */
export function curvesFile({ run, axis, width, other, curves, drawn: shown, evaluation, place }) {
  return {
    label: "the curves",
    facts: [run.name, "curves"],
    picture: () => {
      const canvas = place.current?.querySelector("[data-testid=loss-strip] canvas");
      if (!(canvas instanceof HTMLCanvasElement)) throw new Error("No curve is drawn.");
      const [left, right] = labelledScales(curveScales(shown)).map(stripAxis);
      const points = shown.some((curve) => curve.points.length);
      const of = `run ${run.name}`;
      return {
        title: `${shown.map(({ label }) => label).join(", ")}, ${other ? `A: ${of}, B: ${other}` : of}`,
        lines: points ? [`Points: run ${evaluation}.`] : [],
        canvases: [
          withAxes([{ canvas, left, right, bottom: bottomAxis(axis, width) }]),
          drawKey(
            shown.map(({ label, group, colour, dashed }) => ({
              text: group === "learning rate" ? `${label}, on a scale of its own` : label,
              colour,
              dashed,
            })),
          ),
        ],
      };
    },
    table: () => curvesTable(curves, run.history.steps, evaluation),
  };
}

/**
 * @param {StepAxis} axis
 * @param {number} width CSS pixels
 */
function bottomAxis(axis, width) {
  return {
    name: axis.spacing === "linear" ? "step" : `step (${SPACINGS[axis.spacing]})`,
    ticks: stepTicks(axis, Math.floor(width / 64)).map(({ step, position }) => ({
      at: position,
      text: formatCount(step),
    })),
  };
}

/** @param {ShownMap} shown */
const isDifference = ({ layers }) => layers.some(({ describe }) => describe);

/**
 * What a file is named after.
 * @param {ShownMap} shown
 * @param {string} what
 */
function factsOf(shown, what) {
  const { run, layers, filter, other } = shown;
  const beside = isDifference(shown) ? `and ${other}` : "";
  return [run.name, beside, ...layers.map(layerLabel), what, filter];
}

/** Of which run it is, or of which two. @param {ShownMap} shown */
function sidesOf(shown) {
  const of = `run ${shown.run.name}`;
  return isDifference(shown) ? `A: ${of}, B: ${shown.other}` : of;
}

/**
 * What is said below the picture.
 * @param {ShownMap} shown
 */
function linesOf({ layers, rows, axis, found, filter }) {
  const said = [
    filter && `Layers that match “${filter}”.`,
    rows.some(({ expandable, open }) => expandable && !open) &&
      "A row that is folded shows the worst of its tensors.",
    layers.some(({ anyTrouble }) => anyTrouble) && "Hatched: NaN or inf.",
    axis.holes.length > 0 && HATCHED_IN_WORDS,
    found.size > 0 &&
      "Hatched bands: where a rule finds something, an error's twice as high as a warning's.",
  ].filter((line) => typeof line === "string" && line !== "");
  return said.length ? [said.join(" ")] : [];
}
