import { useEffect } from "preact/hooks";

import { CompareBar } from "../compare/CompareBar.jsx";
import { CompareDetail } from "../compare/CompareDetail.jsx";
import { toggleFirstStep } from "../compare/comparison.js";
import { trainingOf } from "../data/selection.js";
import { FindingsBar } from "../findings/FindingsBar.jsx";
import { Message } from "../kit/Message.jsx";
import { isEditing } from "../kit/hooks.js";
import { MapPane } from "../map/MapPane.jsx";
import { NetworkPane } from "../network/NetworkPane.jsx";
import { AcrossChoice } from "../ranks/AcrossChoice.jsx";
import { RanksPane } from "../ranks/RanksPane.jsx";
import { switchScreen } from "../network/ScreenChoice.jsx";
import { DetailPane } from "./DetailPane.jsx";
import { EmptyState } from "./EmptyState.jsx";
import { Keys, KEYS_TEST_ID } from "./Keys.jsx";
import { TopBar } from "./TopBar.jsx";
import { UnreadableRuns } from "./UnreadableRuns.jsx";

/** @typedef {import("./store.js").Store} Store */

/** @param {{store: Store}} props */
export function App({ store }) {
  const { core, comparison } = store;
  useStepKeys(core, store.findings, comparison);
  const runs = store.runs.value;
  if (runs.status === "loading") return <Message page>Looking for runs…</Message>;
  if (runs.status === "error") {
    return (
      <Message page testid="error" alert>
        <h1>The runs could not be read</h1>
        <p class="lv-error">{runs.message}</p>
        <p>It is tried again every few seconds.</p>
      </Message>
    );
  }
  if (!runs.value.length) {
    return (
      <div class="lv-app">
        <UnreadableRuns store={store} />
        <EmptyState store={store} />
      </div>
    );
  }
  return (
    <div class="lv-app">
      <TopBar store={store} />
      <FindingsBar core={core} findings={store.findings}>
        <Keys />
      </FindingsBar>
      <Notices store={store} />
      <CompareBar core={core} comparison={comparison} />
      <Main store={store} />
    </div>
  );
}

/** @param {{store: Store}} props */
function Main({ store }) {
  const { core, comparison, findings, ranks } = store;
  const run = core.run.value;
  if (run.status === "error") {
    return (
      <Message page testid="error" alert>
        <h1>This run could not be read</h1>
        <p class="lv-error">{run.message}</p>
        <p>Choose another run above, or wait: it is tried again when TensorBoard answers.</p>
      </Message>
    );
  }
  if (run.status === "loading") return <Message page>Loading {core.view.run.value}…</Message>;
  const { info, history } = run.value;
  if (!info.tensors.length || !history.steps.length) {
    return (
      <Message page testid="empty-run">
        <h1>No step of this run is logged yet</h1>
        <p>The first one appears here by itself.</p>
      </Message>
    );
  }
  const other = comparison.current.value;
  const detail =
    other && comparison.tensor.value >= 0 ? (
      <CompareDetail core={core} comparison={comparison} run={run.value} other={other} />
    ) : (
      <DetailPane store={store} run={run.value} />
    );
  if (core.onNetwork.value) {
    const open = core.view.detail.value;
    return (
      <main class={`lv-main lv-main-network${open ? " lv-main-open" : ""}`}>
        <NetworkPane
          core={core}
          findings={findings}
          comparison={comparison}
          network={store.network}
          run={run.value}
        />
        {open && detail}
      </main>
    );
  }
  return (
    <main class="lv-main">
      {ranks.on.value ? (
        <RanksPane
          core={core}
          findings={findings}
          comparison={comparison}
          ranks={ranks}
          run={run.value}
        />
      ) : (
        <MapPane
          core={core}
          findings={findings}
          comparison={comparison}
          evaluation={store.evaluation.value}
          run={run.value}
        >
          <AcrossChoice view={core.view} ranks={ranks} />
        </MapPane>
      )}
      {detail}
    </main>
  );
}

/**
 * What a person has to know of what is shown: that it is old, or that something is missing.
 * @param {{store: Store}} props
 */
function Notices({ store }) {
  const connection = store.connection.value;
  const runs = store.runs.value;
  const name = store.core.view.run.value;
  const run = store.core.current.value;
  const training =
    run && runs.status === "ready" && run.history.modes.every((mode) => mode === "replay")
      ? trainingOf(run.name, runs.value)
      : null;
  const gone = runs.status === "ready" && name && !runs.value.some(({ run }) => run === name);
  return (
    <div class="lv-notices" aria-live="polite">
      {connection.status === "lost" && (
        <p class="lv-notice lv-notice-warning" role="alert" data-testid="connection-lost">
          {connection.message} What you see is from {connection.since.toLocaleTimeString()} and
          older. It is tried again every few seconds.
        </p>
      )}
      {connection.status === "live" && gone && store.core.current.value && (
        <p class="lv-notice lv-notice-warning" role="alert">
          TensorBoard no longer has the run “{name}”. What you see is what was read before.
        </p>
      )}
      {run && training && (
        <p class="lv-notice" data-testid="replayed">
          This is {run.info.probe?.source}, run again in training mode.{" "}
          <button type="button" class="lv-link" onClick={() => store.core.selectRun(training)}>
            Back to the training
          </button>
        </p>
      )}
      <UnreadableRuns store={store} />
    </div>
  );
}

/** Presses the button of the keys. */
function openKeys() {
  const button = document.querySelector(`[data-testid=${KEYS_TEST_ID}]`);
  if (!(button instanceof HTMLElement)) return;
  // From there Escape closes them.
  button.focus();
  button.click();
}

/**
 * Left and right walk through the steps wherever the focus is, except where text is typed.
 * @param {Store["core"]} core
 * @param {Store["findings"]} findings
 * @param {Store["comparison"]} comparison
 */
function useStepKeys(core, findings, comparison) {
  useEffect(() => {
    const end = new AbortController();
    document.addEventListener(
      "keydown",
      (event) => {
        if (event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey) return;
        if (isEditing(event.target)) return;
        const index = core.stepIndex.peek();
        const last = core.steps.peek().length - 1;
        const onControl =
          event.target instanceof Element && event.target.closest("button, input, summary");
        if (event.key === "ArrowLeft") core.selectStep(index - 1);
        else if (event.key === "ArrowRight") core.selectStep(index + 1);
        else if (event.key === "PageUp") core.selectStep(index - 10);
        else if (event.key === "PageDown") core.selectStep(index + 10);
        else if (event.key === "Home") core.selectStep(0);
        else if (event.key === "End") core.selectStep(last);
        else if (event.key === "n") findings.showNext();
        else if (event.key === "N") findings.showNext(-1);
        else if (event.key === "g") switchScreen(core.view);
        else if (event.key === "?") openKeys();
        else if (event.key === "Escape" && core.view.why.peek()) core.view.why.value = "";
        else if (event.key === "f" && last > 0) toggleFirstStep(comparison, core.view.run.peek());
        else if (event.key === "Escape" && comparison.sameRun.peek()) comparison.compareWith("");
        else if (event.key === "Escape" && core.onNetwork.peek()) core.view.detail.value = false;
        else if (event.key === " " && !onControl) core.playing.value = !core.playing.peek();
        else return;
        event.preventDefault();
      },
      { signal: end.signal },
    );
    return () => end.abort();
  }, [core, findings, comparison]);
}
