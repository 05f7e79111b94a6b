import { useMemo, useState } from "preact/hooks";

import { ColourBar } from "../kit/ColourBar.jsx";
import { palette, pictureScale } from "../kit/colour.js";
import { formatExact } from "../kit/format.js";
import { pointIn, useCanvas, useDevicePixels, useSize } from "../kit/hooks.js";
import { theme } from "../kit/host.js";
import { drawPicture } from "../picture/draw.js";
import { layOut } from "../picture/layout.js";
import { levelsOf } from "../picture/paint.js";
import { planPicture, trueIndex } from "../picture/plan.js";
import { finiteRange } from "../picture/range.js";
import { offsetOfCell, project, transformOf } from "../picture/screen.js";
import { planUnit } from "./unit_parts.js";

/**
 * What is kept of one unit as a picture that fits beside others, with the number under the pointer.
 * @param {object} props
 * @param {import("../data/payload.js").Values} props.values
 * @param {string[]} props.names of its axes
 * @param {number} props.unit its index on the axis that is left out: the last one
 * @param {string} props.label
 */
export function SmallPicture({ values, names, unit, label }) {
  const [ref, size] = /** @type {ReturnType<typeof useSize<HTMLDivElement>>} */ (useSize());
  const [hover, setHover] = useState(-1);
  const plan = useMemo(() => planUnit(names, planPicture(names)), [names.join("\n")]);
  const counts = values.axes.map(({ count }) => count);
  const space = useDevicePixels(size);
  const { ratio } = space;
  const { grid, transform, projection } = useMemo(() => {
    const laid = layOut(plan, counts, {}, space);
    const whole = transformOf(laid, null, space);
    const wide = Math.min(space.width, Math.ceil(laid.width));
    const high = Math.min(space.height, Math.ceil(laid.height));
    return { grid: laid, transform: whole, projection: project(laid, whole, wide, high) };
  }, [plan, counts.join(), space]);
  const { data } = values;
  const scale = useMemo(() => pictureScale(finiteRange(data)), [data]);
  const levels = useMemo(() => levelsOf(data, [scale], 1), [data, scale]);
  const colours = palette(theme.value, scale.diverging);
  const visible = size.width > 0 && size.height > 0 && data.length > 0;
  const width = visible ? projection.columnAt.length / ratio : 0;
  const height = visible ? projection.rowAt.length / ratio : 0;
  const canvas = useCanvas(
    width,
    height,
    (context) =>
      drawPicture(context, {
        grid,
        transform,
        projection,
        values,
        levels,
        palette: colours,
        scale,
        perUnit: null,
        // All slices are shown: nothing is chosen.
        base: 0,
        marked: data.some((one) => !Number.isFinite(one)),
        nameOf: (panel) => panelNames(values, names, plan, panel),
        ratio,
      }),
    [projection, data, levels, colours, theme.value],
  );
  const value = data[hover];
  const index = hover >= 0 && hover < data.length ? [...trueIndex(values.axes, hover), unit] : null;
  return (
    <>
      <div class="lv-small-picture" ref={ref}>
        <div
          role="img"
          aria-label={`${label}: ${data.length} numbers`}
          style={{ width: `${width}px`, height: `${height}px` }}
          onPointerMove={(event) => {
            const { x, y } = pointIn(event);
            const column = projection.columnAt[Math.floor(x * ratio)] ?? -1;
            const row = projection.rowAt[Math.floor(y * ratio)] ?? -1;
            setHover(offsetOfCell(grid, column, row));
          }}
          onPointerLeave={() => setHover(-1)}
        >
          <canvas ref={canvas} />
        </div>
      </div>
      <div class="lv-small-foot">
        <ColourBar scale={scale} label="" />
        <output
          data-testid="unit-readout"
          data-index={index?.join(",")}
          data-value={index ? String(value) : undefined}
        >
          {index ? `${formatExact(value)} [${index.join(", ")}]` : ""}
        </output>
      </div>
    </>
  );
}

/**
 * What a panel is, the longest text first.
 * @param {import("../data/payload.js").Values} values
 * @param {string[]} names
 * @param {import("../picture/plan.js").Plan} plan
 * @param {number} panel
 */
function panelNames({ axes }, names, { panelColumn }, panel) {
  if (panelColumn === null) return [];
  const index = axes[panelColumn].start + axes[panelColumn].step * panel;
  return [`${names[panelColumn]} ${index}`, String(index)];
}
