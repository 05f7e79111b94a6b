import { counterpart, KINDS, kindsOf } from "../data/selection.js";
import { STATISTIC_GROUPS, statisticNamed, statisticOf } from "../data/statistics.js";
import { Popover } from "../kit/Popover.jsx";
import { SPACINGS } from "../kit/axis.js";
import { NATURAL } from "../kit/colour.js";
import { FilterBox } from "./FilterBox.jsx";
import { hasChange } from "./change.js";
import { DIFFERENCE_TRANSFORM } from "./difference.js";
import { ORDERS, PARTING_ORDER } from "./order.js";

/** @typedef {import("../kit/core.js").Core} Core */
/** @typedef {import("../data/run.js").Run} Run */
/** @typedef {import("../data/types.js").Kind} Kind */

/**
 * What the map shows: which layers, kinds, statistic, in which order and colours.
 * @param {object} props
 * @param {Core} props.core
 * @param {import("./use_comparison.js").Compared} props.comparison
 * @param {Run} props.run
 * @param {{layers: number, of: number}} props.matches
 * @param {import("preact").ComponentChildren} [props.before] what stands before the choices
 * @param {import("preact").ComponentChildren} [props.children] what stands after them
 */
export function MapToolbar({ core, comparison, run, matches, before, children }) {
  const orders = comparison.on.value ? [PARTING_ORDER, ...ORDERS] : ORDERS;
  return (
    <div class="lv-toolbar">
      <FilterBox filter={core.view.filter} run={run} matches={matches} />
      {before}
      <Kinds core={core} run={run} />
      <StatisticSelect core={core} run={run} />
      <label
        class="lv-select"
        title={orders.find(({ name }) => name === core.view.order.value)?.meaning}
      >
        <span class="lv-caption">Order</span>
        <select
          data-testid="order"
          aria-label="Order of the rows"
          value={core.view.order.value}
          onChange={(event) => {
            core.view.order.value = event.currentTarget.value;
          }}
        >
          {orders.map(({ name, label, meaning }) => (
            <option key={name} value={name} title={meaning}>
              {label}
            </option>
          ))}
        </select>
      </label>
      <Popover
        button="Scale ▾"
        label="Colours and scales of the map"
        title="Change or level, logarithmic or linear colours, one scale or one a row, how the steps lie"
        testid="scales"
      >
        <Scales core={core} comparison={comparison} />
      </Popover>
      {children}
    </div>
  );
}

/** @param {{core: Core, run: Run}} props */
function Kinds({ core, run }) {
  const { view, kinds, tensor } = core;
  const { tensors } = run.info;
  const present = kindsOf(tensors);

  /**
   * @param {Kind} kind
   * @param {boolean} besides whether to show it beside what is shown
   */
  const choose = (kind, besides) => {
    if (besides) {
      const others = kinds.value.filter((shown) => shown !== kind);
      const next = kinds.value.includes(kind) ? others : [...others, kind];
      if (next.length) view.maps.value = next;
      return;
    }
    view.maps.value = [kind];
    const found = counterpart(tensors, tensor.value, kind);
    if (found >= 0) core.selectTensor(found);
  };

  return (
    <div
      class="lv-kinds"
      role="group"
      aria-label="Kinds of tensors; Shift-click shows several side by side"
    >
      {KINDS.filter(({ kind }) => present.includes(kind)).map(({ kind, label }) => (
        <button
          key={kind}
          type="button"
          data-testid={`kind-${kind}`}
          aria-pressed={kinds.value.includes(kind)}
          title={`${label}. Shift-click shows them beside what is shown.`}
          onClick={(event) => choose(kind, event.shiftKey || event.ctrlKey || event.metaKey)}
        >
          {label}
        </button>
      ))}
    </div>
  );
}

/** @param {{core: Core, run: Run}} props */
function StatisticSelect({ core, run }) {
  const { view, kinds } = core;
  const present = kindsOf(run.info.tensors);
  const chosen = statisticNamed(view.statistic.value);
  /** @param {string} name */
  const choose = (name) => {
    view.statistic.value = name;
    // A statistic that the shown kinds do not have brings one that has it.
    const shown = kinds.value.some((kind) => statisticOf(name, kind).name === name);
    const having = present.find((kind) => statisticOf(name, kind).name === name);
    if (!shown && having) view.maps.value = [having];
  };
  return (
    <label class="lv-select" title={chosen.meaning}>
      <span class="lv-caption">Colour</span>
      <select
        data-testid="statistic"
        aria-label="Statistic that the colour shows"
        aria-describedby="lv-statistic-meaning"
        value={chosen.name}
        onChange={(event) => choose(event.currentTarget.value)}
      >
        {STATISTIC_GROUPS.map(({ group, statistics }) => (
          <optgroup key={group} label={group}>
            {statistics.map(({ name, label, meaning }) => {
              const missing = !present.some((kind) => statisticOf(name, kind).name === name);
              return (
                <option
                  key={name}
                  value={name}
                  disabled={missing}
                  title={missing ? `${meaning} This run logs none of it.` : meaning}
                >
                  {label}
                </option>
              );
            })}
          </optgroup>
        ))}
      </select>
      <span id="lv-statistic-meaning" class="lv-unseen">
        {chosen.meaning}
      </span>
    </label>
  );
}

/** @param {{core: Core, comparison: import("./use_comparison.js").Compared}} props */
function Scales({ core, comparison }) {
  const { view, kinds } = core;
  const [first] = kinds.value;
  const statistic = first
    ? statisticOf(view.statistic.value, first)
    : statisticNamed(view.statistic.value);
  const differs = comparison.showsDifference.value;
  const mayChange = !differs && view.across.value === "steps" && hasChange(statistic);
  const isLogged = differs || (mayChange && view.mapColour.value === "change");
  const natural = isLogged ? DIFFERENCE_TRANSFORM : NATURAL[statistic.scale];
  const transform = view.transform.value || natural;
  return (
    <div class="lv-choices">
      {mayChange && (
        <Radios
          name="colour"
          legend="Colour"
          value={view.mapColour.value}
          options={{ change: "change since the start", level: "level" }}
          onChoose={(value) => {
            view.mapColour.value = value;
          }}
        />
      )}
      <Radios
        name="transform"
        legend="Colour scale"
        value={transform}
        options={{ log: "logarithmic", linear: "linear" }}
        // What suits the statistic anyway is not held on to when another one is chosen.
        onChoose={(value) => {
          view.transform.value = value === natural ? "" : value;
        }}
      />
      <Radios
        name="rows"
        legend="Range"
        value={view.rowScales.value ? "own" : "one"}
        options={{ one: "one for all rows", own: "one a row" }}
        onChoose={(value) => {
          view.rowScales.value = value === "own";
        }}
      />
      <Radios
        name="spacing"
        legend="Steps"
        value={core.spacing.value}
        options={SPACINGS}
        onChoose={(value) => {
          view.spacing.value = value;
        }}
      />
    </div>
  );
}

/**
 * @param {object} props
 * @param {string} props.name
 * @param {string} props.legend
 * @param {string} props.value
 * @param {Record<string, string>} props.options
 * @param {(value: string) => void} props.onChoose
 */
function Radios({ name, legend, value, options, onChoose }) {
  return (
    <fieldset class="lv-choice">
      <legend class="lv-caption">{legend}</legend>
      {Object.entries(options).map(([option, label]) => (
        <label key={option} class="lv-check">
          <input
            type="radio"
            name={`lv-${name}`}
            data-testid={`${name}-${option}`}
            checked={option === value}
            onChange={() => onChoose(option)}
          />
          {label}
        </label>
      ))}
    </fieldset>
  );
}
