import { useEffect, useRef } from "preact/hooks";

import { nearestIndex } from "../axis.js";
import { formatBytes, formatCount, formatSeconds, formatShare } from "../format.js";
import { ComparePicker } from "./CompareBar.jsx";

/** @typedef {import("../store.js").Store} Store */

const FRAMES_PER_SECOND = 8;

/**
 * The bar with what holds for everything below it: run, step, cost.
 * @param {{store: Store}} props
 */
export function TopBar({ store }) {
  const { view, runs, steps, stepIndex } = store;
  usePlay(store);
  const count = steps.value.length;
  const index = stepIndex.value;
  const step = steps.value[index];
  return (
    <header class="lv-top">
      <label class="lv-run">
        <span class="lv-caption">Run</span>
        <select
          data-testid="run-picker"
          aria-label="Run"
          value={view.run.value}
          onChange={(event) => store.selectRun(event.currentTarget.value)}
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
      <ComparePicker store={store} />
      <div class="lv-steps" role="group" aria-label="Step">
        <button
          type="button"
          class="lv-icon-button"
          aria-label="Previous step"
          title="Previous step (←)"
          disabled={index <= 0}
          onClick={() => store.selectStep(index - 1)}
        >
          <Icon path="M15.4 7.4 14 6l-6 6 6 6 1.4-1.4L10.8 12z" />
        </button>
        <button
          type="button"
          class="lv-icon-button"
          data-testid="play"
          aria-label={store.playing.value ? "Pause" : "Play through the steps"}
          title={store.playing.value ? "Pause (space)" : "Play through the steps (space)"}
          disabled={count < 2}
          onClick={() => {
            store.playing.value = !store.playing.value;
          }}
        >
          <Icon path={store.playing.value ? "M6 19h4V5H6v14zm8-14v14h4V5h-4z" : "M8 5v14l11-7z"} />
        </button>
        <button
          type="button"
          class="lv-icon-button"
          aria-label="Next step"
          title="Next step (→)"
          disabled={index >= count - 1}
          onClick={() => store.selectStep(index + 1)}
        >
          <Icon path="M10 6 8.6 7.4l4.6 4.6-4.6 4.6L10 18l6-6z" />
        </button>
        <label class="lv-step-number">
          <span class="lv-caption">Step</span>
          <input
            data-testid="step-number"
            type="text"
            inputMode="numeric"
            aria-label="Step number; the nearest logged one is taken"
            disabled={!count}
            value={step === undefined ? "" : formatCount(step)}
            onFocus={(event) => event.currentTarget.select()}
            onChange={(event) => {
              const wanted = Number(event.currentTarget.value.replace(/[^\d-]/g, ""));
              if (event.currentTarget.value.trim() && Number.isFinite(wanted)) {
                store.selectStep(nearestIndex(steps.value, wanted));
              }
              // Back to the step that is shown, whatever was typed.
              const shown = steps.value[stepIndex.value];
              event.currentTarget.value = shown === undefined ? "" : formatCount(shown);
            }}
          />
        </label>
        <input
          data-testid="step-slider"
          class="lv-slider"
          type="range"
          min={0}
          max={Math.max(0, count - 1)}
          value={Math.max(0, index)}
          disabled={count < 2}
          aria-label="Step"
          aria-valuetext={step === undefined ? "no step" : `step ${step}`}
          style={{ "--lv-filled": `${count > 1 ? (100 * index) / (count - 1) : 0}%` }}
          onInput={(event) => store.selectStep(Number(event.currentTarget.value))}
        />
        <span class="lv-step-of" title="Of the logged steps, counted from 1">
          {count ? `${formatCount(index + 1)} of ${formatCount(count)}` : ""}
        </span>
        <label
          class="lv-check"
          title="Show the newest step as it comes. Otherwise new steps appear in the map, and nothing you chose moves."
        >
          <input
            type="checkbox"
            data-testid="follow"
            checked={view.follow.value}
            onChange={(event) => {
              view.follow.value = event.currentTarget.checked;
              if (view.follow.value) store.selectStep(count - 1);
            }}
          />
          Follow
        </label>
      </div>
      <CostText store={store} />
    </header>
  );
}

/** @param {{path: string}} props */
function Icon({ path }) {
  return (
    <svg viewBox="0 0 24 24" width="20" height="20" aria-hidden="true">
      <path d={path} fill="currentColor" />
    </svg>
  );
}

/**
 * What logging has cost, short; in words on hover.
 * @param {{store: Store}} props
 */
function CostText({ store }) {
  const run = store.current.value;
  if (!run) return <span class="lv-cost" />;
  const cost = run.history.cost ?? run.info.cost;
  const notes = [run.info.schedule && `Logged: ${run.info.schedule}.`, run.info.software];
  if (!cost) {
    return (
      <span class="lv-cost" title={notes.filter(Boolean).join("\n")}>
        cost unknown
      </span>
    );
  }
  const training = cost.training_seconds - cost.set_up_seconds;
  const share = training > 0 ? cost.logging_seconds / training : NaN;
  const words = [
    `Logging took ${formatSeconds(cost.logging_seconds)} of ${formatSeconds(training)} of training, ` +
      `besides ${formatSeconds(cost.set_up_seconds)} of set-up, and ${formatBytes(cost.bytes)} on disk.`,
    cost.skipped
      ? `${formatCount(cost.skipped)} steps were left out to stay within the budget.`
      : "No step was left out.",
    ...notes,
    run.info.hidden && `Hidden: ${run.info.hidden}.`,
  ].filter(Boolean);
  return (
    <span
      class="lv-cost"
      data-testid="cost"
      title={words.join("\n")}
      tabIndex={0}
      aria-label={words.join(" ")}
    >
      <span class="lv-caption">Cost</span>
      {Number.isFinite(share) && `${formatShare(share)} · `}
      {formatBytes(cost.bytes)}
    </span>
  );
}

/**
 * Walks through the steps while playing, never faster than pictures arrive.
 * @param {Store} store
 */
function usePlay(store) {
  const timer = useRef(0);
  const playing = store.playing.value;
  useEffect(() => {
    if (!playing) return undefined;
    if (store.stepIndex.peek() >= store.steps.peek().length - 1) store.selectStep(0);
    timer.current = window.setInterval(() => {
      if (store.detailPending.peek()) return;
      const next = store.stepIndex.peek() + 1;
      if (next >= store.steps.peek().length) store.playing.value = false;
      else store.selectStep(next);
    }, 1000 / FRAMES_PER_SECOND);
    return () => clearInterval(timer.current);
  }, [playing, store]);
}
