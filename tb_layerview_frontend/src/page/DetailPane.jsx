import { Distribution } from "../distribution/Distribution.jsx";
import { ASKED_AGAIN, TensorHead } from "../kit/TensorHead.jsx";
import { formatCount, formatShape } from "../kit/format.js";
import { Picture } from "../picture/Picture.jsx";
import { UnitsView } from "../units/UnitsView.jsx";
import { Numbers } from "./Numbers.jsx";
import { PanelTabs, shownPanel, useWide } from "./PanelTabs.jsx";
import { StatisticsLine } from "./StatisticsLine.jsx";

/** @typedef {import("../data/run.js").Run} Run */

/**
 * All that is known of the selected tensor at the selected step.
 * @param {{store: import("./store.js").Store, run: Run}} props
 */
export function DetailPane({ store, run }) {
  const { core } = store;
  const wide = useWide();
  const index = core.tensor.value;
  const tensor = run.info.tensors[index];
  if (!tensor) return null;
  const layer = run.info.layers[tensor.layer];
  const detail = core.selected.detail.value;
  // A detail of another tensor is what was shown before: it stays only until this one's is there.
  const isOwn =
    detail.status === "ready" && detail.value.run === run.name && detail.value.tensor === index;
  const own = isOwn ? detail.value : null;
  const record = own?.record ?? null;
  const shape = own?.values ? own.values.axes.map(({ size }) => size) : tensor.shape;
  const mode = run.history.modes[core.stepIndex.value];
  const bare = record !== null && record.size !== 1 && own?.values === null && !own.valuesProblem;
  const panel = shownPanel(core.view, wide, bare);
  return (
    <section class={`lv-detail${bare ? " lv-bare" : ""}`} aria-label="The selected tensor">
      {core.onNetwork.value && (
        <button
          type="button"
          class="lv-icon-button lv-detail-close"
          data-testid="close-detail"
          aria-label="Close"
          title="Close (Esc)"
          onClick={() => {
            core.view.detail.value = false;
          }}
        >
          ✕
        </button>
      )}
      <TensorHead core={core} run={run} index={index} className={layer.class_name}>
        <span data-testid="tensor-shape">{formatShape(shape)}</span>
        <span>{tensor.dtype}</span>
        {mode && mode !== "train" && <span>mode {mode}</span>}
      </TensorHead>
      {own && core.selected.detailProblem.value && (
        <p class="lv-old" role="alert" data-testid="detail-problem">
          Step {formatCount(core.step.value ?? 0)} could not be read:{" "}
          {core.selected.detailProblem.value} Below is step {formatCount(own.step)}.
        </p>
      )}
      <StatisticsLine record={record} />
      {detail.status === "error" && (
        <div class="lv-message" role="alert" data-testid="detail-error">
          <p class="lv-error">{detail.message}</p>
          <p>{ASKED_AGAIN}</p>
        </div>
      )}
      {wide && detail.status !== "error" && (
        <Picture core={core} companions={store.companions} run={run} />
      )}
      <PanelTabs view={core.view} wide={wide} bare={bare} />
      <div class="lv-panel" id="lv-panel" role="tabpanel" aria-labelledby={`lv-tab-${panel}`}>
        {panel === "picture" && detail.status !== "error" && (
          <Picture core={core} companions={store.companions} run={run} />
        )}
        {panel === "distribution" && <Distribution core={core} bands={store.bands} run={run} />}
        {panel === "units" && <UnitsView core={core} units={store.units} run={run} />}
        {panel === "numbers" && (
          <Numbers
            core={core}
            others={store.numbers}
            run={run}
            record={own ? own.record : undefined}
          />
        )}
      </div>
    </section>
  );
}
