import {
  formatCount,
  formatExact,
  formatShape,
  formatShare,
  formatSize,
  formatValue,
} from "../format.js";
import { KINDS } from "../selection.js";
import { Distribution } from "./Distribution.jsx";
import { Picture } from "./Picture.jsx";

/** @typedef {import("../store.js").Store} Store */
/** @typedef {import("../run_data.js").Run} Run */

/**
 * All that is known of the selected tensor at the selected step.
 * @param {{store: Store, run: Run}} props
 */
export function DetailPane({ store, run }) {
  const index = store.tensor.value;
  const tensor = run.info.tensors[index];
  if (!tensor) return null;
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
      <Statistics record={record} />
      {detail.status === "error" ? (
        <div class="lv-picture lv-message" role="alert" data-testid="detail-error">
          <p class="lv-error">{detail.message}</p>
          <p>
            It is asked for again when TensorBoard answers, or when you choose another step or
            layer.
          </p>
        </div>
      ) : (
        <Picture store={store} run={run} />
      )}
      <Distribution store={store} run={run} />
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

/**
 * The exact statistics of the whole tensor.
 * @param {{record: import("../api.js").TensorRecord | null}} props
 */
function Statistics({ record }) {
  const share = (/** @type {number} */ count) =>
    record ? (record.size ? formatShare(count / record.size) : "–") : "";
  const quantile = (/** @type {string} */ name) => {
    const value = record?.quantiles?.[name];
    return value === undefined ? "–" : formatValue(value);
  };
  const bad = (/** @type {number | undefined} */ count) => ({
    text: count === undefined ? "" : formatCount(count),
    bad: Boolean(count),
  });
  const value = (/** @type {number | undefined} */ number) =>
    number === undefined ? "" : formatValue(number);
  /** @type {[string, {text: string, bad?: boolean, exact?: string}, string][]} */
  const cells = [
    [
      "rms",
      { text: value(record?.rms), exact: exact(record?.rms) },
      "Root mean square of the finite elements",
    ],
    [
      "mean",
      { text: value(record?.mean), exact: exact(record?.mean) },
      "Mean of the finite elements",
    ],
    [
      "std",
      { text: value(record?.std), exact: exact(record?.std) },
      "Standard deviation of the finite elements",
    ],
    ["min", { text: value(record?.min), exact: exact(record?.min) }, "Smallest finite element"],
    ["max", { text: value(record?.max), exact: exact(record?.max) }, "Largest finite element"],
    [
      "elements",
      {
        text: record ? formatSize(record.size) : "",
        exact: record ? formatCount(record.size) : undefined,
      },
      "How many elements the whole tensor has",
    ],
    ["zero", { text: record ? share(record.zero) : "" }, "Share of elements that are exactly 0"],
    ["negative", { text: record ? share(record.negative) : "" }, "Share of elements below 0"],
    ["NaN", bad(record?.nan), "Elements that are NaN"],
    [
      "± inf",
      bad(record ? record.pos_inf + record.neg_inf : undefined),
      record
        ? `${formatCount(record.pos_inf)} +inf, ${formatCount(record.neg_inf)} −inf`
        : "Infinite elements",
    ],
    ["p1", { text: record ? quantile("p1") : "" }, "1 % of the elements lie below"],
    ["p25", { text: record ? quantile("p25") : "" }, "A quarter of the elements lies below"],
    ["p50", { text: record ? quantile("p50") : "" }, "The median"],
    ["p75", { text: record ? quantile("p75") : "" }, "A quarter of the elements lies above"],
    ["p99", { text: record ? quantile("p99") : "" }, "1 % of the elements lie above"],
  ];
  return (
    <table
      class="lv-statistics"
      data-testid="statistics"
      aria-label="Statistics of the whole tensor at this step"
    >
      <tbody>
        {[0, 5, 10].map((from) => (
          <tr key={from}>
            {cells
              .slice(from, from + 5)
              .map(([label, { text, bad: isBad, exact: precise }, meaning]) => (
                <td
                  key={label}
                  title={precise ? `${meaning}: ${precise}` : meaning}
                  data-statistic={label}
                >
                  <span class="lv-caption">{label}</span>
                  <b class={isBad ? "lv-bad" : ""}>{text}</b>
                </td>
              ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** @param {number | undefined} value */
function exact(value) {
  return value === undefined ? undefined : formatExact(value);
}
