import { tensorTitle } from "../data/matching.js";
import { NUMBERS, exactText, numbersText } from "../data/numbers.js";
import { CopyButton, TakeAlong } from "../kit/TakeAlong.jsx";
import { drawTable } from "../kit/figure.js";
import { formatCount, formatShare } from "../kit/format.js";

/** @typedef {import("../data/types.js").TensorRecord} TensorRecord */

/**
 * All statistics of the whole tensor, exactly; quantiles are read off its histogram: at this step, at the logged step before, and at the first.
 * @param {{core: import("../kit/core.js").Core, others: import("./numbers_data.js").NumbersState, run: import("../data/run.js").Run, record: TensorRecord | null | undefined}} props `record` is
 *   undefined while it is under way
 */
export function Numbers({ core, others: state, run, record }) {
  const index = core.stepIndex.value;
  const { steps } = run.history;
  const loaded = state.value;
  const others =
    loaded.status === "ready" && loaded.value.tensor === core.tensor.value ? loaded.value : null;
  const at = others ? steps.indexOf(others.step) : index;
  /** @type {{name: string, step: number | undefined, record: TensorRecord | null | undefined}[]} */
  const columns = [{ name: "this step", step: record?.step ?? steps[index], record }];
  if (at > 1 || (at === 1 && !others)) {
    columns.push({ name: "the step before", step: steps[at - 1], record: others?.previous });
  }
  if (at > 0) columns.push({ name: "the first step", step: steps[0], record: others?.first });
  const text = () => numbersText(columns);
  const title = tensorTitle(run.info, run.info.tensors[core.tensor.value]);
  return (
    <section class="lv-numbers" aria-label="Numbers">
      <div class="lv-panel-bar">
        <span class="lv-caption">
          of the whole tensor, exactly; quantiles are read off its histogram
        </span>
        <CopyButton
          label="Copy table"
          title="Copy the table as text for a spreadsheet"
          testid="copy-numbers"
          text={() =>
            text()
              .map((row) => row.join("\t"))
              .join("\n")
          }
        />
        <TakeAlong
          what="the numbers"
          panels={[
            {
              facts: [run.name, title, "numbers", `step-${steps[index]}`],
              picture: () => ({
                title: `${title}, run ${run.name}`,
                lines: ["Of the whole tensor, exactly; quantiles are read off its histogram."],
                canvases: [drawnNumbers(columns)],
              }),
              table: () => {
                const [first, ...rows] = text();
                return { head: first.map(String), rows };
              },
            },
          ]}
        />
      </div>
      {loaded.status === "error" && (
        <p class="lv-error" role="alert">
          The other steps could not be read: {loaded.message}
        </p>
      )}
      <div class="lv-numbers-place" tabIndex={0} role="region" aria-label="Table of numbers">
        <table data-testid="numbers">
          <thead>
            <tr>
              <th scope="col">statistic</th>
              {columns.map(({ name, step }) => (
                <th key={name} scope="col">
                  {name}
                  <br />
                  {step === undefined ? "" : `step ${formatCount(step)}`}
                </th>
              ))}
              <th scope="col">what it is</th>
            </tr>
          </thead>
          <tbody>
            {NUMBERS.map(({ name, label, meaning, of, share }) => (
              <tr key={name} data-number={name}>
                <th scope="row">{label}</th>
                {columns.map((column) => (
                  <td key={column.name}>
                    <Cell record={column.record} of={of} share={share} />
                  </td>
                ))}
                <td class="lv-meaning">{meaning}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

/**
 * The table as it is on the screen.
 * @param {{name: string, step: number | undefined, record: TensorRecord | null | undefined}[]} columns
 */
function drawnNumbers(columns) {
  const said = (
    /** @type {TensorRecord | null | undefined} */ record,
    /** @type {typeof NUMBERS[number]} */ { of, share },
  ) => {
    const value = record ? of(record) : undefined;
    if (!record || value === undefined) return "–";
    const part = share && record.size > 0 ? ` (${formatShare(value / record.size)})` : "";
    return `${exactText(value)}${part}`;
  };
  const stepOf = (/** @type {number | undefined} */ step) =>
    step === undefined ? "" : `, step ${formatCount(step)}`;
  return drawTable(
    ["statistic", ...columns.map(({ name, step }) => `${name}${stepOf(step)}`), "what it is"],
    NUMBERS.map((number) => [
      number.label,
      ...columns.map(({ record }) => said(record, number)),
      number.meaning,
    ]),
    [columns.length + 1],
  );
}

/**
 * @param {object} props
 * @param {TensorRecord | null | undefined} props.record
 * @param {(record: TensorRecord) => number | undefined} props.of
 * @param {boolean} [props.share]
 */
function Cell({ record, of, share }) {
  if (record === undefined) return <>…</>;
  if (record === null) return <span class="lv-caption">not logged</span>;
  const value = of(record);
  if (value === undefined) return <span class="lv-caption">no histogram</span>;
  return (
    <>
      {exactText(value)}
      {share && record.size > 0 && <i> ({formatShare(value / record.size)})</i>}
    </>
  );
}
