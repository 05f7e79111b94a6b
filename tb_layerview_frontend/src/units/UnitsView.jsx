import { useMemo, useRef } from "preact/hooks";

import { axisNames } from "../data/axes.js";
import { tensorTitle } from "../data/matching.js";
import { Choice } from "../kit/Choice.jsx";
import { TakeAlong } from "../kit/TakeAlong.jsx";
import { encodeNpy } from "../kit/array_files.js";
import { formatCount } from "../kit/format.js";
import { UnitSide } from "./UnitSide.jsx";
import { UnitsMap } from "./UnitsMap.jsx";
import {
  latestKept,
  orderUnits,
  silenceInWords,
  silenceNamed,
  silences,
  summary,
  UNIT_ORDERS,
  UNIT_STATISTICS,
} from "./units.js";
import { unitsFigure } from "./units_figure.js";

/** @typedef {import("../kit/core.js").Core} Core */
/** @typedef {import("../data/run.js").Run} Run */
/** @typedef {import("./unit_data.js").UnitsState} UnitsState */

/** @typedef {import("./units.js").UnitsShown} UnitsShown */

/**
 * Each unit of the tensor over the steps, and beside it all that is known of the one that is chosen.
 * @param {{core: Core, units: UnitsState, run: Run}} props
 */
export function UnitsView({ core, units, run }) {
  const shown = useUnits(core, units.history.value, run);
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  const { view } = core;
  const loaded = units.history.value;
  return (
    <section class="lv-units" aria-label="Units" ref={place}>
      <div class="lv-panel-bar">
        <Choice
          field={view.unitStatistic}
          label="What the colours show of each unit"
          testid="unit-statistic"
          options={Object.fromEntries(UNIT_STATISTICS.map(({ name, label }) => [name, label]))}
        />
        <Choice
          field={view.unitOrder}
          label="Order of the units"
          testid="unit-order"
          options={UNIT_ORDERS}
        />
        {shown && <Download core={core} run={run} shown={shown} place={place} />}
      </div>
      {loaded.status === "error" && (
        <p class="lv-error" role="alert">
          {loaded.message}
        </p>
      )}
      {!shown && loaded.status !== "error" && (
        <p class="lv-message" role="status">
          {loaded.status === "loading"
            ? "Loading the units…"
            : "No statistics per unit are kept of this tensor. What is kept is chosen when logging, with keep=."}
        </p>
      )}
      {shown && (
        <>
          <p class="lv-units-summary" data-testid="units-summary" aria-live="polite">
            {summary(shown.silence, shown.at, `${shown.unit}s`, shown.silent.long)}
            <StepNote core={core} shown={shown} unreadable={unreadable(loaded)} />
          </p>
          <UnitsMap core={core} shown={shown} />
          <UnitSide core={core} units={units} run={run} shown={shown} />
        </>
      )}
    </section>
  );
}

/** @param {import("../data/run.js").Loadable<import("./unit_data.js").UnitHistory>} loaded */
function unreadable(loaded) {
  return loaded.status === "ready" ? loaded.value.unreadable : 0;
}

/**
 * @param {Core} core
 * @param {import("../data/run.js").Loadable<import("./unit_data.js").UnitHistory>} loaded
 * @param {Run} run
 * @returns {UnitsShown | null} null where nothing is there yet, or nothing is kept
 */
function useUnits(core, loaded, run) {
  const history =
    loaded.status === "ready" && loaded.value.tensor === core.tensor.value ? loaded.value : null;
  const column = history?.column;
  const silence = useMemo(
    () => (history ? silences(history.peaks, history.column.units) : []),
    [history],
  );
  const numbers = run.history.steps;
  const steps = useMemo(
    () => Array.from(column?.indices ?? [], (index) => numbers[index]),
    [column, numbers],
  );
  const broken = useMemo(() => history?.peaks.some(Number.isNaN) ?? false, [history]);
  const order = /** @type {import("./units.js").UnitOrder} */ (core.view.unitOrder.value);
  const at = latestKept(column?.indices ?? [], core.stepIndex.value);
  const rows = useMemo(
    () => (column ? orderUnits(order, column, silence, at) : new Uint32Array()),
    [column, silence, order, order === "index" ? 0 : at],
  );
  const tensor = run.info.tensors[core.tensor.value];
  if (!history || !column?.indices.length || !column.units || !tensor) return null;
  const statistic = UNIT_STATISTICS.find(({ name }) => name === history.statistic);
  return {
    column,
    peaks: history.peaks,
    statistic: statistic ?? UNIT_STATISTICS[0],
    steps,
    at,
    silence,
    rows,
    broken,
    unit: axisNames(tensor.axes, tensor.shape.length, tensor.kind).at(-1) ?? "unit",
    silent: silenceNamed(tensor.kind, run.info.probe),
  };
}

/**
 * Of which step the numbers are, where that is not the selected one; what is not kept or could not be read.
 * @param {{core: Core, shown: UnitsShown, unreadable: number}} props
 */
function StepNote({ core, shown, unreadable: lost }) {
  const { steps, at } = shown;
  const all = core.steps.value;
  const notes = [];
  const { units } = shown.column;
  const bad = shown.peaks.subarray(at * units, (at + 1) * units).filter(Number.isNaN).length;
  if (bad)
    notes.push(`${formatCount(bad)} ${bad === 1 ? "has" : "have"} no finite element at this step`);
  if (steps[at] !== all[core.stepIndex.value]) {
    notes.push(`this is step ${formatCount(steps[at])}, the nearest at which units are kept`);
  }
  if (steps.length + lost < all.length) {
    notes.push(`kept at ${formatCount(steps.length)} of ${formatCount(all.length)} steps`);
  }
  if (lost) notes.push(`${formatCount(lost)} steps could not be read`);
  return notes.length ? <span class="lv-caption"> · {notes.join(" · ")}</span> : null;
}

/**
 * @param {object} props
 * @param {Core} props.core
 * @param {Run} props.run
 * @param {UnitsShown} props.shown
 * @param {{current: HTMLElement | null}} props.place
 */
function Download({ core, run, shown, place }) {
  const { column, statistic, steps, silence, silent, unit } = shown;
  const title = tensorTitle(run.info, run.info.tensors[core.tensor.value]);
  /** @type {import("../kit/TakeAlong.jsx").Panel} */
  const panel = {
    facts: [run.name, title, "units", statistic.name],
    table: () => ({
      head: [unit, ...steps.map((step) => `step ${step}`), "silence"],
      rows: silence.map((own, index) => [
        index,
        ...steps.map((_, position) => column.values[position * column.units + index]),
        silenceInWords(own, steps, silent.short),
      ]),
    }),
    picture: () => ({
      title: `${title}: ${statistic.label} of each ${unit}, run ${run.name}`,
      lines: [
        `${UNIT_ORDERS[/** @type {keyof typeof UNIT_ORDERS} */ (core.view.unitOrder.value)]}, at step ${formatCount(steps[shown.at])}; ${summary(silence, shown.at, `${unit}s`, silent.long)}.`,
      ],
      canvases: [
        unitsFigure(
          /** @type {HTMLCanvasElement} */ (place.current?.querySelector("[data-chart=units]")),
          shown,
          core.spacing.value,
          core.steps.value,
        ),
      ],
    }),
    array: () => encodeNpy(column.values, [steps.length, column.units], "float32"),
  };
  return <TakeAlong what="the units" panels={[panel]} />;
}
