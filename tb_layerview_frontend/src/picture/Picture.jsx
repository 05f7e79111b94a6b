import { useMemo, useRef, useState } from "preact/hooks";

import { isOfProbe } from "../data/selection.js";
import { ColourBar } from "../kit/ColourBar.jsx";
import { Message } from "../kit/Message.jsx";
import { formatCount, formatExact, formatValue } from "../kit/format.js";
import { ExampleBeside, ofTensor } from "./ExampleBeside.jsx";
import { HeadReach } from "./HeadReach.jsx";
import { PictureCanvas } from "./PictureCanvas.jsx";
import { PictureControls } from "./PictureControls.jsx";
import { PictureTakeAlong } from "./PictureTakeAlong.jsx";
import { Readout } from "./Readout.jsx";
import { Slices } from "./Slices.jsx";
import { isAttention } from "./attention.js";
import { describeKept, describeLayout, inShownSlices, trueIndex } from "./plan.js";
import { describePatch, receptiveField } from "./receptive_field.js";
import { useAnew } from "./use_anew.js";
import { usePicture } from "./use_picture.js";

/** @typedef {import("../kit/core.js").Core} Core */
/** @typedef {import("../data/run.js").Run} Run */
/** @typedef {import("../data/details.js").Detail} Detail */
/** @typedef {import("../data/details.js").TensorHistory} TensorHistory */
/** @typedef {import("./companions.js").Companions} Companions */
/** @typedef {import("./use_picture.js").PictureModel} PictureModel */

/**
 * What a picture is made of; it appears as a whole.
 * @typedef {{detail: Detail, history: TensorHistory | null}} Shown
 */

/**
 * The kept values as a picture, with the value under the pointer.
 * @param {{core: Core, companions: Companions, run: Run}} props
 */
export function Picture({ core, companions, run }) {
  const loaded = core.selected.detail.value;
  const last = useRef(/** @type {Shown | null} */ (null));
  const detail = loaded.status === "ready" ? loaded.value : null;
  const next = detail && complete(core, detail);
  if (next) last.current = next;
  // Until the range of the colours is known too, the picture from before stays: it does not appear and then change.
  const shown = next ?? last.current;
  if (!shown) return <Message className="lv-picture">Loading the values…</Message>;
  const tensor = run.info.tensors[shown.detail.tensor];
  const { record, values, valuesProblem, step } = shown.detail;
  if (!record)
    return (
      <Message className="lv-picture">
        This tensor was not logged at step {formatCount(step)}.
      </Message>
    );
  if (valuesProblem) {
    return (
      <Message className="lv-picture" alert>
        <p class="lv-error">{valuesProblem}</p>
        <p>The statistics above are whole: they lie in the event file.</p>
      </Message>
    );
  }
  if (!values && record.size === 1) return <TheOneValue record={record} />;
  if (!values || !tensor) {
    return (
      <Message className="lv-picture">
        <p>
          No values of this tensor are kept, only its statistics and histograms. What is kept is
          chosen when logging, with <code>keep=</code>.
        </p>
      </Message>
    );
  }
  const stale = shown.detail.tensor !== core.tensor.value || shown.detail.run !== run.name;
  const pending = stale || core.selected.detailPending.value;
  return (
    <TensorPicture
      core={core}
      companions={companions}
      run={run}
      tensor={tensor}
      detail={shown.detail}
      values={values}
      history={shown.history}
      pending={pending}
    />
  );
}

/**
 * @param {Core} core
 * @param {Detail} detail
 * @returns {Shown | null} null while something of it is missing
 */
function complete(core, detail) {
  if (!detail.values) return { detail, history: null };
  const histograms = core.selected.histograms.value;
  if (histograms.status === "ready" && histograms.value.tensor === detail.tensor) {
    return { detail, history: histograms.value };
  }
  return histograms.status === "error" ? { detail, history: null } : null;
}

/**
 * @param {object} props
 * @param {Core} props.core
 * @param {Companions} props.companions
 * @param {Run} props.run
 * @param {import("../data/types.js").Tensor} props.tensor
 * @param {Detail} props.detail
 * @param {import("../data/payload.js").Values} props.values
 * @param {TensorHistory | null} props.history
 * @param {boolean} props.pending
 */
function TensorPicture({ core, companions, run, tensor, detail, values, history, pending }) {
  const { view } = core;
  const picture = usePicture(core, companions, tensor, detail, values, history);
  const { names, chosen } = picture;
  const [hover, setHover] = useState(/** @type {number[] | null} */ (null));
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const screen = useRef(/** @type {import("./use_screen.js").Screen | null} */ (null));
  useAnew(detail.tensor, () => {
    setHover(null);
    view.cell.value = [];
    view.zoom.value = null;
  });

  const pointedOut = inShownSlices(view.cell.value, values.axes, chosen);
  const index = hover ?? (pointedOut.length ? pointedOut : null);
  const example = exampleOf(picture, index);
  const seen = useSeen(run, detail, index);
  return (
    <div
      class={`lv-picture${pending ? " lv-pending" : ""}`}
      data-testid="tensor-picture"
      data-step={detail.step}
      data-tensor={detail.tensor}
    >
      <div class="lv-picture-head">
        <Kept run={run} tensor={tensor} detail={detail} picture={picture} />
        <PictureTakeAlong
          core={core}
          run={run}
          tensor={tensor}
          index={detail.tensor}
          step={stepOf(detail)}
          picture={picture}
          screen={screen}
          input={example === null ? null : inputOf(run, companions, example)}
        />
      </div>
      <div class="lv-picture-controls">
        <Slices
          values={values}
          names={names}
          chosen={chosen}
          onChoose={(name, at) => (view.at.value = { ...view.at.value, [name]: at })}
        />
        <PictureControls view={view} picture={picture} />
      </div>
      {(picture.rangeProblem || picture.orders.problem) && (
        <p class="lv-picture-problem" role="alert">
          {[picture.rangeProblem, picture.orders.problem].filter(Boolean).join(" ")}
        </p>
      )}
      <div class="lv-picture-body">
        {example !== null && (
          <ExampleBeside
            run={run}
            input={companions.input.value}
            output={companions.output.value}
            example={example}
            shown={detail.key}
            seen={seen}
          />
        )}
        <PictureCanvas
          picture={picture}
          view={view.zoom.value}
          onView={(zoom) => (view.zoom.value = zoom)}
          cell={view.cell.value}
          onCell={(cell) => (view.cell.value = cell)}
          hover={hover}
          onHover={(at) => hover?.join() !== at?.join() && setHover(at)}
          unit={view.unit.value}
          broughtUnit={companions.broughtUnit}
          label={`${describeLayout(picture.plan, names) || "The value"}, as a picture.`}
          canvasRef={canvas}
          screenRef={screen}
          {...cornerMark(detail)}
        />
      </div>
      {isAttention(tensor) && <HeadReach picture={picture} />}
      <div class="lv-picture-foot">
        <Readout
          values={values}
          names={names}
          index={index}
          pinned={!hover && index !== null}
          more={unitRange(picture, index)}
          sees={seen && describePatch(seen)}
          outlined={view.unit.value === null ? "" : `${names.at(-1)} ${view.unit.value}`}
        />
        <ColourBar
          scale={picture.scale}
          label=""
          palette={picture.palette}
          ends={picture.perUnit ? ["its lowest", "its highest"] : undefined}
          counts={picture.marks}
          mark={picture.even}
        />
      </div>
    </div>
  );
}

/**
 * The part of the network's input that an element sees.
 * @param {Run} run
 * @param {Detail} detail
 * @param {number[] | null} index of the element
 */
function useSeen({ name, info }, { run, tensor }, index) {
  return useMemo(
    () => (index && run === name ? receptiveField(info, tensor, index) : null),
    [info, run, name, tensor, index?.join()],
  );
}

/**
 * A tensor of a single element: its statistics are its value.
 * @param {{record: import("../data/types.js").TensorRecord}} props
 */
function TheOneValue({ record }) {
  const value = record.nan
    ? NaN
    : record.pos_inf
      ? Infinity
      : record.neg_inf
        ? -Infinity
        : record.mean;
  return (
    <div class="lv-picture">
      <p class="lv-kept" data-testid="kept">
        <span class="lv-caption">shown</span> the one value, exactly
      </p>
      <p
        class={`lv-one-value${Number.isFinite(value) ? "" : " lv-bad"}`}
        data-testid="one-value"
        data-value={String(value)}
      >
        {formatExact(value)}
      </p>
    </div>
  );
}

/**
 * What went into the model, if it is a picture.
 * @param {Run} run
 * @param {Companions} companions
 * @param {number} index of the example
 */
function inputOf(run, companions, index) {
  const example = ofTensor(run, companions.input.value, index);
  return example?.kind === "picture" ? { example, index } : null;
}

/**
 * Said in the picture where its values are of another step.
 * @param {Detail} detail
 */
function cornerMark(detail) {
  const step = stepOf(detail);
  if (step === detail.step) return {};
  const markTitle = `Values of step ${formatCount(step)}, the nearest that keeps values. At step ${formatCount(detail.step)} the statistics and the histogram are kept.`;
  return { mark: `step ${formatCount(step)}`, markTitle };
}

/** At which step the values are kept. @param {Detail} detail */
const stepOf = ({ record, step }) => record?.values_step ?? step;

/**
 * Which part of the tensor is shown, at which precision, of which step.
 * @param {{run: Run, tensor: import("../data/types.js").Tensor, detail: Detail, picture: PictureModel}} props
 */
function Kept({ run, tensor, detail, picture: { values, names, plan, chosen } }) {
  const single = Object.keys(chosen)
    .map(Number)
    .filter((axis) => values.axes[axis].count > 1)
    .map((axis) => names[axis]);
  const kept = `${describeKept(values.axes, names)}${single.length ? `, one ${single.join(" and one ")} at a time` : ""}`;
  const layout = describeLayout(plan, names);
  const replayed = run.history.modes[run.history.steps.indexOf(detail.step)] === "replay";
  const { probe } = isOfProbe(tensor.kind) ? run.info : {};
  return (
    <p class="lv-kept" data-testid="kept">
      <span class="lv-kept-line" title={kept}>
        <span class="lv-caption">shown</span> {kept},{" "}
        <span title={PRECISIONS[values.precision]}>{values.precision}</span>
      </span>
      <span class="lv-caption lv-layout">
        {layout}
        {probe && (
          <span
            title={`Computed on ${probe.source || `a fixed batch of ${probe.examples} examples`}`}
          >
            {layout && " · "}
            {replayed ? `batch of step ${formatCount(detail.step)}` : "probe"} in{" "}
            {probe.training ? "training" : "inference"} mode
          </span>
        )}
      </span>
    </p>
  );
}

const PRECISIONS = {
  float16: "Kept to 11 binary digits: within 0.05 % of the true value",
  float32: "Kept as float32",
  float64: "Kept as float64",
};

/**
 * The example that is looked at: the chosen one, or the one that is pointed at.
 * @param {PictureModel} picture
 * @param {number[] | null} index
 */
function exampleOf({ values, names, chosen, base }, index) {
  const axis = names.indexOf("example");
  if (axis < 0) return null;
  if (axis in chosen) return trueIndex(values.axes, base)[axis];
  return index?.[axis] ?? values.axes[axis].start;
}

/**
 * With a range for each unit, that of the element's unit.
 * @param {PictureModel} picture
 * @param {number[] | null} index
 */
function unitRange({ perUnit, values, names, unit }, index) {
  if (!perUnit || !index) return "";
  const { start, step } = values.axes[unit];
  const scale = perUnit[(index[unit] - start) / step];
  if (!scale) return "";
  return `colours of ${names[unit]} ${index[unit]}: ${formatValue(scale.low)} to ${formatValue(scale.high)}`;
}
