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
  const { layout, flow, beside } = scene;
  const { steps } = run.history;
  const shown = network.shown.value;
  // What is said of the pictures is said of those that are there.
  const step = formatCount(shown?.step ?? core.step.value ?? 0);
  const example = shown?.example ?? network.example.value;
  return (
    <div class="lv-lanes-heads">
      <span style={{ left: `${layout.names.x}px` }}>layer</span>
      <Given column={layout.pictures} shown={shown}>
        {beside
          ? `${beside.names[0]}, step ${step}`
          : `what it gives for example ${example}, step ${step}`}
      </Given>
      {beside && layout.others && (
        <Given column={layout.others} shown={beside.shown}>
          <span
            data-testid="beside"
            data-pictures={beside.pictures.size}
            title="In the colours of the pictures that they stand beside."
          >
            {beside.names[1]}
            {beside.shown && `, step ${formatCount(beside.shown.step)}`}
          </span>
        </Given>
      )}
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
      {layout.flow && flow && (
        <FlowHead column={layout.flow} flow={flow} steps={steps} other={beside?.names[1] ?? "B"} />
      )}
    </div>
  );
}

/**
 * Of when the pictures are.
 * @param {{column: import("./layout.js").Column, shown: import("./pictures_data.js").Shown | null, children: import("preact").ComponentChildren}} props
 */
function Given({ column, shown, children }) {
  const own = [...(shown?.lanes.values() ?? [])].map((lane) => lane.step);
  const other = own.find((at) => at !== null && at !== shown?.step) ?? null;
  return (
    <span style={{ left: `${column.x}px`, width: `${column.width}px` }}>
      {children}
      {other !== null && (
        <i title="At this step no values are kept; these are the nearest before it, or the first after it.">
          {" "}
          (values of step {formatCount(other)})
        </i>
      )}
    </span>
  );
}

/** A number of an axis needs as many pixels, and a column's head all its words as many. */
const [TICK_ROOM, NAMED] = [34, 190];

/**
 * @param {{column: import("./layout.js").Column, flow: import("./draw_columns.js").Flow, steps: number[], other: string}} props
 *   `other` is what is compared with
 */
function FlowHead({ column, flow, steps, other }) {
  const { range } = flow;
  const [low, high] = range;
  const isNarrow = column.width < NAMED;
  const every = Math.ceil((high - low) / Math.max(1, Math.floor(column.width / TICK_ROOM)));
  const powers = [];
  for (let power = low; power <= high; power += every) powers.push(power);
  return (
    <>
      <span
        class="lv-flow-head"
        style={{ left: `${column.x}px`, width: `${column.width}px` }}
        title={`Gradient flow: the rms of each kernel's gradient, on a logarithmic axis. The light line is step ${formatCount(steps[0])}, the dark one the shown step${flow.now.length ? "" : ", where none is finite"}, the dotted one the last${flow.other ? `, the dashed one ${other}, which is compared with` : ""}. A diamond is the rms of the kernel's update. Where the ground is shaded a gradient has all but vanished beside the largest one.`}
      >
        {isNarrow ? "gradients" : "gradient flow"} <b class="lv-flow-first">start</b>{" "}
        <b class="lv-flow-now">{flow.now.length ? "now" : isNarrow ? "now –" : "now: none"}</b>{" "}
        {flow.other && (
          <b class="lv-flow-other" data-testid="flow-other" data-points={flow.other.length}>
            {flow.other.length ? other : `${other}: none`}
          </b>
        )}{" "}
        {flow.now.length > 0 && column.width >= (flow.other ? 220 : NAMED) && (
          <b class="lv-flow-update">◆ update</b>
        )}
      </span>
      {powers.map((power) => (
        <span key={power} class="lv-flow-tick" style={{ left: `${flowX(column, range, power)}px` }}>
          10<sup>{String(power).replace("-", "−")}</sup>
        </span>
      ))}
    </>
  );
}
