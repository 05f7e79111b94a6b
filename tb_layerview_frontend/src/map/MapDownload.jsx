import { TakeAlong } from "../kit/TakeAlong.jsx";
import { SPACINGS, stepTicks } from "../kit/axis.js";
import { scaleTicks, toUnit } from "../kit/colour.js";
import { drawKey, drawn, drawRowNames, drawScale, withAxes } from "../kit/figure.js";
import { formatCount, formatTick } from "../kit/format.js";
import { drawMap } from "./MapCanvas.jsx";
import { drawProfile } from "./Profile.jsx";
import { labelledScales, stripAxis } from "./Strip.jsx";
import { curveScales } from "./curves.js";
import { layerLabel } from "./layer.js";
import { curvesTable, mapTable } from "./table.js";

const PROFILE_WIDTH = 240;

/**
 * The map, the profile and the curves as files. The pictures have all rows, also those that are scrolled away; the tables
 * have a line for each tensor, also of those that are folded.
 * @param {object} props
 * @param {import("../page/store.js").Store} props.store
 * @param {import("../data/run_data.js").Run} props.run
 * @param {Map<number, import("../findings/findings.js").Finding[]>} props.found what is marked, by tensor
 * @param {import("./layer.js").MapLayer[]} props.layers
 * @param {import("./rows.js").Row[]} props.rows
 * @param {import("../kit/axis.js").StepAxis} props.axis
 * @param {import("./curves.js").Curve[]} props.curves
 * @param {{current: HTMLElement | null}} props.place where the strip is
 * @param {number} props.rowHeight CSS pixels
 * @param {number} props.width of a map, CSS pixels
 */
export function MapDownload(props) {
  const { store, run, layers, rows, axis, found, curves, place, rowHeight, width } = props;
  if (!rows.length || !layers.every(({ ready }) => ready)) return null;
  const { steps } = run.history;
  const index = store.stepIndex.value;
  const filter = store.view.filter.value.trim();
  const labels = layers.map(layerLabel);
  const other = otherSide(store);
  const isDifference = layers.some(({ describe }) => describe);
  const of = `run ${run.name}`;
  const compared = isDifference ? `A: ${of}, B: ${other}` : of;
  const facts = (/** @type {string} */ what) => [
    run.name,
    isDifference ? `and ${other}` : "",
    ...labels,
    what,
    filter,
  ];
  const height = rowHeight * rows.length;
  const scroll = { rows, rowHeight, scrollTop: 0, height };
  const stepAxis = {
    name: axis.spacing === "linear" ? "step" : `step (${SPACINGS[axis.spacing]})`,
    ticks: stepTicks(axis, Math.floor(width / 64)).map(({ step, position }) => ({
      at: position,
      text: formatCount(step),
    })),
  };
  const said = [
    filter && `Layers that match “${filter}”.`,
    rows.some(({ expandable, open }) => expandable && !open) &&
      "A row that is folded shows the worst of its tensors.",
    layers.some(({ anyTrouble }) => anyTrouble) && "Hatched: NaN or inf.",
    found.size > 0 &&
      "Hatched bands: where a rule finds something, an error's twice as high as a warning's.",
  ].filter((line) => typeof line === "string" && line !== "");
  const lines = said.length ? [said.join(" ")] : [];

  /** @type {import("../kit/TakeAlong.jsx").Panel} */
  const map = {
    label: "the map",
    facts: facts("map"),
    picture: () => ({
      title: `${labels.join(" and ")}, ${compared}`,
      lines,
      canvases: [
        withAxes([
          { canvas: drawRowNames(rows, rowHeight) },
          ...layers.map((layer) => ({
            canvas: drawn(width, height, (context, ratio) =>
              drawMap(context, ratio, { ...scroll, run, layer, axis, found }),
            ),
            bottom: stepAxis,
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
  /** @type {import("../kit/TakeAlong.jsx").Panel} */
  const profile = {
    label: "the profile",
    facts: facts(`profile step ${steps[index]}`),
    picture: () => ({
      title: `${labels.join(" and ")} at step ${formatCount(steps[index])}, ${compared}`,
      lines,
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
  const evaluation = store.evaluation.value?.run ?? "";
  const shown = curves.filter(({ name }) => !store.view.curvesOff.value.includes(name));
  /** @type {import("../kit/TakeAlong.jsx").Panel} */
  const strip = {
    label: "the curves",
    facts: [run.name, "curves"],
    picture: () => {
      const canvas = place.current?.querySelector("[data-testid=loss-strip] canvas");
      if (!(canvas instanceof HTMLCanvasElement)) throw new Error("No curve is drawn.");
      const [left, right] = labelledScales(curveScales(shown)).map(stripAxis);
      const points = shown.some((curve) => curve.points.length);
      return {
        title: `${shown.map(({ label }) => label).join(", ")}, ${other ? `A: ${of}, B: ${other}` : of}`,
        lines: points ? [`Points: run ${evaluation}.`] : [],
        canvases: [
          withAxes([{ canvas, left, right, bottom: stepAxis }]),
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
    table: () => curvesTable(curves, steps, evaluation),
  };
  return (
    <TakeAlong
      what="the map"
      panels={curves.length ? [map, profile, strip] : [map, profile]}
      small
    />
  );
}

/**
 * What the run is compared with, empty if it is not.
 * @param {import("../page/store.js").Store} store
 */
function otherSide({ view, comparison }) {
  if (!comparison.on.value) return "";
  const fixed = comparison.steps.value[comparison.fixed.value];
  return `run ${view.against.value}${fixed === undefined ? "" : ` at step ${formatCount(fixed)}`}`;
}
