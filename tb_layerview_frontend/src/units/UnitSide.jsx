import { axisNames } from "../data/axes.js";
import { formatCount, formatExact, formatShare } from "../kit/format.js";
import { describeKept } from "../picture/plan.js";
import { SmallPicture } from "./SmallPicture.jsx";
import { sliceUnit } from "./unit_parts.js";
import { silenceInWords } from "./units.js";

/** @typedef {import("../data/run.js").Run} Run */
/** @typedef {import("./unit_data.js").UnitsState} UnitsState */
/** @typedef {import("../data/details.js").Detail} Detail */

/**
 * The chosen unit: what it gives, the weights that lead to it, and since when it is silent.
 * @param {{core: import("../kit/core.js").Core, units: UnitsState, run: Run, shown: import("./units.js").UnitsShown}} props
 */
export function UnitSide({ core, units, run, shown }) {
  const { column, steps, silence, silent, unit: name } = shown;
  const unit = core.view.unit.value;
  if (unit === null || unit < 0 || unit >= column.units) {
    return (
      <p class="lv-unit-side lv-caption" data-testid="unit-side">
        Click a {name} to see what it gives and its incoming weights.
      </p>
    );
  }
  const loaded = units.parts.value;
  const parts = loaded.status === "ready" ? loaded.value : null;
  return (
    <div class="lv-unit-side" data-testid="unit-side" data-unit={unit}>
      <div class="lv-unit-head">
        <p aria-live="polite">
          <b>
            {name} {unit}
          </b>
          <Facts atStep={units.atStep.value} step={core.step.value} unit={unit} />
          <span data-testid="unit-silence">
            {silenceInWords(silence[unit], steps, silent.long)}
          </span>
        </p>
        <button
          type="button"
          class="lv-link"
          data-testid="unit-close"
          onClick={() => {
            core.view.unit.value = null;
          }}
        >
          close
        </button>
      </div>
      {loaded.status === "error" ? (
        <p class="lv-error" role="alert">
          {loaded.message}
        </p>
      ) : (
        <div class="lv-unit-parts">
          <Part
            run={run}
            unit={unit}
            detail={parts?.activation ?? null}
            pending={!parts}
            title="activation"
            none="This layer logs no activation with these units."
          />
          <Part
            run={run}
            unit={unit}
            detail={parts?.weight ?? null}
            pending={!parts}
            title="incoming weights"
            none="No weights lead to this unit alone, in this layer or the one before."
          />
        </div>
      )}
    </div>
  );
}

/**
 * The unit's statistics at the selected step, where units are kept there.
 * @param {object} props
 * @param {UnitsState["atStep"]["value"]} props.atStep
 * @param {number | undefined} props.step that is selected
 * @param {number} props.unit
 */
function Facts({ atStep, step: selected, unit }) {
  if (atStep.status !== "ready" || !(unit < atStep.value.units.rms.length)) return null;
  const { step, units } = atStep.value;
  if (step !== selected) return null;
  return (
    <span data-testid="unit-facts">
      rms {formatExact(units.rms[unit])} · mean {formatExact(units.mean[unit])} · peak{" "}
      {formatExact(units.peak[unit])} · zero {formatShare(units.zero[unit])}
    </span>
  );
}

/**
 * @param {object} props
 * @param {Run} props.run
 * @param {number} props.unit
 * @param {Detail | null} props.detail of the whole tensor
 * @param {boolean} props.pending
 * @param {string} props.title
 * @param {string} props.none what to say where there is no such tensor
 */
function Part({ run, unit, detail, pending, title, none }) {
  const tensor = detail && run.info.tensors[detail.tensor];
  const layer = tensor && run.info.layers[tensor.layer];
  const values = detail?.values;
  const slice = values ? sliceUnit(values, unit) : null;
  const names = tensor ? axisNames(tensor.axes, tensor.shape.length, tensor.kind) : [];
  const of = detail?.record?.values_step ?? null;
  return (
    <figure class="lv-unit-part" data-testid={`unit-${title.replace(" ", "-")}`}>
      <figcaption>
        {title}
        {tensor && layer && (
          <span class="lv-caption">
            {" "}
            {layer.path} {tensor.name}
            {slice && slice.axes.length > 0 && `, ${describeKept(slice.axes, names.slice(0, -1))}`}
            {of !== null && of !== detail.step && `, of step ${formatCount(of)}`}
          </span>
        )}
      </figcaption>
      {slice && tensor ? (
        <SmallPicture
          values={slice}
          names={names.slice(0, -1)}
          unit={unit}
          label={`${title} of unit ${unit}`}
        />
      ) : (
        <p class="lv-caption">{missing(pending, detail, none)}</p>
      )}
    </figure>
  );
}

/**
 * @param {boolean} pending
 * @param {Detail | null} detail
 * @param {string} none
 */
function missing(pending, detail, none) {
  if (pending) return "Loading…";
  if (!detail) return none;
  if (detail.valuesProblem) return detail.valuesProblem;
  if (!detail.record) return `Not logged at step ${formatCount(detail.step)}.`;
  return detail.values
    ? "This unit is not among those whose values are kept."
    : "No values are kept.";
}
