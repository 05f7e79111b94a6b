import { formatCount, formatShape } from "../kit/format.js";
import { sourceOf } from "../data/source.js";
import { tensorOf } from "./draw_network.js";
import { factsOf } from "./lane_words.js";
import { isBlock, lanesIn, pictured } from "./lanes.js";
import { inWords } from "./verdict.js";

/** @typedef {import("../data/run.js").Run} Run */
/** @typedef {import("./lanes.js").Lane} Lane */

/**
 * What is written of an entry, and the ways to what lies behind it. Its pictures are drawn on the canvas behind.
 * @param {object} props
 * @param {import("../kit/core.js").Core} props.core
 * @param {import("./network_data.js").Network} props.network
 * @param {Run} props.run
 * @param {import("./lanes.js").Entry} props.entry
 * @param {import("./verdict.js").Verdict} props.verdict
 * @param {import("./layout.js").Layout} props.layout
 * @param {Map<number, import("../data/framed.js").Thumbnails>} props.pictures
 */
export function LaneRow({ core, network, run, entry, verdict, layout, pictures }) {
  const { part, open, depth, top, height } = entry;
  const lane = pictured(part);
  const selected = lane !== null && !open && isSelected(core, run, lane);
  const classes = ["lv-lane"];
  if (open) classes.push("lv-lane-head");
  if (selected) classes.push("lv-lane-selected");
  const choose = () => {
    if (isBlock(part)) network.toggle(part);
    else select(core, part);
  };
  return (
    <li
      class={classes.join(" ")}
      style={{ top: `${top}px`, height: `${height}px` }}
      data-testid="lane"
      data-layer={isBlock(part) ? part.path : part.path}
      data-health={open ? undefined : verdict.health}
      data-led={(!open && verdict.isLed) || undefined}
      onClick={choose}
    >
      <button
        type="button"
        class="lv-lane-name"
        style={{
          left: `${layout.names.x + 10 * depth}px`,
          width: `${layout.names.width - 10 * depth}px`,
        }}
        aria-expanded={isBlock(part) ? open : undefined}
        aria-current={selected || undefined}
        title={titleOf(run, part, verdict)}
        onClick={(event) => {
          event.stopPropagation();
          choose();
        }}
      >
        <span class="lv-lane-title">
          {isBlock(part) && <span aria-hidden="true">{open ? "▾ " : "▸ "}</span>}
          {part.name}
          <span class="lv-unseen">· {inWords(verdict)}</span>
        </span>
        {!open && <span class="lv-lane-facts">{factsOf(run, part)}</span>}
      </button>
      {!open && lane && (
        <LaneNote run={run} lane={lane} of={pictures.get(lane.tensor)} layout={layout} />
      )}
    </li>
  );
}

/**
 * What stands in place of pictures, or beside them.
 * @param {{run: Run, lane: Lane, of: import("../data/framed.js").Thumbnails | undefined, layout: import("./layout.js").Layout}} props
 */
function LaneNote({ run, lane, of, layout }) {
  const { x, width } = layout.pictures;
  const style = { left: `${x}px`, width: `${width}px` };
  if (lane.tensor < 0) {
    const { kind } = run.info.tensors[lane.tensors[0]];
    return (
      <span class="lv-lane-note" style={style}>
        its {kind}s are logged, what it gives is not
      </span>
    );
  }
  if (of?.problem) {
    return (
      <span class="lv-lane-note" style={style} title={of.problem} data-testid="lane-problem">
        {/no values/.test(of.problem) ? "no values are kept" : of.problem}
      </span>
    );
  }
  if (!of?.non_finite) return null;
  return (
    <span class="lv-lane-bad" style={{ left: `${x + width}px` }} data-testid="lane-non-finite">
      × {formatCount(of.non_finite)} NaN or inf
    </span>
  );
}

/**
 * Selects what a lane shows, and opens it at full size.
 * @param {import("../kit/core.js").Core} core
 * @param {Lane} lane
 */
function select(core, lane) {
  core.selectTensor(lane.tensor >= 0 ? lane.tensor : lane.tensors[0]);
  core.view.detail.value = true;
}

/**
 * @param {import("../kit/core.js").Core} core
 * @param {Run} run
 * @param {Lane} lane
 */
function isSelected(core, run, lane) {
  const chosen = run.info.tensors[core.tensor.value];
  const isScores = lane.scores === (core.tensor.value === lane.tensor);
  return chosen?.layer === lane.layer && (lane.scores ? isScores : true);
}

/**
 * @param {Run} run
 * @param {Lane | import("./lanes.js").Block} part
 * @param {import("./verdict.js").Verdict} verdict
 */
function titleOf(run, part, verdict) {
  const own = new Set(lanesIn(part).map(({ layer }) => layer));
  const found = verdict.findings.map(({ tensor, since, words }) => {
    const layer = tensor === null ? -1 : run.info.tensors[tensor].layer;
    const other = layer < 0 || own.has(layer) ? "" : `passes on '${run.info.layers[layer].path}': `;
    return `${other}${words}, ${since}`;
  });
  if (verdict.isLed) found.unshift(inWords(verdict));
  const state = found.length ? found : [inWords(verdict)];
  if (isBlock(part)) {
    return [`${part.path}: ${formatCount(part.lanes.length)} layers`, ...state]
      .slice(0, 6)
      .join("\n");
  }
  const source = sourceOf(run.info, part.tensors[0]);
  const tensor = run.info.tensors[tensorOf({ part })];
  const facts = [part.className, tensor ? formatShape(tensor.shape) : ""]
    .filter(Boolean)
    .join(" · ");
  return [part.path, facts, source?.title ?? "", ...state].filter(Boolean).slice(0, 8).join("\n");
}
