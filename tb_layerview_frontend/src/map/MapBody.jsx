import { useMemo } from "preact/hooks";

import { worstFinding } from "../findings/findings.js";
import { MapCanvas } from "./MapCanvas.jsx";
import { Tree } from "./Tree.jsx";

/** @typedef {import("../findings/findings.js").Finding} Finding */

/**
 * The rows' names, and beside them a map for each kind.
 * @param {object} props
 * @param {import("../kit/core.js").Core} props.core
 * @param {import("../data/run.js").Run} props.run
 * @param {import("./layer.js").MapLayer[]} props.layers
 * @param {ReturnType<typeof import("./use_rows.js").useRows>} props.all
 * @param {import("../kit/axis.js").StepAxis} props.axis
 * @param {import("./MapCanvas.jsx").Across} props.across
 * @param {Map<number, Finding[]>} props.found what is found, by tensor
 * @param {Map<number, Finding[]>} props.marked what of it the maps mark
 * @param {number} props.top where the maps stay while the rows scroll, CSS pixels
 * @param {number} props.scrollTop CSS pixels
 * @param {number} props.width of a map, CSS pixels, without its profile
 * @param {number} props.room the height of the rows' place, CSS pixels
 */
export function MapBody(props) {
  const { core, run, layers, all, axis, across, found, marked } = props;
  const { top, scrollTop, width, room } = props;
  const { rows, rowHeight } = all;
  const height = Math.min(room, rows.length * rowHeight);
  return (
    <div class="lv-map-body" style={{ minHeight: `${rows.length * rowHeight}px` }}>
      <Tree
        all={all}
        shown={{ from: Math.floor(scrollTop / rowHeight), count: Math.ceil(room / rowHeight) + 1 }}
        found={found}
        filter={core.view.filter.value}
      />
      <div class="lv-maps lv-map-sticky" style={{ top: `${top}px`, height: `${height}px` }}>
        {layers.map((layer) => (
          <MapCanvas
            key={layer.kind}
            core={core}
            run={run}
            layer={layer}
            rows={rows}
            axis={axis}
            found={marked}
            across={across}
            selectedRow={all.selected}
            rowHeight={rowHeight}
            scrollTop={scrollTop}
            width={width}
            height={height}
          />
        ))}
        {rows.length * rowHeight > height && <Overview rows={rows} found={found} />}
      </div>
    </div>
  );
}

/**
 * Where something is found among all rows, those that are scrolled away too.
 * @param {{rows: import("./rows.js").Row[], found: Map<number, Finding[]>}} props
 */
function Overview({ rows, found }) {
  const marks = useMemo(
    () =>
      rows.flatMap(({ node }, index) => {
        const own = node.tensors.flatMap((tensor) => found.get(tensor) ?? []);
        return own.length ? [{ index, severity: worstFinding(own).severity }] : [];
      }),
    [rows, found],
  );
  return marks.map(({ index, severity }) => (
    <i
      key={index}
      class={`lv-overview lv-finding-${severity}`}
      data-testid="overview"
      style={{ top: `${(100 * index) / rows.length}%` }}
    />
  ));
}
