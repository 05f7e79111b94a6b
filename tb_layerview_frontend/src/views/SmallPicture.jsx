import { useMemo, useState } from "preact/hooks";

import { palette, pictureScale } from "../colour.js";
import { formatExact } from "../format.js";
import { theme } from "../host.js";
import {
  baseOffset,
  finiteRange,
  layOut,
  offsetAt,
  paint,
  planPicture,
  trueIndex,
} from "../picture.js";
import { planUnit } from "../unit_parts.js";
import { ColourBar } from "./ColourBar.jsx";
import { pointIn, useCanvas, useSize } from "./hooks.js";

/**
 * What is kept of one unit as a picture that fits beside others, with the number under the pointer.
 * @param {object} props
 * @param {import("../payload.js").Values} props.values
 * @param {string[]} props.names of its axes
 * @param {number} props.unit its index on the axis that is left out: the last one
 * @param {string} props.label
 */
export function SmallPicture({ values, names, unit, label }) {
  const [ref, size] = /** @type {ReturnType<typeof useSize<HTMLDivElement>>} */ (useSize());
  const [hover, setHover] = useState(-1);
  const ratio = window.devicePixelRatio || 1;
  const plan = useMemo(() => planUnit(names, planPicture(names)), [names.join("\n")]);
  const counts = values.axes.map(({ count }) => count);
  const layout = useMemo(
    () =>
      layOut(
        plan,
        counts,
        Math.max(1, Math.floor(size.width * ratio)),
        Math.max(1, Math.floor(size.height * ratio)),
        ratio,
      ),
    [plan, counts.join(), size.width, size.height, ratio],
  );
  const { data } = values;
  const base = baseOffset(plan, counts, {});
  const scale = useMemo(() => pictureScale(finiteRange(data)), [data]);
  const colours = palette(theme.value, scale.diverging);
  const visible = size.width > 0 && size.height > 0 && data.length > 0;
  const width = visible ? layout.width / ratio : 0;
  const height = visible ? layout.height / ratio : 0;
  const canvas = useCanvas(
    width,
    height,
    (context) => {
      const image = new ImageData(layout.width, layout.height);
      paint(new Uint32Array(image.data.buffer), layout, data, base, scale, colours);
      context.putImageData(image, 0, 0);
    },
    [layout, data, base, scale, colours],
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
            setHover(
              offsetAt(layout, base, Math.floor(x * ratio), Math.floor(y * ratio), data.length),
            );
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
