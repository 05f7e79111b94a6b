import { useMemo } from "preact/hooks";

import { stepTicks } from "../kit/axis.js";
import { formatCount } from "../kit/format.js";
import { marksOf } from "./marks.js";
import { SIGNS } from "./words.js";

/**
 * Step numbers below a map, and marks where something is found.
 * @param {object} props
 * @param {import("../kit/axis.js").StepAxis} props.axis
 * @param {number} props.width CSS pixels
 * @param {import("./findings.js").Finding[]} [props.marks] what is found, marked where it begins
 */
export function StepAxis({ axis, width, marks = [] }) {
  const ticks = useMemo(() => stepTicks(axis, Math.floor(width / 64)), [axis, width]);
  return (
    <div class="lv-axis" aria-hidden="true">
      {marksOf(marks, (step) => axis.positionOf(step) * width, 8).map(({ at, severity }) => (
        <span key={at} class={`lv-axis-mark lv-finding-${severity}`} style={{ left: `${at}px` }}>
          {SIGNS[severity]}
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
