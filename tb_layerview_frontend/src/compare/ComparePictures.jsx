import { useRef, useState } from "preact/hooks";

import { ColourBar } from "../kit/ColourBar.jsx";
import { TakeAlong } from "../kit/TakeAlong.jsx";
import { formatCount, formatExact, formatValue } from "../kit/format.js";
import { PictureCanvas } from "../picture/PictureCanvas.jsx";
import { Slices } from "../picture/Slices.jsx";
import { describeKept, inShownSlices, offsetOf } from "../picture/plan.js";
import { useAnew } from "../picture/use_anew.js";
import { comparedPanels, rankedUnits } from "./compared_file.js";
import { useComparedPictures } from "./use_compared_pictures.js";

/** @typedef {import("../kit/core.js").Core} Core */
/** @typedef {import("../data/run.js").Run} Run */
/** @typedef {import("../data/details.js").Detail} Detail */
/** @typedef {import("../data/payload.js").Values} Values */
/** @typedef {import("./comparison.js").Comparison} Comparison */
/** @typedef {import("./compared_file.js").Compared} Compared */

const MOST_UNITS = 8;

/**
 * Pictures of both runs, or of two steps of one: side by side, or their signed difference.
 * @param {{core: Core, comparison: Comparison, run: Run, a: Detail | null, b: Detail | null}} props
 */
export function ComparePictures({ core, comparison, run, a, b }) {
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
  return (
    <div class="lv-picture">
      <Pictures
        core={core}
        comparison={comparison}
        run={run}
        a={a}
        b={b}
        values={a.values}
        others={b.values}
      />
    </div>
  );
}

/**
 * @param {object} props
 * @param {Core} props.core
 * @param {Comparison} props.comparison
 * @param {Run} props.run
 * @param {Detail} props.a
 * @param {Detail} props.b
 * @param {Values} props.values of A
 * @param {Values} props.others values of B
 */
function Pictures({ core, comparison, run, a, b, values, others }) {
  const { view } = core;
  const compared = useComparedPictures(view, run.info.tensors[a.tensor], values, others);
  const { names, unit, isDifference, difference, changes, scale, pictures } = compared;
  const [hover, setHover] = useState(/** @type {number[] | null} */ (null));
  const canvases = [
    useRef(/** @type {HTMLCanvasElement | null} */ (null)),
    useRef(/** @type {HTMLCanvasElement | null} */ (null)),
  ];
  useAnew(a.tensor, () => {
    setHover(null);
    view.cell.value = [];
    view.zoom.value = null;
  });
  const pinned = inShownSlices(view.cell.value, values.axes, pictures.first.chosen);
  const steps = [a, b].map((detail) => detail.record?.values_step ?? detail.step);
  return (
    <>
      <HowCompared
        view={view}
        compared={compared}
        older={[a, b].flatMap(({ step }, i) =>
          steps[i] === step ? [] : [`${"AB"[i]}'s values of step ${formatCount(steps[i])}`],
        )}
      >
        <TakeAlong
          what="the pictures"
          panels={comparedPanels(core, comparison, compared, { steps, canvases })}
          small
        />
      </HowCompared>
      <div class="lv-compare-pictures">
        {shownPictures(compared).map(({ side, testid, picture, label }, i, all) => (
          <figure key={testid} data-testid={`compare-picture-${testid}`}>
            {all.length > 1 && (
              <figcaption>
                <b class={`lv-side${side === "B" ? " lv-side-b" : ""}`}>{side}</b>{" "}
                <span class="lv-caption">step {formatCount([a, b][i].step)}</span>
              </figcaption>
            )}
            <div class="lv-picture-body">
              <PictureCanvas
                picture={picture}
                view={view.zoom.value}
                onView={(next) => {
                  view.zoom.value = next;
                }}
                cell={view.cell.value}
                onCell={(index) => {
                  view.cell.value = index;
                }}
                hover={hover}
                onHover={setHover}
                label={label}
                canvasRef={canvases[i]}
              />
            </div>
          </figure>
        ))}
      </div>
      {isDifference && changes && <MostChanged compared={compared} unit={names[unit]} />}
      <div class="lv-picture-foot">
        <Readout
          values={values}
          others={others}
          difference={difference}
          names={names}
          index={hover ?? (pinned.length ? pinned : null)}
        />
        <ColourBar
          scale={scale}
          label=""
          palette={pictures.first.palette}
          counts={isDifference ? pictures.first.marks : undefined}
        />
      </div>
    </>
  );
}

/** @param {Compared} compared */
function shownPictures({ isDifference, pictures: { first, second } }) {
  return isDifference
    ? [
        {
          side: "B − A",
          testid: "difference",
          picture: first,
          label: "B minus A, element by element.",
        },
      ]
    : [
        { side: "A", testid: "a", picture: first, label: "The kept values of A." },
        { side: "B", testid: "b", picture: second, label: "The kept values of B." },
      ];
}

/**
 * How the pictures are compared, and which part of the tensor they show.
 * @param {object} props
 * @param {Core["view"]} props.view
 * @param {Compared} props.compared
 * @param {string[]} props.older what is of another step than the selected one
 * @param {import("preact").ComponentChildren} props.children
 */
function HowCompared({ view, compared, older, children }) {
  const { a: values, names, unit, isDifference, difference, pictures } = compared;
  const unitName = names[unit] ?? "element";
  return (
    <div class="lv-compare-how">
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
            disabled={name === "difference" && !difference}
            onClick={() => {
              view.comparePanel.value = name;
            }}
          >
            {label}
          </button>
        ))}
      </div>
      {!difference && (
        <span class="lv-caption" role="status">
          Other elements are kept in B than in A, so there is no difference picture.
        </span>
      )}
      <span class="lv-caption">
        {[
          `shown ${describeKept(values.axes, names)}, ${(difference ?? values).precision}`,
          ...older,
        ].join("; ")}
      </span>
      <Slices
        values={values}
        names={names}
        chosen={pictures.first.chosen}
        onChoose={(name, index) => {
          view.at.value = { ...view.at.value, [name]: index };
        }}
      />
      {isDifference && unit >= 0 && (
        <label class="lv-select">
          <span class="lv-caption">{unitName}s</span>
          <select
            data-testid="compare-units"
            aria-label={`Order of the ${unitName}s`}
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
      {children}
    </div>
  );
}

/** @param {{compared: Compared, unit: string | undefined}} props */
function MostChanged({ compared, unit = "element" }) {
  return (
    <p class="lv-compare-units" data-testid="compare-changes">
      <span class="lv-caption">changed most (rms of B − A)</span>{" "}
      {rankedUnits(compared)
        .slice(0, MOST_UNITS)
        .map(([index, change]) => (
          <span key={index} data-unit={index}>
            {unit} {index}: {formatValue(change)}
          </span>
        ))}
    </p>
  );
}

/**
 * The element under the cursor in A, in B, and the difference as it is drawn.
 * @param {object} props
 * @param {Values} props.values of A
 * @param {Values} props.others of B
 * @param {Values | null} props.difference
 * @param {string[]} props.names
 * @param {number[] | null} props.index in the whole tensor
 */
function Readout({ values, others, difference, names, index }) {
  if (!index) {
    return (
      <p class="lv-readout lv-readout-none" data-testid="compare-readout" aria-live="polite">
        Point at an element to read it in A and in B.
      </p>
    );
  }
  const [own, other, change] = [values, others, difference].map((kept) => {
    const offset = kept ? offsetOf(kept.axes, index) : -1;
    return kept && offset >= 0 ? kept.data[offset] : null;
  });
  const show = (/** @type {number | null} */ value) =>
    value === null ? "not kept" : formatExact(value);
  return (
    <p
      class="lv-readout"
      data-testid="compare-readout"
      data-index={index.join(",")}
      data-a={String(own)}
      data-b={String(other)}
      data-value={String(change)}
      aria-live="polite"
    >
      {change !== null && <b>B − A {formatExact(change)}</b>}
      <span class="lv-readout-index">
        A {show(own)} · B {show(other)}
      </span>
      <span class="lv-readout-words">
        {index.map((at, i) => `${names[i]} ${at}`).join(", ") || "the one value"}
      </span>
    </p>
  );
}
