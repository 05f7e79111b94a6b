import { useEffect, useMemo, useState } from "preact/hooks";

import { pictureScale } from "../colour.js";
import { formatCount, formatExact, formatValue } from "../format.js";
import { axisNames, describeKept, finiteRange, offsetOf, planPicture } from "../picture.js";
import {
  changeOfUnits,
  rankUnits,
  reorderUnits,
  sameElements,
  subtract,
} from "../picture_difference.js";
import { ColourBar } from "./ColourBar.jsx";
import { CompareCanvas } from "./CompareCanvas.jsx";

/** @typedef {import("../store.js").Store} Store */
/** @typedef {import("../run_data.js").Run} Run */
/** @typedef {import("../tensor_data.js").Detail} Detail */
/** @typedef {import("../payload.js").Values} Values */

const MOST_UNITS = 8;

/**
 * Pictures of both runs, or of two steps of one: side by side, or their signed difference.
 * @param {{store: Store, run: Run, a: Detail | null, b: Detail | null}} props
 */
export function ComparePictures({ store, run, a, b }) {
  const { view } = store;
  if (!a || !b) return <div class="lv-picture lv-message">Loading the values…</div>;
  const missing = /** @type {[string, Detail][]} */ ([
    ["A", a],
    ["B", b],
  ]).flatMap(([side, { values, valuesProblem, record }]) => {
    if (values) return [];
    return [
      `${side}: ${valuesProblem || (record ? "no values of this tensor are kept." : "not logged at this step.")}`,
    ];
  });
  if (!a.values || !b.values) {
    return (
      <div class="lv-picture lv-message" role="status" data-testid="compare-no-values">
        {missing.map((sentence) => (
          <p key={sentence}>{sentence}</p>
        ))}
        <p>Statistics and distributions compare all the same.</p>
      </div>
    );
  }
  const isSame = sameElements(a.values, b.values);
  const isDifference = view.comparePanel.value === "difference" && isSame;
  return (
    <div class="lv-picture">
      <div class="lv-picture-head">
        <div class="lv-tabs" role="tablist" aria-label="How pictures are compared">
          {[
            ["side", "Side by side"],
            ["difference", "B − A"],
          ].map(([name, label]) => (
            <button
              key={name}
              type="button"
              role="tab"
              data-testid={`compare-panel-${name}`}
              aria-selected={isDifference === (name === "difference")}
              disabled={name === "difference" && !isSame}
              onClick={() => {
                view.comparePanel.value = name;
              }}
            >
              {label}
            </button>
          ))}
        </div>
        {!isSame && (
          <span class="lv-caption" role="status">
            Other elements are kept in B than in A, so there is no difference picture.
          </span>
        )}
      </div>
      <Pictures
        key={isDifference ? "difference" : "side"}
        store={store}
        run={run}
        a={a}
        b={b}
        values={a.values}
        others={b.values}
        isDifference={isDifference}
      />
    </div>
  );
}

/**
 * @param {object} props
 * @param {Store} props.store
 * @param {Run} props.run
 * @param {Detail} props.a
 * @param {Detail} props.b
 * @param {Values} props.values of A
 * @param {Values} props.others values of B
 * @param {boolean} props.isDifference
 */
function Pictures({ store, run, a, b, values, others, isDifference }) {
  const { view } = store;
  const tensor = run.info.tensors[a.tensor];
  const names = axisNames(tensor.axes, values.axes.length, tensor.kind);
  const [chosen, setChosen] = useState(/** @type {Record<number, number>} */ ({}));
  /** The element that is pointed at, as an index of the whole tensor. */
  const [cursor, setCursor] = useState(/** @type {number[] | null} */ (null));
  useEffect(() => {
    setChosen({});
    setCursor(null);
  }, [a.tensor]);
  const difference = useMemo(
    () => (sameElements(values, others) ? subtract(values, others) : null),
    [values, others],
  );
  const changes = useMemo(() => difference && changeOfUnits(difference), [difference]);
  const byChange = isDifference && view.compareUnits.value === "change" && values.axes.length > 0;
  const order = useMemo(
    () => (byChange && changes ? rankUnits(changes) : null),
    [byChange, changes],
  );
  const shown = useMemo(
    () => (difference && order ? reorderUnits(difference, order) : difference),
    [difference, order],
  );
  const scale = useMemo(() => {
    if (isDifference && difference) {
      const [low, high] = finiteRange(difference.data);
      const most = Math.max(-low, high) || 1;
      return pictureScale([-most, most]);
    }
    const [own, other] = [finiteRange(values.data), finiteRange(others.data)];
    return pictureScale([Math.min(own[0], other[0]), Math.max(own[1], other[1])]);
  }, [isDifference, difference, values, others]);
  const unit = names.at(-1) ?? "element";
  const steps = [a, b].map((detail) => detail.record?.values_step ?? detail.step);
  const pictures =
    isDifference && shown
      ? [{ side: "B − A", values: shown, order, testid: "difference" }]
      : [
          { side: "A", values, order: null, testid: "a" },
          { side: "B", values: others, order: null, testid: "b" },
        ];
  return (
    <>
      <div class="lv-compare-how">
        <span class="lv-caption">
          shown {describeKept(values.axes, names)}, {values.precision}
          {steps[0] !== a.step && `; A's values of step ${formatCount(steps[0])}`}
          {steps[1] !== b.step && `; B's values of step ${formatCount(steps[1])}`}
        </span>
        <Choosers values={values} names={names} chosen={chosen} onChoose={setChosen} />
        {isDifference && values.axes.length > 0 && (
          <label class="lv-select">
            <span class="lv-caption">{unit}s</span>
            <select
              data-testid="compare-units"
              aria-label={`Order of the ${unit}s`}
              value={view.compareUnits.value}
              onChange={(event) => {
                view.compareUnits.value = event.currentTarget.value;
              }}
            >
              <option value="change">by change</option>
              <option value="index">by index</option>
            </select>
          </label>
        )}
      </div>
      <div class="lv-compare-pictures">
        {pictures.map(({ side, values: data, order: units, testid }) => (
          <figure key={side}>
            {pictures.length > 1 && (
              <figcaption>
                <b class={`lv-side${side === "B" ? " lv-side-b" : ""}`}>{side}</b>
              </figcaption>
            )}
            <CompareCanvas
              testid={`compare-picture-${testid}`}
              label={isDifference ? "B − A, element by element" : `The kept values of ${side}`}
              values={data}
              names={names}
              chosen={chosen}
              order={units}
              scale={scale}
              cursor={cursor}
              onCursor={setCursor}
            />
          </figure>
        ))}
      </div>
      {isDifference && changes && values.axes.length > 0 && (
        <p class="lv-compare-units" data-testid="compare-changes">
          <span class="lv-caption">changed most (rms of B − A)</span>{" "}
          {rankUnits(changes)
            .slice(0, MOST_UNITS)
            .map((place) => {
              const { start, step } = values.axes[values.axes.length - 1];
              return (
                <span key={place} data-unit={start + step * place}>
                  {unit} {start + step * place}: {formatValue(changes[place])}
                </span>
              );
            })}
        </p>
      )}
      <div class="lv-picture-foot">
        <Readout values={values} others={others} names={names} index={cursor} />
        <ColourBar scale={scale} label="" />
      </div>
    </>
  );
}

/**
 * One number field for each axis of which one index is shown at a time.
 * @param {object} props
 * @param {Values} props.values
 * @param {string[]} props.names
 * @param {Record<number, number>} props.chosen
 * @param {(chosen: Record<number, number>) => void} props.onChoose
 */
function Choosers({ values, names, chosen, onChoose }) {
  return (
    <>
      {planPicture(names)
        .choosers.filter((axis) => values.axes[axis].count > 1)
        .map((axis) => {
          const { start, step, count } = values.axes[axis];
          return (
            <label key={axis} class="lv-select">
              <span class="lv-caption">{names[axis]}</span>
              <select
                data-testid={`compare-${names[axis]}`}
                value={String(chosen[axis] ?? 0)}
                onChange={(event) =>
                  onChoose({ ...chosen, [axis]: Number(event.currentTarget.value) })
                }
              >
                {Array.from({ length: count }, (_, index) => (
                  <option key={index} value={String(index)}>
                    {start + step * index}
                  </option>
                ))}
              </select>
            </label>
          );
        })}
    </>
  );
}

/**
 * The element under the cursor in A, in B, and the difference.
 * @param {{values: Values, others: Values, names: string[], index: number[] | null}} props
 */
function Readout({ values, others, names, index }) {
  const [own, other] = index
    ? [values, others].map((kept) => {
        const offset = offsetOf(kept.axes, index);
        return offset < 0 ? NaN : kept.data[offset];
      })
    : [NaN, NaN];
  if (!index) {
    return (
      <p class="lv-readout lv-readout-none" data-testid="compare-readout" aria-live="polite">
        Point at an element to read it in A and in B.
      </p>
    );
  }
  return (
    <p
      class="lv-readout"
      data-testid="compare-readout"
      data-index={index.join(",")}
      data-a={String(own)}
      data-b={String(other)}
      data-value={String(other - own)}
      aria-live="polite"
    >
      <b>B − A {formatExact(other - own)}</b>
      <span class="lv-readout-index">
        A {formatExact(own)} · B {formatExact(other)}
      </span>
      <span class="lv-readout-words">
        {index.map((at, i) => `${names[i]} ${at}`).join(", ") || "the one value"}
      </span>
    </p>
  );
}
