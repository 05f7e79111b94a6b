import { TakeAlong } from "../kit/TakeAlong.jsx";
import { formatCount } from "../kit/format.js";
import { drawnOf } from "./curves.js";
import { curvesFile, mapFile, profileFile } from "./map_files.js";

/**
 * The map, the profile and the curves as files. The pictures have all rows, also those that are scrolled away; the tables
 * have a line for each tensor, also of those that are folded.
 * @param {object} props
 * @param {import("../kit/core.js").Core} props.core
 * @param {import("./use_comparison.js").Compared} props.comparison
 * @param {string} props.evaluation name of the run whose points are drawn
 * @param {import("../data/run.js").Run} props.run
 * @param {Map<number, import("../findings/findings.js").Finding[]>} props.found what is marked, by tensor
 * @param {import("./layer.js").MapLayer[]} props.layers
 * @param {import("./rows.js").Row[]} props.rows
 * @param {import("../kit/axis.js").StepAxis} props.axis
 * @param {import("./curves.js").Curve[]} props.curves
 * @param {{current: HTMLElement | null}} props.place where the strip is
 * @param {number} props.rowHeight CSS pixels
 * @param {number} props.width of a map, CSS pixels
 */
export function MapDownload({ core, comparison, evaluation, curves, place, ...map }) {
  const { view } = core;
  const { run, layers, rows, axis, width } = map;
  if (!rows.length || !layers.every(({ ready }) => ready)) return null;
  const other = otherSide(view.against.value, comparison);
  const shown = { ...map, filter: view.filter.value.trim(), other };
  const panels = [mapFile(shown), profileFile(shown, core.stepIndex.value)];
  if (curves.length) {
    const drawn = drawnOf(curves, view.curves.value);
    panels.push(curvesFile({ run, axis, width, other, curves, drawn, evaluation, place }));
  }
  return <TakeAlong what="the map" panels={panels} small />;
}

/**
 * What the run is compared with, empty if it is not.
 * @param {string} against name of the run
 * @param {import("./use_comparison.js").Compared} comparison
 */
function otherSide(against, { on, steps, fixed }) {
  if (!on.value) return "";
  const step = steps.value[fixed.value];
  return `run ${against}${step === undefined ? "" : ` at step ${formatCount(step)}`}`;
}
