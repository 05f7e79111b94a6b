import { useMemo } from "preact/hooks";

import { stepTicks } from "../axis.js";
import { formatCount } from "../format.js";

/**
 * Step numbers below a map.
 * @param {{axis: import("../axis.js").StepAxis, width: number}} props width in CSS pixels
 */
export function StepAxis({ axis, width }) {
  const ticks = useMemo(() => stepTicks(axis, Math.floor(width / 64)), [axis, width]);
  return (
    <div class="lv-axis" aria-hidden="true">
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
