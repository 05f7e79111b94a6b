import { useEffect, useMemo } from "preact/hooks";

import { isWithFirstStep, toggleFirstStep } from "../compare/comparison.js";
import { heads } from "../findings/findings.js";
import { marksOf } from "../findings/marks.js";
import { SIGNS } from "../findings/words.js";
import { StepField } from "../kit/StepField.jsx";
import { nearestIndex } from "../kit/axis.js";
import { formatCount, formatSeconds } from "../kit/format.js";
import { useWide } from "./PanelTabs.jsx";

/** @typedef {import("../kit/core.js").Core} Core */
/** @typedef {import("../findings/findings.js").Finding} Finding */
/** @typedef {import("../findings/state.js").Findings} Findings */

const FRAMES_PER_SECOND = 8;
const LESS_MOTION = "(prefers-reduced-motion: reduce)";
/** Marks on the slider that lie nearer than this share of it are one. */
const LEAST_MARK_DISTANCE = 0.02;

/**
 * The step that everything below shows, and the ways to another one.
 * @param {{core: Core, findings: Findings, comparison: import("../compare/comparison.js").Comparison, network: import("../network/network_data.js").Network}} props
 */
export function StepBar({ core, findings, comparison, network }) {
  const { view, steps, stepIndex, playing } = core;
  usePlay(core, () => core.selected.detailPending.peek() || network.pending.peek());
  const count = steps.value.length;
  const index = stepIndex.value;
  return (
    <div class="lv-steps" role="group" aria-label="Step">
      <StepButton
        label="First step (Home)"
        path="M18.4 16.6 13.8 12l4.6-4.6L17 6l-6 6 6 6zM6 6h2v12H6z"
        disabled={index <= 0}
        onClick={() => core.selectStep(0)}
      />
      <StepButton
        label="Previous step (←)"
        path="M15.4 7.4 14 6l-6 6 6 6 1.4-1.4L10.8 12z"
        disabled={index <= 0}
        onClick={() => core.selectStep(index - 1)}
      />
      <StepButton
        testid="play"
        label={playLabel(playing.value)}
        path={playing.value ? "M6 19h4V5H6v14zm8-14v14h4V5h-4z" : "M8 5v14l11-7z"}
        disabled={count < 2}
        onClick={() => {
          playing.value = !playing.value;
        }}
      />
      <StepButton
        label="Next step (→)"
        path="M10 6 8.6 7.4l4.6 4.6-4.6 4.6L10 18l6-6z"
        disabled={index >= count - 1}
        onClick={() => core.selectStep(index + 1)}
      />
      <StepButton
        label="Last step (End)"
        path="M5.6 7.4 10.2 12l-4.6 4.6L7 18l6-6-6-6zM16 6h2v12h-2z"
        disabled={index >= count - 1}
        onClick={() => core.selectStep(count - 1)}
      />
      <StepField
        caption="Step"
        label="Step number; the nearest logged one is taken"
        testId="step-number"
        steps={steps.value}
        index={() => stepIndex.value}
        onIndex={core.selectStep}
      />
      <FirstStep core={core} comparison={comparison} disabled={count < 2} />
      {/* The network has a line of its own below it, with the only cursor. */}
      {core.onNetwork.value ? (
        <span class="lv-no-slider" />
      ) : (
        <Slider core={core} found={findings.found.value.findings} />
      )}
      <WallTime core={core} />
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
            if (view.follow.value) core.selectStep(count - 1);
          }}
        />
        Follow
      </label>
    </div>
  );
}

/** @param {{core: Core, comparison: import("../compare/comparison.js").Comparison, disabled: boolean}} props */
function FirstStep({ core, comparison, disabled }) {
  return (
    <button
      type="button"
      class="lv-button lv-first-step"
      data-testid="compare-first"
      aria-label="Compare with the first step"
      aria-keyshortcuts="f"
      aria-pressed={isWithFirstStep(comparison)}
      title="Compare this step with the first one that is logged (f)"
      disabled={disabled}
      onClick={() => toggleFirstStep(comparison, core.view.run.value)}
    >
      ⟷<span> first step</span>
    </button>
  );
}

/** @param {boolean} playing */
function playLabel(playing) {
  if (playing) return "Pause (space)";
  return window.matchMedia(LESS_MOTION).matches
    ? "Play one step (space): your system asks for less motion, so it does not run by itself"
    : "Play through the steps (space)";
}

/** @param {{core: Core, found: Finding[]}} props */
function Slider({ core, found }) {
  const { steps, stepIndex } = core;
  const last = steps.value.length - 1;
  const index = stepIndex.value;
  const step = steps.value[index];
  const marks = useMemo(
    () =>
      marksOf(
        heads(found),
        (at) => nearestIndex(steps.value, at) / Math.max(1, last),
        LEAST_MARK_DISTANCE,
      ),
    [found, steps.value],
  );
  return (
    <span class="lv-slider-place">
      <input
        data-testid="step-slider"
        class="lv-slider"
        type="range"
        min={0}
        max={Math.max(0, last)}
        value={Math.max(0, index)}
        disabled={last < 1}
        aria-label="Step"
        aria-valuetext={step === undefined ? "no step" : `step ${step}`}
        style={{ "--lv-filled": `${last > 0 ? (100 * index) / last : 0}%` }}
        onInput={(event) => core.selectStep(Number(event.currentTarget.value))}
      />
      {marks.map(({ at, severity }) => (
        <i
          key={at}
          class={`lv-slider-mark lv-finding-${severity}`}
          data-testid="slider-mark"
          data-severity={severity}
          style={{ "--lv-at": at }}
          aria-hidden="true"
        >
          {SIGNS[severity]}
        </i>
      ))}
    </span>
  );
}

const time = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const date = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/**
 * Which of the logged steps it is, and when it was.
 * @param {{core: Core}} props
 */
function WallTime({ core }) {
  const count = core.steps.value.length;
  const index = core.stepIndex.value;
  const times = core.current.value?.history.wall_times;
  if (!times || index < 0 || !count) return <span class="lv-step-of" />;
  const at = new Date(1000 * times[index]);
  const since = formatSeconds(times[index] - times[0]);
  return (
    <span
      class="lv-step-of"
      data-testid="wall-time"
      title={`Step ${formatCount(index + 1)} of the ${formatCount(count)} that are logged.\nLogged on ${date.format(at)}, ${since} after the first one.`}
    >
      <span>
        {formatCount(index + 1)} of {formatCount(count)}
      </span>
      <time dateTime={at.toISOString()}>
        {time.format(at)} · +{since}
      </time>
    </span>
  );
}

/**
 * @param {object} props
 * @param {string} props.label with its key
 * @param {string} props.path of the icon
 * @param {boolean} props.disabled
 * @param {() => void} props.onClick
 * @param {string} [props.testid]
 */
function StepButton({ label, path, disabled, onClick, testid }) {
  return (
    <button
      type="button"
      class="lv-icon-button"
      data-testid={testid}
      aria-label={label.replace(/ \(.*/, "")}
      title={label}
      disabled={disabled}
      onClick={onClick}
    >
      <svg viewBox="0 0 24 24" width="20" height="20" aria-hidden="true">
        <path d={path} fill="currentColor" />
      </svg>
    </button>
  );
}

/**
 * Walks through the steps while playing, never faster than pictures arrive. Where a picture is looked at these are the
 * steps that keep values: at the others it would stand still.
 * @param {Core} core
 * @param {() => boolean} isPending whether pictures are under way
 */
function usePlay(core, isPending) {
  const playing = core.playing.value;
  const wide = useWide();
  useEffect(() => {
    if (!playing) return undefined;
    let asking = false;
    let ended = false;
    /** @param {number | null} to @param {boolean} [anew] */
    const go = (to, anew = false) => {
      if (ended) return;
      if (to !== null) core.selectStep(to);
      else if (anew) core.selectStep(0);
      else core.playing.value = false;
    };
    /** @param {boolean} [anew] whether to begin at the first step where there is no next one */
    const walk = async (anew) => {
      if (asking || isPending()) return;
      asking = true;
      try {
        go(await nextStep(core, wide), anew);
      } catch {
        // The server is gone, and the page says so.
        go(null);
      } finally {
        asking = false;
      }
    };
    // Who has asked the system for less motion walks by hand: each press is one step.
    if (window.matchMedia(LESS_MOTION).matches) {
      void nextStep(core, wide)
        .then((to) => go(to, true))
        .catch(() => go(null)) // the server is gone, and the page says so
        .finally(() => {
          if (!ended) core.playing.value = false;
        });
      return () => {
        ended = true;
      };
    }
    void walk(true);
    const timer = window.setInterval(() => void walk(), 1000 / FRAMES_PER_SECOND);
    return () => {
      ended = true;
      clearInterval(timer);
    };
  }, [playing, core, wide]);
}

/**
 * Index of the step that is played after the selected one; null after the last.
 * @param {Core} core
 * @param {boolean} wide whether the picture is shown beside every panel
 */
async function nextStep(core, wide) {
  const index = core.stepIndex.peek();
  const detail = core.selected.detail.peek();
  const isShown = !core.onNetwork.peek() || core.view.detail.peek();
  const hasPicture = isShown && detail.status === "ready" && detail.value.values !== null;
  if (hasPicture && (wide || core.view.panel.peek() === "picture")) {
    return core.selected.keptOf(core.tensor.peek()).after(index);
  }
  return index + 1 < core.steps.peek().length ? index + 1 : null;
}
