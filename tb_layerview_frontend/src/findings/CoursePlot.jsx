import { useMemo } from "preact/hooks";

import { HoleMark } from "../kit/HoleMark.jsx";
import { WordsTable } from "../kit/WordsTable.jsx";
import { cursorAt, holesIn, indexAt, makeStepAxis, nearestIndex } from "../kit/axis.js";
import { formatCount, formatTicks } from "../kit/format.js";
import { pointIn, useSize } from "../kit/hooks.js";
import { valueTicks, valueToPosition } from "../kit/value_axis.js";
import { StepAxis } from "./StepAxis.jsx";
import { courseAxis, heldRuns, linePath } from "./course_plot.js";
import { formatMeasure, isShare, measureInWords, ruleInWords } from "./words.js";

/** @typedef {import("../data/types.js").Course} Course */
/** @typedef {import("./findings.js").Finding} Finding */

const HEIGHT = 132;

/**
 * What a rule judges over the steps, with what it is held against, where it holds, and the first such step. A click goes to
 * a step.
 * @param {{core: import("../kit/core.js").Core, course: Course, finding: Finding | null}} props
 */
export function CoursePlot({ core, course, finding }) {
  const [ref, { width }] = /** @type {ReturnType<typeof useSize<HTMLDivElement>>} */ (useSize());
  const spacing = core.spacing.value;
  const logged = core.steps.value;
  // Of a long course some steps are left out: what was not logged the run's own steps tell.
  const axis = useMemo(
    () => makeStepAxis(course.steps, spacing, logged, holesIn(logged)),
    [course, spacing, logged],
  );
  const heights = useMemo(() => courseAxis(course, isShare(course.measure)), [course]);
  const severity = finding?.severity ?? "warning";
  const lines = useMemo(
    () =>
      linesOf(course).map((line) => ({
        ...line,
        path: linePath(line.values, axis, heights, { width, height: HEIGHT }),
      })),
    [course, axis, heights, width],
  );
  const ticks = valueTicks(heights, 4);
  const texts = formatTicks(ticks);
  const place = (/** @type {number} */ step) => cursorAt(axis, step, width);
  const now = core.steps.value[core.stepIndex.value] ?? 0;
  const words = inWords(course, finding);
  return (
    <figure class={`lv-course lv-finding-${severity}`} data-testid="course">
      <div class="lv-course-ticks" aria-hidden="true">
        {ticks.map((value, i) => (
          <span key={value} style={{ top: `${100 * (1 - valueToPosition(heights, value))}%` }}>
            {texts[i]}
          </span>
        ))}
      </div>
      <div
        class="lv-course-plot"
        ref={ref}
        role="img"
        aria-label={words}
        style={{ height: `${HEIGHT}px` }}
        onPointerDown={(event) => {
          const step = course.steps[indexAt(axis, pointIn(event).x / width)];
          if (step !== undefined) core.selectStep(nearestIndex(core.steps.value, step));
        }}
      >
        {width > 0 && (
          <Drawing
            course={course}
            axis={axis}
            lines={lines}
            width={width}
            now={place(now)}
            first={finding ? place(finding.first) : null}
          />
        )}
        {finding && width > 0 && (
          <span
            class="lv-course-step"
            data-side={place(finding.first) > width / 2 ? "left" : "right"}
            style={{ left: `${place(finding.first)}px` }}
            aria-hidden="true"
          >
            step {formatCount(finding.first)}
          </span>
        )}
        <StepAxis axis={axis} width={width} />
      </div>
      <figcaption aria-hidden="true">
        {lines.map(({ name, style }) => (
          <span key={name}>
            <svg width="18" height="8">
              <path class={`lv-course-${style}`} d="M0 4H18" />
            </svg>{" "}
            {lineInWords(name)}
          </span>
        ))}
        <span>
          <i class="lv-course-swatch" /> the rule holds
        </span>
        <HoleMark axis={axis} />
        {heights.spacing === "log" && course.values.includes(0) && <span>0 lies at the foot</span>}
      </figcaption>
      <WordsTable
        caption={words}
        testid="course-table"
        head={["step", ...lines.map(({ name }) => lineInWords(name)), "the rule holds"]}
        rows={rowsOf(course, finding, now)}
      />
    </figure>
  );
}

/**
 * @param {object} props
 * @param {Course} props.course
 * @param {import("../kit/axis.js").StepAxis} props.axis
 * @param {{name: string, style: string, path: string}[]} props.lines
 * @param {number} props.width CSS pixels
 * @param {number} props.now where the selected step is, CSS pixels
 * @param {number | null} props.first where the finding begins
 */
function Drawing({ course, axis, lines, width, now, first }) {
  return (
    <svg width={width} height={HEIGHT} aria-hidden="true">
      <defs>
        <pattern
          id="lv-held"
          width="6"
          height="6"
          patternUnits="userSpaceOnUse"
          patternTransform="rotate(45)"
        >
          <path d="M0 0V6" class="lv-course-stripe" />
        </pattern>
        <pattern
          id="lv-hole"
          width="5"
          height="5"
          patternUnits="userSpaceOnUse"
          patternTransform="rotate(-45)"
        >
          <path d="M0 0V5" class="lv-course-hole-stripe" />
        </pattern>
      </defs>
      {axis.holes.map(({ from, to }) => (
        <rect
          key={from}
          class="lv-course-hole"
          fill="url(#lv-hole)"
          x={from * width - (to > from ? 0 : 1)}
          width={Math.max(2, (to - from) * width)}
          height={HEIGHT}
        />
      ))}
      {heldRuns(course.held, axis).map(({ from, to }) => (
        <rect
          key={from}
          class="lv-course-held"
          fill="url(#lv-held)"
          x={from * width}
          width={Math.max(2, (to - from) * width)}
          height={HEIGHT}
        />
      ))}
      {lines.map(({ name, style, path }) => (
        <path key={name} class={`lv-course-${style}`} data-line={name} d={path} />
      ))}
      <path class="lv-course-now" d={`M${now} 0V${HEIGHT}`} />
      {first !== null && (
        <path class="lv-course-first" d={`M${first} 0V${HEIGHT}`} data-testid="course-first" />
      )}
    </svg>
  );
}

/**
 * @param {Course} course
 * @returns {{name: string, style: "own" | "other" | "threshold", values: number[]}[]} what is judged last, over the others
 */
function linesOf({ measure, values, compared }) {
  const others = Object.entries(compared).map(([name, line]) => ({
    name,
    style: /** @type {"other" | "threshold"} */ (name === "threshold" ? name : "other"),
    values: line,
  }));
  return [...others, { name: measure, style: /** @type {const} */ ("own"), values }];
}

/** @param {string} name of a line */
function lineInWords(name) {
  return name === "threshold" ? name : measureInWords(name);
}

/**
 * @param {Course} course
 * @param {Finding | null} finding
 */
function inWords({ measure, values, compared, steps, held }, finding) {
  const at = finding ? nearestIndex(steps, finding.first) : steps.length - 1;
  const value = formatMeasure(measure, values[at]);
  const limit = compared.threshold?.[at];
  const against = limit === undefined ? "" : `, threshold ${formatMeasure(measure, limit)}`;
  const count = held.filter(Boolean).length;
  return (
    `${measureInWords(measure)} over ${formatCount(steps.length)} steps: ${value} at step ${formatCount(steps[at] ?? 0)}${against}. ` +
    `The rule${finding ? ` (${ruleInWords(finding.rule)})` : ""} holds at ${formatCount(count)} of them.`
  );
}

/**
 * The steps that say it: the last one before, the first, the one that is shown, and the last that is logged.
 * @param {Course} course
 * @param {Finding | null} finding
 * @param {number} now
 * @returns {string[][]}
 */
function rowsOf(course, finding, now) {
  const { steps, held, measure } = course;
  const told = [finding?.before, finding?.first, finding?.last, now, steps.at(-1)];
  const known = told.filter((step) => step !== null && step !== undefined);
  const indices = new Set(known.map((step) => nearestIndex(steps, step)).filter((i) => i >= 0));
  return [...indices]
    .sort((a, b) => a - b)
    .map((i) => [
      formatCount(steps[i]),
      ...linesOf(course).map(({ values }) => formatMeasure(measure, values[i])),
      held[i] ? "yes" : "no",
    ]);
}
