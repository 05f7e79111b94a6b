import { stepTicks } from "./axis.js";
import { formatCount } from "./format.js";

/**
 * Step numbers below a chart.
 * @param {{axis: import("./axis.js").StepAxis, width: number}} props `width` in CSS pixels
 */
export function StepTicks({ axis, width }) {
  const ticks = stepTicks(axis, Math.max(2, Math.floor(width / 60)));
  return (
    <div class="lv-chart-axis" aria-hidden="true">
      {ticks.map(({ step, position }) => (
        <span
          key={step}
          style={{ left: `${position * 100}%` }}
          data-edge={position * width < 16 ? "start" : position * width > width - 16 ? "end" : ""}
        >
          {formatCount(step)}
        </span>
      ))}
      <b>step</b>
    </div>
  );
}
