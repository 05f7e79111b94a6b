import { useMemo } from "preact/hooks";

import { Strip } from "./Strip.jsx";
import { StripLegend } from "./StripLegend.jsx";
import { STRIP_HEIGHT } from "./strip_plot.js";

/**
 * The curves over the steps, above each map, and their names.
 * @param {object} props
 * @param {import("../kit/core.js").Core} props.core
 * @param {import("./curves.js").Curve[]} props.curves
 * @param {{run: string, problem: string} | null} props.evaluation whose points are drawn
 * @param {import("../data/types.js").Kind[]} props.kinds of the maps
 * @param {import("../kit/axis.js").StepAxis} props.axis
 */
export function MapHead({ core, curves, evaluation, kinds, axis }) {
  const { curvesOff } = core.view;
  const off = curvesOff.value;
  const drawn = useMemo(() => curves.filter(({ name }) => !off.includes(name)), [curves, off]);
  const index = core.stepIndex.value;
  return (
    <div class="lv-map-head" style={{ height: `${STRIP_HEIGHT}px` }}>
      <StripLegend
        curves={curves}
        off={off}
        index={index}
        step={core.steps.value[index]}
        evaluation={evaluation}
        onToggle={(name) => {
          curvesOff.value = off.includes(name)
            ? off.filter((other) => other !== name)
            : [...off, name];
        }}
      />
      <div class="lv-maps">
        {kinds.map((kind) => (
          <div key={kind} class="lv-map-column">
            <Strip
              axis={axis}
              curves={drawn}
              index={index}
              anyOff={off.length > 0}
              onStep={core.selectStep}
            />
            <span class="lv-profile-head" />
          </div>
        ))}
      </div>
    </div>
  );
}
