import { ComparePicker } from "../compare/CompareBar.jsx";
import { CopyButton } from "../kit/TakeAlong.jsx";
import { formatCount } from "../kit/format.js";
import { readAddress } from "../kit/host.js";
import { ScreenChoice } from "../network/ScreenChoice.jsx";
import { groupRuns } from "../ranks/ranks.js";
import { StepBar } from "./StepBar.jsx";
import { Trust } from "./Trust.jsx";

/**
 * The bar with what holds for everything below it: run, step, cost.
 * @param {{store: import("./store.js").Store}} props
 */
export function TopBar({ store }) {
  const { core, comparison, findings } = store;
  const { view, runs } = core;
  return (
    <header class="lv-top">
      <h1 class="lv-unseen">Layers</h1>
      <label class="lv-run">
        <span class="lv-caption">Run</span>
        <select
          data-testid="run-picker"
          aria-label="Run"
          value={view.run.value}
          onChange={(event) => core.selectRun(event.currentTarget.value)}
        >
          {runs.value.status === "ready" &&
            groupRuns(runs.value.value).map(({ training, runs: [first, ...others] }) =>
              training === null ? (
                <RunOption key={first.run} of={first} label={labelOf(first.run)} />
              ) : (
                <optgroup
                  key={`${training}/ranks`}
                  label={`${labelOf(training)}: ${formatCount(1 + others.length)} ranks`}
                >
                  {[first, ...others].map((rank) => (
                    <RunOption key={rank.run} of={rank} label={rank.run} />
                  ))}
                </optgroup>
              ),
            )}
        </select>
      </label>
      <ScreenChoice core={core} />
      {!comparison.on.value && <ComparePicker core={core} comparison={comparison} />}
      <StepBar core={core} findings={findings} comparison={comparison} network={store.network} />
      <CopyButton
        label="Copy link"
        title="Copy the address of what is shown here: run, step, layer, and all that is chosen"
        testid="copy-link"
        text={readAddress}
      />
      <Trust run={core.current.value} />
    </header>
  );
}

/** @param {string} run */
const labelOf = (run) => (run === "." ? "(log folder)" : run);

/** @param {{of: import("../data/types.js").RunSummary, label: string}} props */
function RunOption({ of: { run, steps }, label }) {
  return (
    <option value={run}>
      {label} · {formatCount(steps)} {steps === 1 ? "step" : "steps"}
    </option>
  );
}
