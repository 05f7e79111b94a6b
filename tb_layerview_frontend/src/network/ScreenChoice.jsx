/** @typedef {import("../kit/view.js").View} View */

const SCREENS = /** @type {const} */ ([
  ["network", "Network", "The layers at work on one example (g)"],
  ["map", "Map", "Layers × steps, coloured by a statistic (g)"],
]);

/**
 * Which of the two screens is shown.
 * @param {{core: import("../kit/core.js").Core}} props
 */
export function ScreenChoice({ core: { view, onNetwork } }) {
  const shown = onNetwork.value ? "network" : "map";
  return (
    <span class="lv-screens" role="group" aria-label="Screen">
      {SCREENS.map(([screen, label, title]) => (
        <button
          key={screen}
          type="button"
          data-testid={`screen-${screen}`}
          aria-pressed={screen === shown}
          aria-keyshortcuts="g"
          title={title}
          onClick={() => {
            view.screen.value = screen;
          }}
        >
          {label}
        </button>
      ))}
    </span>
  );
}

/** @param {View} view */
export function switchScreen(view) {
  view.screen.value = view.screen.value === "network" ? "map" : "network";
}
