import { formatCount } from "../kit/format.js";
import { flowX } from "./draw_columns.js";

/**
 * What the columns are.
 * @param {object} props
 * @param {import("../kit/core.js").Core} props.core
 * @param {import("../data/run.js").Run} props.run
 * @param {import("./draw_network.js").Scene} props.scene
 * @param {import("./network_data.js").Network} props.network
 */
export function Heads({ core, run, scene, network }) {
  const { layout, flow } = scene;
  const { steps } = run.history;
  const shown = network.shown.value;
  // What is said of the pictures is said of those that are there.
  const step = shown?.step ?? core.step.value ?? 0;
  const example = shown?.example ?? network.example.value;
  const own = [...(shown?.lanes.values() ?? [])].map((lane) => lane.step);
  const other = own.find((at) => at !== null && at !== shown?.step);
  return (
    <div class="lv-lanes-heads">
      <span style={{ left: `${layout.names.x}px` }}>layer</span>
      <span style={{ left: `${layout.pictures.x}px`, width: `${layout.pictures.width}px` }}>
        what it gives for example {example}, step {formatCount(step)}
        {other !== undefined && other !== null && (
          <i title="At this step no values are kept; these are the nearest before it, or the first after it.">
            {" "}
            (values of step {formatCount(other)})
          </i>
        )}
      </span>
      {layout.ridges && (
        <span
          style={{ left: `${layout.ridges.x}px`, width: `${layout.ridges.width}px` }}
          title="The distribution of what the layer gives, a ridge a step: early ones light and behind, late ones dark and in front. The shown step has an outline, and a bar at 0 is the share of exact zeros."
        >
          distribution
          {layout.ridges.width >= NAMED &&
            `, step ${formatCount(steps[0])} to ${formatCount(steps.at(-1) ?? 0)}`}
        </span>
      )}
      {layout.flow && flow && <FlowHead column={layout.flow} flow={flow} steps={steps} />}
    </div>
  );
}

/** A number of an axis needs as many pixels, and a column's head all its words as many. */
const [TICK_ROOM, NAMED] = [34, 190];

/**
 * @param {{column: import("./layout.js").Column, flow: import("./draw_columns.js").Flow, steps: number[]}} props
 */
function FlowHead({ column, flow, steps }) {
  const { range } = flow;
  const [low, high] = range;
  const every = Math.ceil((high - low) / Math.max(1, Math.floor(column.width / TICK_ROOM)));
  const powers = [];
  for (let power = low; power <= high; power += every) powers.push(power);
  return (
    <>
      <span
        class="lv-flow-head"
        style={{ left: `${column.x}px`, width: `${column.width}px` }}
        title={`Gradient flow: the rms of each kernel's gradient, on a logarithmic axis. The light line is step ${formatCount(steps[0])}, the dark one the shown step${flow.now.length ? "" : ", where none is finite"}, the dotted one the last${flow.other ? ", the dashed one B, which is compared with" : ""}. A diamond is the rms of the kernel's update. Where the ground is shaded a gradient has all but vanished beside the largest one.`}
      >
        {column.width < NAMED ? "gradients" : "gradient flow"} <b class="lv-flow-first">start</b>{" "}
        <b class="lv-flow-now">{flow.now.length ? "now" : "now: none"}</b>{" "}
        {flow.other && (
          <b class="lv-flow-other" data-testid="flow-other" data-points={flow.other.length}>
            {flow.other.length ? "B" : "B: none"}
          </b>
        )}{" "}
        {flow.now.length > 0 && column.width >= (flow.other ? 220 : NAMED) && <b class="lv-flow-update">◆ update</b>}
      </span>
      {powers.map((power) => (
        <span key={power} class="lv-flow-tick" style={{ left: `${flowX(column, range, power)}px` }}>
          10<sup>{String(power).replace("-", "−")}</sup>
        </span>
      ))}
    </>
  );
}
