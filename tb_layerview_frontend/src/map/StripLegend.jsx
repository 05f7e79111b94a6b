import { useLayoutEffect, useRef, useState } from "preact/hooks";

import { formatCount, formatValue } from "../kit/format.js";

/** How high a line is, in CSS pixels; the style sheet has the same number. */
const LINE = 14;

/**
 * The names of the curves with their values at the selected step. A click draws a curve, or leaves it out again.
 * @param {object} props
 * @param {import("./curves.js").Curve[]} props.curves
 * @param {import("./curves.js").Curve[]} props.drawn
 * @param {number} props.index of the step
 * @param {number} props.step
 * @param {{run: string, problem: string} | null} props.evaluation whose points are drawn
 * @param {(name: string) => void} props.onToggle
 */
export function StripLegend({ curves, drawn: shown, index, step, evaluation, onToggle }) {
  const points = curves.some((curve) => curve.points.length);
  const list = useRef(/** @type {HTMLUListElement | null} */ (null));
  const [below, setBelow] = useState(0);
  const count = () => {
    if (!list.current) return;
    const { scrollHeight, scrollTop, clientHeight } = list.current;
    const lines = Math.round((scrollHeight - scrollTop - clientHeight) / LINE);
    // The line that says it covers one, too.
    setBelow(lines > 0 ? lines + 1 : 0);
  };
  useLayoutEffect(count, [curves.length, points, evaluation?.problem]);
  return (
    <div class="lv-strip-legend">
      <ul ref={list} onScroll={count} aria-label="Curves, with their values at the selected step">
        {curves.map((curve) => {
          const { name, label, colour, dashed, group, values, absent, points: measured } = curve;
          const value = values[index];
          const known = !absent[index] && value !== undefined;
          const near = measured.filter((point) => point.step <= step).at(-1);
          const drawn = shown.includes(curve);
          const words = [
            `${label}${group === name ? "" : `, on the scale of ${group === "share" ? "shares from 0 to 1" : group}`}`,
            near &&
              `${evaluation?.run} at step ${formatCount(near.step)}: ${formatValue(near.value)}`,
            drawn ? "Click to leave it out." : "Click to draw it.",
          ];
          return (
            <li key={name}>
              <button
                type="button"
                data-testid={`curve-${name}`}
                aria-pressed={drawn}
                title={words.filter(Boolean).join("\n")}
                onClick={() => onToggle(name)}
              >
                <i
                  class={dashed ? "lv-dashed" : ""}
                  style={{ "--lv-curve": `var(${colour})` }}
                  aria-hidden="true"
                />
                <span>{label}</span>
                <b class={known && !Number.isFinite(value) ? "lv-bad" : ""}>
                  {known ? formatValue(value) : "–"}
                </b>
              </button>
            </li>
          );
        })}
        {points && (
          <li class="lv-strip-note" title={`The points are those of the run ${evaluation?.run}`}>
            <i class="lv-point" aria-hidden="true" /> {evaluation?.run}
          </li>
        )}
        {evaluation?.problem && (
          <li class="lv-strip-note lv-bad" title={evaluation.problem}>
            {evaluation.run} could not be read
          </li>
        )}
      </ul>
      {below > 0 && (
        <button
          type="button"
          class="lv-strip-more"
          data-testid="more-curves"
          tabIndex={-1}
          aria-hidden="true"
          onClick={() => list.current?.scrollBy({ top: LINE * below })}
        >
          {below} more ▾
        </button>
      )}
    </div>
  );
}
