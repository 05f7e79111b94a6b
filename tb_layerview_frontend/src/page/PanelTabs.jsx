import { useEffect, useState } from "preact/hooks";

/** @typedef {import("../kit/view.js").View} View */

/** Where there is room for the picture above everything else, it needs no tab. */
const WIDE = "(min-width: 1600px) and (min-height: 680px)";

const PANELS = /** @type {const} */ ([
  ["picture", "Picture"],
  ["distribution", "Distribution"],
  ["units", "Units"],
  ["numbers", "Numbers"],
]);

/** Whether the picture stands above the other panels. */
export function useWide() {
  const [wide, setWide] = useState(() => window.matchMedia(WIDE).matches);
  useEffect(() => {
    const query = window.matchMedia(WIDE);
    const read = () => setWide(query.matches);
    read();
    query.addEventListener("change", read);
    return () => query.removeEventListener("change", read);
  }, []);
  return wide;
}

/** Why a tensor has no picture, and what to do. */
const NO_PICTURE =
  "No values of this tensor are kept, only its statistics and histograms. What is kept is chosen when logging, with keep=.";

/**
 * The panel that is shown: the chosen one, and the distribution beside a picture that stands above it, or where there is
 * none.
 * @param {View} view
 * @param {boolean} wide
 * @param {boolean} bare whether there is no picture
 */
export function shownPanel(view, wide, bare) {
  const panel = view.panel.value;
  return (wide || bare) && panel === "picture" ? "distribution" : panel;
}

/**
 * What is looked at of the selected tensor.
 * @param {{view: View, wide: boolean, bare: boolean}} props
 */
export function PanelTabs({ view, wide, bare }) {
  const panels = PANELS.filter(([name]) => !((wide || bare) && name === "picture"));
  const shown = shownPanel(view, wide, bare);
  /** @param {KeyboardEvent} event */
  const onKey = (event) => {
    const at = panels.findIndex(([name]) => name === shown);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: panels.length - 1 }[
      event.key
    ];
    if (to === undefined) return;
    // Arrows here choose a panel, not a step.
    event.preventDefault();
    event.stopPropagation();
    const [name] = panels[(to + panels.length) % panels.length];
    view.panel.value = name;
    const tabs = /** @type {HTMLElement} */ (event.currentTarget);
    /** @type {HTMLElement | null} */ (tabs.querySelector(`[data-panel=${name}]`))?.focus();
  };
  return (
    <div class="lv-tabs">
      <div
        class="lv-tab-list"
        role="tablist"
        aria-label="What is shown of the tensor"
        onKeyDown={onKey}
      >
        {panels.map(([name, label]) => (
          <button
            key={name}
            type="button"
            role="tab"
            id={`lv-tab-${name}`}
            data-panel={name}
            data-testid={`panel-${name}`}
            aria-selected={name === shown}
            aria-controls="lv-panel"
            tabIndex={name === shown ? 0 : -1}
            onClick={() => {
              view.panel.value = name;
            }}
          >
            {label}
          </button>
        ))}
      </div>
      {bare && !wide && (
        <span class="lv-caption lv-no-picture" data-testid="no-picture" title={NO_PICTURE}>
          no picture: no values are kept
        </span>
      )}
    </div>
  );
}
