import { useMemo } from "preact/hooks";

import { heads } from "../findings/findings.js";
import { marksOf } from "../findings/marks.js";
import { SIGNS } from "../findings/words.js";
import { cursorAt, indexAt, makeStepAxis } from "../kit/axis.js";
import { formatCount, formatValue } from "../kit/format.js";
import { pointIn, useCanvas, useSize } from "../kit/hooks.js";
import { theme } from "../kit/host.js";
import { drawTimeline, TIMELINE_HEIGHT } from "./draw_timeline.js";
import { lossOf, valueAt } from "./loss.js";

/** @typedef {import("../kit/core.js").Core} Core */

/** Flags that lie nearer than this share of the line are one. */
const LEAST_APART = 0.015;

/**
 * The training from its first step to its last, with the loss, what is logged and what was found. It owns the cursor.
 * @param {{core: Core, findings: import("../findings/state.js").Findings, run: import("../data/run.js").Run}} props
 */
export function Timeline({ core, findings, run }) {
  const [ref, { width }] = /** @type {ReturnType<typeof useSize<HTMLDivElement>>} */ (useSize());
  const { history } = run;
  const spacing = core.spacing.value;
  const axis = useMemo(() => makeStepAxis(history.steps, spacing), [history.steps, spacing]);
  const loss = useMemo(() => lossOf(history), [history]);
  const canvas = useCanvas(
    width,
    TIMELINE_HEIGHT,
    (context, ratio) => drawTimeline(context, ratio, { axis, loss, width }),
    [axis, loss, theme.value],
  );
  const index = core.stepIndex.value;
  const step = history.steps[index] ?? 0;
  const told = findings.found.value.findings;
  const flags = useMemo(() => marksOf(heads(told), axis.positionOf, LEAST_APART), [told, axis]);
  const choose = (/** @type {PointerEvent} */ event) =>
    core.selectStep(indexAt(axis, pointIn(event).x / width));
  const value = valueAt(loss, index);
  return (
    <div class="lv-timeline" data-testid="timeline">
      <div class="lv-timeline-name">
        <b>{loss ? loss.curve.label : "steps"}</b>
        <span data-testid="timeline-value">
          {value === undefined ? "" : formatValue(value)}
          {loss?.scale.log && <i class="lv-caption"> log</i>}
        </span>
      </div>
      <div
        class="lv-timeline-line"
        ref={ref}
        role="slider"
        tabIndex={0}
        aria-label="Step"
        aria-valuemin={history.steps[0]}
        aria-valuemax={history.steps.at(-1)}
        aria-valuenow={step}
        aria-valuetext={`step ${formatCount(step)}${value === undefined ? "" : `, ${loss?.curve.label} ${formatValue(value)}`}`}
        style={{ height: `${TIMELINE_HEIGHT}px` }}
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId);
          choose(event);
        }}
        onPointerMove={(event) => {
          if (event.buttons & 1) choose(event);
        }}
      >
        <canvas ref={canvas} />
        {flags.map(({ at, severity }) => (
          <i
            key={at}
            class={`lv-timeline-flag lv-finding-${severity}`}
            style={{ left: `${100 * at}%` }}
            aria-hidden="true"
          >
            {SIGNS[severity]}
          </i>
        ))}
        <i
          class="lv-timeline-now"
          data-testid="timeline-cursor"
          style={{ left: `${cursorAt(axis, step, width)}px` }}
        />
      </div>
      <span class="lv-timeline-step" data-testid="timeline-step">
        step <b>{formatCount(step)}</b>
        <span class="lv-caption"> of {formatCount(history.steps.at(-1) ?? 0)}</span>
      </span>
    </div>
  );
}
