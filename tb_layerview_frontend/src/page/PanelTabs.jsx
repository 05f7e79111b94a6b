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

/**
 * The panel that is shown: the chosen one, and beside a picture that stands above the distribution.
 * @param {View} view
 * @param {boolean} wide
 */
export function shownPanel(view, wide) {
  const panel = view.panel.value;
  return wide && panel === "picture" ? "distribution" : panel;
}

/**
 * What is looked at of the selected tensor.
 * @param {{view: View, wide: boolean}} props
 */
export function PanelTabs({ view, wide }) {
  const panels = PANELS.filter(([name]) => !(wide && name === "picture"));
  const shown = shownPanel(view, wide);
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
    <div class="lv-tabs" role="tablist" aria-label="What is shown of the tensor" onKeyDown={onKey}>
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
  );
}
