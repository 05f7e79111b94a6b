import { nearestIndex } from "./axis.js";
import { formatCount } from "./format.js";

/**
 * A step, to be read and to be typed: the nearest one that is logged is taken.
 * @param {object} props
 * @param {string} props.caption
 * @param {string} props.label for who does not see what it belongs to
 * @param {string} props.testId
 * @param {number[]} props.steps all that are logged
 * @param {() => number} props.index reads signals: which of them is shown
 * @param {(index: number) => void} props.onIndex
 */
export function StepField({ caption, label, testId, steps, index, onIndex }) {
  const shown = () => {
    const step = steps[index()];
    return step === undefined ? "" : formatCount(step);
  };
  return (
    <label class="lv-step-number">
      <span class="lv-caption">{caption}</span>
      <input
        data-testid={testId}
        type="text"
        inputMode="numeric"
        aria-label={label}
        disabled={!steps.length}
        value={shown()}
        onFocus={(event) => event.currentTarget.select()}
        onChange={(event) => {
          const typed = event.currentTarget.value;
          const wanted = Number(typed.replace(/[^\d-]/g, ""));
          if (typed.trim() && Number.isFinite(wanted)) onIndex(nearestIndex(steps, wanted));
          // Back to the step that is shown, whatever was typed.
          event.currentTarget.value = shown();
        }}
      />
    </label>
  );
}
