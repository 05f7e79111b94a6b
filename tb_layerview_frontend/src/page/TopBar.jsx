import { ComparePicker } from "../compare/CompareBar.jsx";
import { formatCount } from "../kit/format.js";
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
            runs.value.value.map(({ run, steps: logged }) => (
              <option key={run} value={run}>
                {run === "." ? "(log folder)" : run} · {formatCount(logged)}{" "}
                {logged === 1 ? "step" : "steps"}
              </option>
            ))}
        </select>
      </label>
      <ComparePicker core={core} comparison={comparison} />
      <StepBar core={core} findings={findings} />
      <Trust run={core.current.value} />
    </header>
  );
}
