import { sameShape } from "../data/matching.js";
import { TakeAlong } from "../kit/TakeAlong.jsx";
import { ASKED_AGAIN, TensorHead } from "../kit/TensorHead.jsx";
import { drawTable } from "../kit/figure.js";
import { formatCount, formatExact, formatShape, formatShare, formatValue } from "../kit/format.js";
import { ComparePictures } from "./ComparePictures.jsx";
import { ComparedCurves } from "./ComparedCurves.jsx";
import { ComparedHistograms } from "./ComparedHistograms.jsx";
import { comparedFile } from "./compared_file.js";
import { inputsDiffer, pictureOffer } from "./same_start.js";

/** @typedef {import("../kit/core.js").Core} Core */
/** @typedef {import("./comparison.js").Comparison} Comparison */
/** @typedef {import("../data/run.js").Run} Run */
/** @typedef {import("../data/types.js").TensorRecord} TensorRecord */

/**
 * The selected tensor in both runs, where both have it.
 * @param {{core: Core, comparison: Comparison, run: Run, other: Run}} props
 */
export function CompareDetail({ core, comparison, run, other }) {
  const index = core.tensor.value;
  const tensor = run.info.tensors[index];
  const partner = other.info.tensors[comparison.tensor.value];
  if (!tensor || !partner) return null;
  const [layer, layerB] = [run.info.layers[tensor.layer], other.info.layers[partner.layer]];
  return (
    <section class="lv-detail" aria-label="The selected tensor in both runs">
      <TensorHead
        core={core}
        run={run}
        index={index}
        className={inBoth(layer.class_name, layerB.class_name)}
      >
        <span data-testid="tensor-shape">
          {inBoth(formatShape(tensor.shape), formatShape(partner.shape))}
        </span>
      </TensorHead>
      <Both core={core} comparison={comparison} run={run} other={other} />
    </section>
  );
}

/** What is said of both at once where it is the same. @param {string} a @param {string} b */
const inBoth = (a, b) => (a === b ? a : `A ${a}, B ${b}`);

/** @param {{core: Core, comparison: Comparison, run: Run, other: Run}} props */
function Both({ core, comparison, run, other }) {
  const [index, indexB] = [core.tensor.value, comparison.tensor.value];
  const own = detailOf(core.selected.detail.value, index);
  const others = detailOf(comparison.selected.detail.value, indexB);
  const [tensor, partner] = [run.info.tensors[index], other.info.tensors[indexB]];
  const offer = pictureOffer({
    sameRun: comparison.sameRun.value,
    kind: tensor.kind,
    sameShape: sameShape(tensor.shape, partner.shape),
    inputs: inputsDiffer(run.info, other.info),
    evidence: comparison.evidence.value,
  });
  const sameRun = comparison.sameRun.value;
  const states = [core.selected.detail.value, comparison.selected.detail.value];
  // Of two steps of one run the one that is compared with is before: A, at the left.
  const [a, b] = sameRun ? [others, own] : [own, others];
  const [stateA, stateB] = sameRun ? [...states].reverse() : states;
  const failed = [
    ["A", stateA],
    ["B", stateB],
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
      <Numbers core={core} comparison={comparison} a={a?.record ?? null} b={b?.record ?? null} />
      {(a && !a.record) || (b && !b.record) ? (
        <p class="lv-old" role="status">
          {a && !a.record ? `A did not log this tensor at step ${formatCount(a.step)}. ` : ""}
          {b && !b.record ? `B did not log this tensor at step ${formatCount(b.step)}. ` : ""}
          Choose a step at which both have it; the chart below shows where.
        </p>
      ) : null}
      <p
        class={`lv-offer${sameRun && offer.offered ? " lv-unseen" : ""}`}
        data-testid="compare-offer"
        data-offered={offer.offered}
      >
        {!offer.offered && comparison.evidence.value.status !== "checking" && (
          <b>No pictures side by side. </b>
        )}
        {offer.why}
      </p>
      {offer.offered && (
        <ComparePictures core={core} comparison={comparison} run={run} a={a} b={b} />
      )}
      <section
        class="lv-distribution lv-compare-charts"
        aria-label="Statistics and distributions of both runs"
      >
        <ComparedCurves core={core} comparison={comparison} run={run} other={other} />
        <ComparedHistograms core={core} comparison={comparison} a={a} b={b} />
      </section>
    </>
  );
}

/**
 * What is known of a tensor; null while it is what was shown before.
 * @param {import("../data/run.js").Loadable<import("../data/details.js").Detail>} state
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
 * @param {{core: Core, comparison: Comparison, a: TensorRecord | null, b: TensorRecord | null}} props
 */
function Numbers({ core, comparison, a, b }) {
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
  const panel = comparedFile(core, comparison, "statistics", {
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
