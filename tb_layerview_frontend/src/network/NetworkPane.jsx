import { useEffect, useMemo, useState } from "preact/hooks";

import { useCanvas, useSize } from "../kit/hooks.js";
import { markFirstPaint } from "../kit/timing.js";
import { ExampleStrip } from "./ExampleStrip.jsx";
import { Heads } from "./Heads.jsx";
import { LaneRow } from "./LaneRow.jsx";
import { NetworkTakeAlong } from "./NetworkTakeAlong.jsx";
import { Timeline } from "./Timeline.jsx";
import { drawNetwork } from "./draw_network.js";
import { entryOfLayer } from "./lanes.js";
import { useScene, useWanted } from "./use_scene.js";

/** @typedef {import("../data/run.js").Run} Run */

/** The height of the columns' heads; the style sheet has the same number. */
const HEADS_HEIGHT = 34;

/**
 * The first screen: the model as lanes, one a layer, at work on one example.
 * @param {object} props
 * @param {import("../kit/core.js").Core} props.core
 * @param {import("../findings/state.js").Findings} props.findings
 * @param {import("../map/use_comparison.js").Compared} props.comparison whose gradients flow beside the run's
 * @param {import("./network_data.js").Network} props.network
 * @param {Run} props.run
 */
export function NetworkPane({ core, findings, comparison, network, run }) {
  const [ref, size] = /** @type {ReturnType<typeof useSize<HTMLDivElement>>} */ (useSize());
  const [scrolled, setScrolled] = useState(0);
  const { scene, sceneAt } = useScene(
    { core, network, findings, comparison, run },
    { width: size.width, height: size.height - HEADS_HEIGHT },
  );
  const { entries, layout, verdicts } = scene;
  const total = entries.length
    ? entries[entries.length - 1].top + entries[entries.length - 1].height
    : 0;
  const height = Math.min(total, Math.max(0, size.height - HEADS_HEIGHT));
  const top = Math.min(scrolled, Math.max(0, total - height));
  useWanted(network, entries, { top, height });
  useInView(ref, entries, run, core.tensor.value, layout.lane);
  const canvas = useCanvas(
    size.width,
    height,
    (context, ratio) => {
      drawNetwork(context, ratio, scene, { top, height });
      if (scene.pictures.size) markFirstPaint("network");
    },
    [...Object.values(scene), top],
  );
  const shownStep = network.shown.value?.step;
  return (
    <section class="lv-network" aria-label="The network" data-testid="network">
      <ExampleStrip network={network} findings={findings} run={run}>
        <NetworkTakeAlong
          core={core}
          network={network}
          run={run}
          scene={scene}
          sceneAt={sceneAt}
          seen={{ top, height }}
          total={total}
        />
      </ExampleStrip>
      {network.problem.value && (
        <p class="lv-notice lv-notice-warning" role="alert" data-testid="network-problem">
          Pictures of this step could not be read: {network.problem.value}
        </p>
      )}
      {network.ridgesProblem.value && (
        <p class="lv-notice lv-notice-warning" role="alert">
          How the distributions went could not be read: {network.ridgesProblem.value}
        </p>
      )}
      <div
        class="lv-lanes"
        ref={ref}
        data-testid="lanes"
        data-step={shownStep}
        data-pending={network.pending.value}
        onScroll={(event) => setScrolled(event.currentTarget.scrollTop)}
      >
        <Heads core={core} run={run} scene={scene} network={network} />
        <div class="lv-lanes-body" style={{ height: `${total}px` }}>
          <div class="lv-lanes-drawn" style={{ top: `${HEADS_HEIGHT}px`, height: `${height}px` }}>
            <canvas ref={canvas} data-testid="network-canvas" />
          </div>
          <ol class="lv-lane-list" aria-label="Layers in the order in which they run">
            {entries.map((entry, index) =>
              entry.top < top + height && entry.top + entry.height > top ? (
                <LaneRow
                  key={entry.part.key}
                  core={core}
                  network={network}
                  run={run}
                  entry={entry}
                  verdict={verdicts[index]}
                  layout={layout}
                  pictures={scene.pictures}
                />
              ) : null,
            )}
          </ol>
        </div>
      </div>
      <Timeline core={core} findings={findings} run={run} />
    </section>
  );
}

/**
 * Scrolls to the selected layer when the run appears, and when another one is selected out of sight.
 * @param {import("preact").RefObject<HTMLDivElement>} ref
 * @param {import("./lanes.js").Entry[]} entries
 * @param {Run} run
 * @param {number} tensor that is selected
 * @param {number} lane the height of one
 */
function useInView(ref, entries, run, tensor, lane) {
  const layer = run.info.tensors[tensor]?.layer ?? -1;
  const at = useMemo(() => entryOfLayer(entries, layer), [entries, layer]);
  useEffect(() => {
    const place = ref.current;
    const entry = entries[at];
    if (!place || !entry) return;
    const room = place.clientHeight - HEADS_HEIGHT;
    if (entry.top < place.scrollTop) place.scrollTop = entry.top;
    else if (entry.top + entry.height > place.scrollTop + room) {
      place.scrollTop = Math.min(entry.top, entry.top + entry.height - room / 2);
    }
    // Not where a block is opened or folded: what somebody has clicked stays in sight.
  }, [run.name, layer, lane]);
}
