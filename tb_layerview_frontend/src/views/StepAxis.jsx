import { useMemo } from "preact/hooks";

import { apart, positionOf, stepTicks } from "../axis.js";
import { formatCount } from "../format.js";

/**
 * Step numbers below a map, and marks where something is found.
 * @param {object} props
 * @param {import("../axis.js").StepAxis} props.axis
 * @param {number} props.width CSS pixels
 * @param {number[]} [props.marks] steps
 */
export function StepAxis({ axis, width, marks = [] }) {
  const ticks = useMemo(() => stepTicks(axis, Math.floor(width / 64)), [axis, width]);
  return (
    <div class="lv-axis" aria-hidden="true">
      {apart(
        marks.map((step) => positionOf(axis, step) * width),
        8,
      ).map((x) => (
        <span key={x} class="lv-axis-mark" style={{ left: `${x}px` }}>
          ✕
        </span>
      ))}
      {ticks.map(({ step, position }) => (
        <span
          key={step}
          class="lv-axis-tick"
          style={{ left: `${position * width}px` }}
          data-edge={position * width < 14 ? "start" : position * width > width - 18 ? "end" : ""}
        >
          {formatCount(step)}
        </span>
      ))}
    </div>
  );
}
