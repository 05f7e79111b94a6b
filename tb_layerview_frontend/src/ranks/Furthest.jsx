import { tensorTitle } from "../data/matching.js";
import { statisticOf } from "../data/statistics.js";
import { formatCount } from "../kit/format.js";
import { departureInWords, furthestRank, isApart } from "./ranks.js";

/**
 * Which rank is furthest from the others at the shown step, and where that begins.
 * @param {object} props
 * @param {import("../kit/core.js").Core} props.core
 * @param {import("./rank_data.js").Ranks} props.ranks
 * @param {import("../data/run.js").Run} props.run
 * @param {import("./rank_layer.js").RankLayer | undefined} props.layer of the first map
 */
export function Furthest({ core, ranks, run, layer }) {
  const step = core.step.value;
  return (
    <p class="lv-furthest" data-testid="furthest-rank" aria-live="polite">
      {layer?.ready && step !== undefined && (
        <Words
          core={core}
          ranks={ranks}
          run={run}
          layer={layer}
          at={`At step ${formatCount(step)}`}
        />
      )}
    </p>
  );
}

/**
 * @param {Required<Parameters<typeof Furthest>[0]> & {layer: import("./rank_layer.js").RankLayer, at: string}} props
 */
function Words({ core, ranks, run, layer, at }) {
  const { statistic: chosen } = core.view;
  const { scale, label } = statisticOf(chosen.value, layer.kind);
  const { siblings } = ranks;
  const found = furthestRank(layer.tensors, layer.ofRanks);
  const rank = found && siblings.value[found.place];
  if (!rank)
    return (
      <>
        {at} no two ranks have logged the {label} of one {layer.kind}.
      </>
    );
  const isBroken = Number.isNaN(found.departure);
  if (!isBroken && !isApart(scale, found.departure)) {
    return (
      <>
        {at} the ranks are alike: no {label} of a {layer.kind} is far from the others’.
      </>
    );
  }
  const apart = siblings.value.length > 2 ? "furthest from the others" : "the two ranks differ";
  const how = departureInWords(scale, found.departure, siblings.value.length);
  return (
    <>
      {at} {isBroken ? "one rank alone holds NaN or inf" : apart}:{" "}
      <button
        type="button"
        class="lv-link"
        data-testid="show-furthest"
        onClick={() => {
          core.selectTensor(found.tensor);
          core.selectRun(rank.run);
        }}
      >
        rank {rank.rank}, first in {tensorTitle(run.info, run.info.tensors[found.tensor])}
      </button>
      {!isBroken && `, ${label} ${how}`}.
    </>
  );
}
