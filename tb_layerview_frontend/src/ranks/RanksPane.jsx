import { useMemo } from "preact/hooks";

import { byTensor } from "../findings/findings.js";
import { makeStepAxis } from "../kit/axis.js";
import { statisticOf } from "../data/statistics.js";
import { ColourBar } from "../kit/ColourBar.jsx";
import { formatCount } from "../kit/format.js";
import { MapBody } from "../map/MapBody.jsx";
import { FOOT_HEIGHT } from "../map/MapFoot.jsx";
import { mapWidth } from "../map/MapPane.jsx";
import { MapToolbar } from "../map/MapToolbar.jsx";
import { layerLabel } from "../map/layer.js";
import { useLayers } from "../map/use_layers.js";
import { usePlace } from "../map/use_place.js";
import { useRowInView, useRows } from "../map/use_rows.js";
import { AcrossChoice } from "./AcrossChoice.jsx";
import { Furthest } from "./Furthest.jsx";
import { RANKS_HEAD, RanksHead } from "./RanksHead.jsx";
import { makeRankLayer } from "./rank_layer.js";

/** What is found in one rank is not marked in a map of all. */
const NOT_MARKED = new Map();

/**
 * The model's layers, and how far each rank is from the others at the shown step.
 * @param {object} props
 * @param {import("../kit/core.js").Core} props.core
 * @param {import("../findings/state.js").Findings} props.findings
 * @param {import("../map/use_comparison.js").Compared} props.comparison
 * @param {import("./rank_data.js").Ranks} props.ranks
 * @param {import("../data/run.js").Run} props.run
 */
export function RanksPane({ core, findings, comparison, ranks, run }) {
  const { ref, size, scrollTop, onScroll } = usePlace(core);
  const { view, kinds } = core;
  const height = Math.max(0, size.height - RANKS_HEAD - FOOT_HEIGHT);
  const layers = useRankLayers(core, ranks, run);
  const all = useRows(core, run, { layers: useLayers(core, run), difference: null, height });
  useRowInView(ref, all, height, [run.name, core.tensor.value, kinds.value.join()]);
  const { siblings } = ranks;
  const numbers = siblings.value.map(({ rank }) => rank);
  const axis = useMemo(() => makeStepAxis(numbers, "even", numbers, []), [numbers.join()]);
  const { findings: told } = findings.found.value;
  const found = useMemo(() => byTensor(told), [told]);
  const across = {
    what: "ranks",
    index: siblings.value.findIndex((rank) => rank.run === run.name),
    choose: (/** @type {number} */ index) => core.selectRun(siblings.value[index].run),
    drags: false,
    profile: false,
  };
  const width = mapWidth(size.width, layers.length);
  return (
    <section class="lv-map-pane" aria-label="Layers over the ranks">
      <MapToolbar
        core={core}
        comparison={comparison}
        run={run}
        matches={all.matches}
        before={<AcrossChoice view={view} ranks={ranks} />}
      />
      <Furthest core={core} ranks={ranks} run={run} layer={layers[0]} />
      <div class="lv-map" ref={ref} onScroll={onScroll} style={{ "--lv-maps": layers.length }}>
        <RanksHead ranks={ranks} axis={axis} maps={layers.length} width={width} across={across} />
        <MapBody
          core={core}
          run={run}
          layers={layers}
          all={all}
          axis={axis}
          across={across}
          found={found}
          marked={NOT_MARKED}
          top={RANKS_HEAD}
          scrollTop={scrollTop}
          width={width}
          room={height}
        />
        <Foot layers={layers} step={core.step.value} />
      </div>
    </section>
  );
}

/**
 * @param {import("../kit/core.js").Core} core
 * @param {import("./rank_data.js").Ranks} ranks
 * @param {import("../data/run.js").Run} run
 * @returns {import("./rank_layer.js").RankLayer[]}
 */
function useRankLayers({ view, kinds }, { statistics }, run) {
  const known = statistics.value;
  const transform = /** @type {import("../kit/colour.js").MapTransform | ""} */ (
    view.transform.value
  );
  const [chosen, rowScales] = [view.statistic.value, view.rowScales.value];
  return useMemo(
    () =>
      kinds.value.map((kind) => {
        const statistic = statisticOf(chosen, kind);
        const own = known[kind];
        // What was asked for before is of another run's tensors, or another statistic.
        const isOwn = own?.run === run.name && own.statistic === statistic.name;
        const found = isOwn ? own.found : null;
        const problem = own?.problem ?? "";
        return makeRankLayer({ run, kind, statistic, found, transform, rowScales, problem });
      }),
    [known, run, chosen, transform, rowScales, kinds.value.join()],
  );
}

/** @param {{layers: import("./rank_layer.js").RankLayer[], step: number | undefined}} props */
function Foot({ layers, step }) {
  return (
    <div class="lv-map-foot" style={{ height: `${FOOT_HEIGHT}px` }}>
      <div class="lv-axis-name">{step === undefined ? "" : `at step ${formatCount(step)}`}</div>
      <div class="lv-maps">
        {layers.map((layer) => (
          <div key={layer.kind} class="lv-map-legend">
            <div class="lv-axis" />
            <ColourBar
              scale={layer.scale}
              label={layerLabel(layer)}
              format={layer.format}
              ends={layer.rowScales ? ["low", "high of each row"] : undefined}
              hatched={layer.anyTrouble}
            />
          </div>
        ))}
      </div>
    </div>
  );
}
