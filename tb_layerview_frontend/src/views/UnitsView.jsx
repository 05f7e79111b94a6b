import { useState } from "preact/hooks";

import { formatCount, formatExact, formatShare, formatValue } from "../format.js";
import { axisNames } from "../picture.js";
import { theme } from "../host.js";
import { cssVariable, hatching, pointIn, useCanvas, useSize } from "./hooks.js";

/**
 * Each unit's size, and how much of it is zero.
 * @param {{store: import("../store.js").Store, run: import("../run_data.js").Run}} props
 */
export function UnitsView({ store, run }) {
  const loaded = store.units.value;
  if (loaded.status === "loading")
    return <div class="lv-charts lv-message">Loading the units…</div>;
  if (loaded.status === "error") {
    return <div class="lv-charts lv-message">{loaded.message}</div>;
  }
  const tensor = run.info.tensors[store.tensor.value];
  const name = tensor
    ? (axisNames(tensor.axes, tensor.shape.length, tensor.kind).at(-1) ?? "unit")
    : "unit";
  return <Bars units={loaded.value.units} name={name} step={loaded.value.step} />;
}

/** @param {{units: import("../payload.js").Units, name: string, step: number}} props */
function Bars({ units, name, step }) {
  const [ref, size] = /** @type {ReturnType<typeof useSize<HTMLDivElement>>} */ (useSize());
  const [hover, setHover] = useState(/** @type {{x: number, unit: number} | null} */ (null));
  const count = units.rms.length;
  const width = Math.max(0, size.width - 52);
  const height = Math.max(0, size.height - 18);
  let most = 0;
  let silent = 0;
  for (let i = 0; i < count; i++) {
    if (units.rms[i] > most && units.rms[i] < Infinity) most = units.rms[i];
    if (units.zero[i] === 1) silent++;
  }
  const canvas = useCanvas(
    width,
    height,
    (context, ratio) => {
      const { width: across, height: down } = context.canvas;
      const bar = cssVariable("--lv-bar");
      const track = cssVariable("--lv-track");
      const hatch = hatching(context, cssVariable("--lv-bad"), cssVariable("--lv-surface"), ratio);
      for (let i = 0; i < count; i++) {
        const x = Math.round((i / count) * across);
        const wide = Math.max(
          1,
          Math.round(((i + 1) / count) * across) - x - (across > 3 * count ? ratio : 0),
        );
        context.fillStyle = track;
        context.fillRect(x, 0, wide, down);
        if (!Number.isFinite(units.rms[i])) {
          context.fillStyle = hatch;
          context.fillRect(x, 0, wide, down);
          continue;
        }
        const tall = most > 0 ? (units.rms[i] / most) * (down - 2) : 0;
        context.fillStyle = bar;
        context.fillRect(x, down - Math.max(units.rms[i] > 0 ? ratio : 0, tall), wide, down);
      }
    },
    [units, theme.value],
  );
  const unit = hover?.unit ?? -1;
  return (
    <div class="lv-charts" ref={ref}>
      <div class="lv-value-ticks" aria-hidden="true" style={{ height: `${height}px` }}>
        <span style={{ top: "6px" }}>{formatValue(most)}</span>
        <span style={{ top: `${height - 6}px` }}>0</span>
      </div>
      <div class="lv-heat">
        <div
          class="lv-heat-canvas"
          style={{ width: `${width}px`, height: `${height}px` }}
          onPointerMove={(event) => {
            const { x } = pointIn(event);
            setHover({
              x,
              unit: Math.min(count - 1, Math.max(0, Math.floor((x / width) * count))),
            });
          }}
          onPointerLeave={() => setHover(null)}
        >
          <canvas
            ref={canvas}
            data-testid="units"
            role="img"
            aria-label={`rms of ${count} ${name}s at step ${step}; ${silent} of them are all zero`}
          />
          {hover && unit >= 0 && (
            <div
              class="lv-tooltip"
              role="tooltip"
              data-side={hover.x > width / 2 ? "left" : "right"}
              style={{ left: `${hover.x}px`, top: "8px" }}
            >
              <div class="lv-tooltip-title">
                {name} {unit}
              </div>
              <div>rms {formatExact(units.rms[unit])}</div>
              <div>mean {formatExact(units.mean[unit])}</div>
              <div>largest magnitude {formatExact(units.peak[unit])}</div>
              <div>zero {formatShare(units.zero[unit])}</div>
            </div>
          )}
        </div>
        <div class="lv-heat-steps">
          <span>{name} 0</span>
          <span>
            rms of each {name} at step {formatCount(step)}
            {silent > 0 && ` · ${formatCount(silent)} of ${formatCount(count)} are all zero`}
          </span>
          <span>{count - 1}</span>
        </div>
      </div>
    </div>
  );
}
