import { sameShape } from "../data/matching.js";
import { TakeAlong } from "../kit/TakeAlong.jsx";
import { ASKED_AGAIN, TensorHead } from "../kit/TensorHead.jsx";
import { drawTable } from "../kit/figure.js";
import { formatCount, formatExact, formatShape, formatShare, formatValue } from "../kit/format.js";
import { CompareCharts } from "./CompareCharts.jsx";
import { ComparePictures } from "./ComparePictures.jsx";
import { comparedFile } from "./compared_file.js";
import { inputsDiffer, pictureOffer } from "./same_start.js";

/** @typedef {import("../page/store.js").Store} Store */
/** @typedef {import("../data/run_data.js").Run} Run */
/** @typedef {import("../data/types.js").TensorRecord} TensorRecord */

/**
 * The selected tensor in both runs, where both have it.
 * @param {{store: Store, run: Run, other: Run}} props
 */
export function CompareDetail({ store, run, other }) {
  const { comparison } = store;
  const index = store.tensor.value;
  const tensor = run.info.tensors[index];
  const partner = other.info.tensors[comparison.tensor.value];
  if (!tensor || !partner) return null;
  const [layer, layerB] = [run.info.layers[tensor.layer], other.info.layers[partner.layer]];
  return (
    <section class="lv-detail" aria-label="The selected tensor in both runs">
      <TensorHead
        store={store}
        run={run}
        index={index}
        className={inBoth(layer.class_name, layerB.class_name)}
      >
        <span data-testid="tensor-shape">
          {inBoth(formatShape(tensor.shape), formatShape(partner.shape))}
        </span>
      </TensorHead>
      <Both store={store} run={run} other={other} />
    </section>
  );
}

/** What is said of both at once where it is the same. @param {string} a @param {string} b */
const inBoth = (a, b) => (a === b ? a : `A ${a}, B ${b}`);

/** @param {{store: Store, run: Run, other: Run}} props */
function Both({ store, run, other }) {
  const { comparison } = store;
  const [index, indexB] = [store.tensor.value, comparison.tensor.value];
  const own = detailOf(store.detail.value, index);
  const others = detailOf(comparison.detail.value, indexB);
  const [tensor, partner] = [run.info.tensors[index], other.info.tensors[indexB]];
  const offer = pictureOffer({
    sameRun: comparison.sameRun.value,
    kind: tensor.kind,
    sameShape: sameShape(tensor.shape, partner.shape),
    inputs: inputsDiffer(run.info, other.info),
    evidence: comparison.evidence.value,
  });
  const failed = [
    ["A", store.detail.value],
    ["B", comparison.detail.value],
  ].flatMap(([side, state]) =>
    typeof state === "object" && state.status === "error" ? [`${side}: ${state.message}`] : [],
  );
  return (
    <>
      {failed.map((message) => (
        <p key={message} class="lv-old" role="alert">
          {message} {ASKED_AGAIN}
        </p>
      ))}
      <Numbers store={store} a={own?.record ?? null} b={others?.record ?? null} />
      {(own && !own.record) || (others && !others.record) ? (
        <p class="lv-old" role="status">
          {own && !own.record ? `A did not log this tensor at step ${formatCount(own.step)}. ` : ""}
          {others && !others.record
            ? `B did not log this tensor at step ${formatCount(others.step)}. `
            : ""}
          Choose a step at which both have it; the chart below shows where.
        </p>
      ) : null}
      <p class="lv-offer" data-testid="compare-offer" data-offered={offer.offered}>
        {!offer.offered && comparison.evidence.value.status !== "checking" && (
          <b>No pictures side by side. </b>
        )}
        {offer.why}
      </p>
      {offer.offered && <ComparePictures store={store} run={run} a={own} b={others} />}
      <CompareCharts store={store} run={run} other={other} a={own} b={others} />
    </>
  );
}

/**
 * What is known of a tensor; null while it is what was shown before.
 * @param {import("../data/run_data.js").Loadable<import("../data/tensor_data.js").Detail>} state
 * @param {number} tensor
 */
function detailOf(state, tensor) {
  return state.status === "ready" && state.value.tensor === tensor ? state.value : null;
}

/** @type {{name: string, label: string, read: (record: TensorRecord) => number, share?: boolean}[]} */
const COLUMNS = [
  { name: "rms", label: "rms", read: ({ rms }) => rms },
  { name: "mean", label: "mean", read: ({ mean }) => mean },
  { name: "std", label: "std", read: ({ std }) => std },
  { name: "min", label: "min", read: ({ min }) => min },
  { name: "max", label: "max", read: ({ max }) => max },
  { name: "zero", label: "zero", read: ({ zero, size }) => zero / size, share: true },
  {
    name: "negative",
    label: "negative",
    read: ({ negative, size }) => negative / size,
    share: true,
  },
  {
    name: "non_finite",
    label: "NaN, inf",
    read: ({ nan, pos_inf, neg_inf, size }) => (nan + pos_inf + neg_inf) / size,
    share: true,
  },
];

/**
 * The exact statistics of both tensors, and their differences.
 * @param {{store: Store, a: TensorRecord | null, b: TensorRecord | null}} props
 */
function Numbers({ store, a, b }) {
  const cell = (
    /** @type {TensorRecord | null} */ record,
    /** @type {typeof COLUMNS[number]} */ { read, share },
  ) => {
    if (!record) return "";
    const value = read(record);
    return share ? formatShare(value) : formatValue(value);
  };
  const change = (/** @type {typeof COLUMNS[number]} */ { read, share }) => {
    if (!a || !b) return "";
    const value = read(b) - read(a);
    const sign = value > 0 ? "+" : "";
    return `${sign}${share ? `${formatValue(100 * value)} %` : formatValue(value)}`;
  };
  /** @type {import("../kit/TakeAlong.jsx").Panel} */
  const panel = comparedFile(store, "statistics", {
    canvases: () => [
      drawTable(
        ["", ...COLUMNS.map(({ label }) => label)],
        [
          ["A", ...COLUMNS.map((column) => cell(a, column))],
          ["B", ...COLUMNS.map((column) => cell(b, column))],
          ["B − A", ...COLUMNS.map(change)],
        ],
      ),
    ],
    table: () => ({
      head: ["statistic", "A", "B", "B - A"],
      rows: COLUMNS.map(({ name, read }) => [
        name,
        a ? read(a) : "",
        b ? read(b) : "",
        a && b ? read(b) - read(a) : "",
      ]),
    }),
  });
  return (
    <table
      class="lv-compare-numbers"
      data-testid="compare-statistics"
      aria-label="Statistics of the whole tensor in A and B"
    >
      <thead>
        <tr>
          <td>
            <TakeAlong what="the statistics" panels={[panel]} small />
          </td>
          {COLUMNS.map(({ name, label }) => (
            <th key={name} scope="col">
              {label}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {
          /** @type {[string, TensorRecord | null][]} */ ([
            ["A", a],
            ["B", b],
          ]).map(([side, record]) => (
            <tr key={side} data-side={side}>
              <th scope="row">
                <b class={`lv-side${side === "B" ? " lv-side-b" : ""}`}>{side}</b>
              </th>
              {COLUMNS.map((column) => (
                <td
                  key={column.name}
                  data-statistic={column.name}
                  title={record ? formatExact(column.read(record)) : undefined}
                  class={
                    column.name === "non_finite" && record && column.read(record) > 0
                      ? "lv-bad"
                      : ""
                  }
                >
                  {cell(record, column)}
                </td>
              ))}
            </tr>
          ))
        }
        <tr data-side="B-A">
          <th scope="row">B − A</th>
          {COLUMNS.map((column) => (
            <td key={column.name} data-statistic={column.name}>
              {change(column)}
            </td>
          ))}
        </tr>
      </tbody>
    </table>
  );
}
