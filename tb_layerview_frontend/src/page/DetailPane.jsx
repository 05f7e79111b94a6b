import { Distribution } from "../distribution/Distribution.jsx";
import { ASKED_AGAIN, TensorHead } from "../kit/TensorHead.jsx";
import { formatCount, formatShape } from "../kit/format.js";
import { Picture } from "../picture/Picture.jsx";
import { UnitsView } from "../units/UnitsView.jsx";
import { Numbers } from "./Numbers.jsx";
import { PanelTabs, shownPanel, useWide } from "./PanelTabs.jsx";
import { StatisticsLine } from "./StatisticsLine.jsx";

/** @typedef {import("./store.js").Store} Store */
/** @typedef {import("../data/run_data.js").Run} Run */

/**
 * All that is known of the selected tensor at the selected step.
 * @param {{store: Store, run: Run}} props
 */
export function DetailPane({ store, run }) {
  const wide = useWide();
  const index = store.tensor.value;
  const tensor = run.info.tensors[index];
  if (!tensor) return null;
  const panel = shownPanel(store, wide);
  const layer = run.info.layers[tensor.layer];
  const detail = store.detail.value;
  // A detail of another tensor is what was shown before: it stays only until this one's is there.
  const own = detail.status === "ready" && detail.value.tensor === index ? detail.value : null;
  const record = own?.record ?? null;
  const shape = own?.values ? own.values.axes.map(({ size }) => size) : tensor.shape;
  const mode = run.history.modes[store.stepIndex.value];
  const bare = record !== null && own?.values === null && !own.valuesProblem;
  return (
    <section class={`lv-detail${bare ? " lv-bare" : ""}`} aria-label="The selected tensor">
      <TensorHead store={store} run={run} index={index} className={layer.class_name}>
        <span data-testid="tensor-shape">{formatShape(shape)}</span>
        <span>{tensor.dtype}</span>
        {mode && mode !== "train" && <span>mode {mode}</span>}
      </TensorHead>
      {own && store.detailProblem.value && (
        <p class="lv-old" role="alert" data-testid="detail-problem">
          Step {formatCount(store.steps.value[store.stepIndex.value] ?? 0)} could not be read:{" "}
          {store.detailProblem.value} Below is step {formatCount(own.step)}.
        </p>
      )}
      <StatisticsLine record={record} />
      {detail.status === "error" && (
        <div class="lv-message" role="alert" data-testid="detail-error">
          <p class="lv-error">{detail.message}</p>
          <p>{ASKED_AGAIN}</p>
        </div>
      )}
      {wide && detail.status !== "error" && <Picture store={store} run={run} />}
      <PanelTabs store={store} wide={wide} />
      <div class="lv-panel" id="lv-panel" role="tabpanel" aria-labelledby={`lv-tab-${panel}`}>
        {panel === "picture" && detail.status !== "error" && <Picture store={store} run={run} />}
        {panel === "distribution" && <Distribution store={store} run={run} />}
        {panel === "units" && <UnitsView store={store} run={run} />}
        {panel === "numbers" && (
          <Numbers store={store} run={run} record={own ? own.record : undefined} />
        )}
      </div>
    </section>
  );
}
