import { useMemo } from "preact/hooks";

import { Strip } from "./Strip.jsx";
import { StripLegend } from "./StripLegend.jsx";
import { drawnOf } from "./curves.js";
import { STRIP_HEIGHT } from "./strip_plot.js";

/**
 * The curves over the steps, above all maps, and their names.
 * @param {object} props
 * @param {import("../kit/core.js").Core} props.core
 * @param {import("./curves.js").Curve[]} props.curves
 * @param {{run: string, problem: string} | null} props.evaluation whose points are drawn
 * @param {import("../kit/axis.js").StepAxis} props.axis
 */
export function MapHead({ core, curves, evaluation, axis }) {
  const { view } = core;
  const chosen = view.curves.value;
  const drawn = useMemo(() => (curves.length ? drawnOf(curves, chosen) : []), [curves, chosen]);
  const index = core.stepIndex.value;
  return (
    <div class="lv-map-head" style={{ height: `${STRIP_HEIGHT}px` }}>
      <StripLegend
        curves={curves}
        drawn={drawn}
        index={index}
        step={core.steps.value[index]}
        evaluation={evaluation}
        onToggle={(name) => {
          const names = drawn.map((curve) => curve.name);
          const others = names.filter((other) => other !== name);
          view.curves.value = names.includes(name) ? others : [...names, name];
        }}
      />
      <Strip axis={axis} curves={drawn} index={index} onStep={core.selectStep} />
    </div>
  );
}
