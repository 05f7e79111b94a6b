import { SPACINGS } from "../axis.js";
import { counterpart, KINDS, kindsOf } from "../selection.js";
import { STATISTICS, statisticNamed } from "../statistics.js";

/** @typedef {import("../store.js").Store} Store */
/** @typedef {import("../api.js").Kind} Kind */

/**
 * What the map shows: which layers, kinds, statistic.
 * @param {{store: Store, run: import("../run_data.js").Run}} props
 */
export function MapToolbar({ store, run }) {
  const { view, kinds, tensor } = store;
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
    if (found >= 0) store.selectTensor(found);
  };

  return (
    <div class="lv-toolbar">
      <input
        class="lv-filter"
        type="search"
        data-testid="filter"
        placeholder="Filter layers"
        aria-label="Filter layers by name or class"
        value={view.filter.value}
        onInput={(event) => {
          view.filter.value = event.currentTarget.value;
        }}
        onKeyDown={(event) => {
          if (event.key === "Escape") view.filter.value = "";
        }}
      />
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
      <label class="lv-select" title={statisticNamed(view.statistic.value).meaning}>
        <span class="lv-caption">Colour</span>
        <select
          data-testid="statistic"
          aria-label="Statistic that the colour shows"
          value={statisticNamed(view.statistic.value).name}
          onChange={(event) => {
            view.statistic.value = event.currentTarget.value;
          }}
        >
          {STATISTICS.map(({ name, label, meaning }) => (
            <option key={name} value={name} title={meaning}>
              {label}
            </option>
          ))}
        </select>
      </label>
      <label class="lv-select" title="How the steps lie along the map">
        <span class="lv-caption">Steps</span>
        <select
          data-testid="spacing"
          aria-label="How the steps lie along the map"
          value={view.spacing.value}
          onChange={(event) => {
            view.spacing.value = event.currentTarget.value;
          }}
        >
          {Object.entries(SPACINGS).map(([name, label]) => (
            <option key={name} value={name}>
              {label}
            </option>
          ))}
        </select>
      </label>
    </div>
  );
}
