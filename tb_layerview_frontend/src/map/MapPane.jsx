import { useMemo } from "preact/hooks";

import { byTensor, heads } from "../findings/findings.js";
import { makeStepAxis } from "../kit/axis.js";
import { MapBody } from "./MapBody.jsx";
import { MapDownload } from "./MapDownload.jsx";
import { FOOT_HEIGHT, MapFoot, STEPS_HEIGHT } from "./MapFoot.jsx";
import { MapHead } from "./MapHead.jsx";
import { MapToolbar } from "./MapToolbar.jsx";
import { PROFILE_WIDTH } from "./Profile.jsx";
import { curvesOf } from "./curves.js";
import { STRIP_HEIGHT } from "./strip_plot.js";
import { useComparedCurves, useDifference } from "./use_comparison.js";
import { useLayers } from "./use_layers.js";
import { usePlace } from "./use_place.js";
import { useRowInView, useRows } from "./use_rows.js";

/** A map of differences of two runs does not mark what is found in one of them. */
const NOT_MARKED = new Map();

/**
 * The model's layers, and what they did at every step: tree and map in one.
 * @param {object} props
 * @param {import("../kit/core.js").Core} props.core
 * @param {import("../findings/state.js").Findings} props.findings
 * @param {import("./use_comparison.js").Compared} props.comparison
 * @param {import("../data/evaluation.js").Evaluation | null} props.evaluation
 * @param {import("../data/run.js").Run} props.run
 * @param {import("preact").ComponentChildren} [props.children] what stands before the choices above the map
 */
export function MapPane({ core, findings, comparison, evaluation, run, children }) {
  const { ref, size, scrollTop, onScroll } = usePlace(core);
  const { kinds } = core;

  const { top, bottom } = aroundRows(size.height);
  const bodyHeight = Math.max(0, size.height - top - bottom);
  const ownLayers = useLayers(core, run);
  const difference = useDifference(core, comparison, run);
  const layers = difference ?? ownLayers;
  const all = useRows(core, run, { layers: ownLayers, difference, height: bodyHeight });
  const { rows, rowHeight } = all;
  useRowInView(ref, all, bodyHeight, [run.name, core.tensor.value, kinds.value.join()]);

  const spacing = core.spacing.value;
  const axis = useMemo(
    () => makeStepAxis(run.history.steps, spacing),
    [run.history.steps, spacing],
  );
  const { findings: told } = findings.found.value;
  const found = useMemo(() => byTensor(told), [told]);
  const heading = useMemo(() => heads(told), [told]);
  const marked = difference ? NOT_MARKED : found;
  const ownCurves = useMemo(
    () => curvesOf(run.history, evaluation?.history),
    [run.history, evaluation?.history],
  );
  const curves = useComparedCurves(comparison, ownCurves);
  const across = {
    what: "steps",
    index: core.stepIndex.value,
    choose: core.selectStep,
    drags: true,
    profile: true,
  };
  const width = mapWidth(size.width, layers.length) - PROFILE_WIDTH;
  return (
    <section class="lv-map-pane" aria-label="Layers over the steps">
      <MapToolbar
        core={core}
        comparison={comparison}
        run={run}
        matches={all.matches}
        before={children}
      >
        <MapDownload
          core={core}
          comparison={comparison}
          evaluation={evaluation?.run ?? ""}
          run={run}
          layers={layers}
          rows={rows}
          axis={axis}
          found={marked}
          curves={top ? curves : []}
          place={ref}
          rowHeight={rowHeight}
          width={width}
        />
      </MapToolbar>
      <div class="lv-map" ref={ref} onScroll={onScroll} style={{ "--lv-maps": layers.length }}>
        {top > 0 && <MapHead core={core} curves={curves} evaluation={evaluation} axis={axis} />}
        <MapBody
          core={core}
          run={run}
          layers={layers}
          all={all}
          axis={axis}
          across={across}
          found={found}
          marked={marked}
          top={top}
          scrollTop={scrollTop}
          width={width}
          room={bodyHeight}
        />
        <MapFoot
          height={bottom}
          layers={layers}
          axis={axis}
          width={width}
          run={run}
          step={run.history.steps[core.stepIndex.value]}
          ranking={all.ranked ? (ownLayers[0].level ?? ownLayers[0]).statistic : null}
          marks={heading}
          found={marked}
        />
      </div>
    </section>
  );
}

/** How much room three rows need at least, CSS pixels. */
const LEAST_ROOM = 60;

/**
 * What stands above and below the rows gives way to them: the curves first, then the colours' legend.
 * @param {number} height of the pane without its tools, CSS pixels; 0 until it is laid out
 * @returns {{top: number, bottom: number}} CSS pixels
 */
export function aroundRows(height) {
  const room = height ? height - LEAST_ROOM : Infinity;
  return {
    top: room < STRIP_HEIGHT + FOOT_HEIGHT ? 0 : STRIP_HEIGHT,
    bottom: room < FOOT_HEIGHT ? STEPS_HEIGHT : FOOT_HEIGHT,
  };
}

/** The labels' width; the style sheet has the same number. */
const LABELS_WIDTH = 212;
const MAP_GAP = 16;

/**
 * How wide each map is, with its profile.
 * @param {number} width of the pane
 * @param {number} maps
 */
export function mapWidth(width, maps) {
  if (!width || !maps) return PROFILE_WIDTH;
  const room = width - LABELS_WIDTH - MAP_GAP * (maps - 1);
  return Math.max(40 + PROFILE_WIDTH, Math.floor(room / maps));
}
