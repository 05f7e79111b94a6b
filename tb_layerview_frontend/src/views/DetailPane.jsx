import { formatCount, formatShape } from "../format.js";
import { KINDS } from "../selection.js";
import { Distribution } from "./Distribution.jsx";
import { Numbers } from "./Numbers.jsx";
import { PanelTabs, shownPanel, useWide } from "./PanelTabs.jsx";
import { Picture } from "./Picture.jsx";
import { StatisticsLine } from "./StatisticsLine.jsx";
import { UnitsView } from "./UnitsView.jsx";

/** @typedef {import("../store.js").Store} Store */
/** @typedef {import("../run_data.js").Run} Run */

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
  const slash = layer.path.lastIndexOf("/") + 1;
  const detail = store.detail.value;
  // A detail of another tensor is what was shown before: it stays only until this one's is there.
  const own = detail.status === "ready" && detail.value.tensor === index ? detail.value : null;
  const record = own?.record ?? null;
  const shape = own?.values ? own.values.axes.map(({ size }) => size) : tensor.shape;
  const mode = run.history.modes[store.stepIndex.value];
  const bare = record !== null && own?.values === null && !own.valuesProblem;
  return (
    <section class={`lv-detail${bare ? " lv-bare" : ""}`} aria-label="The selected tensor">
      <div class="lv-title">
        <h2 title={layer.path}>
          <span class="lv-title-path">{layer.path.slice(0, slash)}</span>
          {layer.path.slice(slash)}
        </h2>
        <p class="lv-title-facts">
          {layer.class_name && <span>{layer.class_name}</span>}
          <span>
            {tensor.kind} {tensor.name}
            {tensor.call > 0 && `, call ${tensor.call}`}
          </span>
          <span data-testid="tensor-shape">{formatShape(shape)}</span>
          <span>{tensor.dtype}</span>
          {mode && mode !== "train" && <span>mode {mode}</span>}
        </p>
      </div>
      <div class="lv-links">
        <TensorChips store={store} run={run} layer={tensor.layer} selected={index} />
        <Neighbours store={store} run={run} layer={tensor.layer} />
      </div>
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
          <p>
            It is asked for again when TensorBoard answers, or when you choose another step or
            layer.
          </p>
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

/**
 * The tensors of the layer, by kind.
 * @param {{store: Store, run: Run, layer: number, selected: number}} props
 */
export function TensorChips({ store, run, layer, selected }) {
  const { tensors } = run.info;
  const ofLayer = tensors.flatMap((tensor, index) => (tensor.layer === layer ? [index] : []));
  return (
    <div class="lv-chips" role="group" aria-label="Tensors of this layer">
      {KINDS.map(({ kind, singular }) => {
        const own = ofLayer.filter((index) => tensors[index].kind === kind);
        if (!own.length) return null;
        return (
          <span key={kind} class="lv-chip-group">
            <span class="lv-caption">{singular}</span>
            {own.map((index) => (
              <button
                key={index}
                type="button"
                class="lv-chip"
                data-testid={`tensor-${kind}-${tensors[index].name}`}
                aria-pressed={index === selected}
                onClick={() => store.selectTensor(index)}
              >
                {tensors[index].name}
                {tensors[index].call > 0 && ` ${tensors[index].call}`}
              </button>
            ))}
          </span>
        );
      })}
    </div>
  );
}

const MOST_NEIGHBOURS = 3;

/**
 * Links to the layers before and after.
 * @param {{store: Store, run: Run, layer: number}} props
 */
export function Neighbours({ store, run, layer }) {
  const { layers, tensors } = run.info;
  const kind = tensors[store.tensor.value]?.kind;
  /** @param {number} other @returns {number} a tensor of the layer to go to, -1 if it has none */
  const target = (other) => {
    const same = tensors.findIndex((tensor) => tensor.layer === other && tensor.kind === kind);
    return same >= 0 ? same : tensors.findIndex((tensor) => tensor.layer === other);
  };
  /** @param {number} other */
  const link = (other) => {
    const { path } = layers[other];
    const at = target(other);
    const label = path.slice(path.lastIndexOf("/") + 1);
    if (at < 0)
      return (
        <span key={other} title={`${path} logs nothing`}>
          {label}
        </span>
      );
    return (
      <button
        key={other}
        type="button"
        class="lv-link"
        title={path}
        onClick={() => store.selectTensor(at)}
      >
        {label}
      </button>
    );
  };
  /** @param {number[]} others */
  const list = (others) => (
    <>
      {others.slice(0, MOST_NEIGHBOURS).map(link)}
      {others.length > MOST_NEIGHBOURS && (
        <span
          title={others
            .slice(MOST_NEIGHBOURS)
            .map((other) => layers[other].path)
            .join("\n")}
        >
          +{others.length - MOST_NEIGHBOURS}
        </span>
      )}
    </>
  );
  const from = layers[layer].inputs;
  const to = run.outputs[layer];
  if (!from.length && !to.length) return null;
  return (
    <nav class="lv-neighbours" aria-label="Neighbouring layers">
      {from.length > 0 && (
        <span>
          <span class="lv-caption">from</span> {list(from)}
        </span>
      )}
      {to.length > 0 && (
        <span>
          <span class="lv-caption">to</span> {list(to)}
        </span>
      )}
    </nav>
  );
}
