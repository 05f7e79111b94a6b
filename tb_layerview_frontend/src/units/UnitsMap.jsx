import { useMemo, useState } from "preact/hooks";

import { BeyondMark, ColourBar } from "../kit/ColourBar.jsx";
import { HoleMark } from "../kit/HoleMark.jsx";
import { StepTicks } from "../kit/Ticks.jsx";
import { WordsTable } from "../kit/WordsTable.jsx";
import { cursorAt, indexAt, makeStepAxis } from "../kit/axis.js";
import { formatCount, formatExact, formatShare, formatValue } from "../kit/format.js";
import { pointIn, useSize } from "../kit/hooks.js";
import { largestBeyond } from "../kit/scale_range.js";
import { silenceInWords, unitScale } from "./units.js";
import { LABEL_HEIGHT, labelled } from "./units_figure.js";
import { useUnitsCanvas } from "./use_units_canvas.js";

/** @typedef {import("./units.js").UnitsShown} UnitsShown */

const MOST_TOLD = 256;
const BELOW = 34;

/**
 * Units × steps.
 * @param {{core: import("../kit/core.js").Core, shown: UnitsShown}} props
 */
export function UnitsMap({ core, shown }) {
  const [ref, size] = /** @type {ReturnType<typeof useSize<HTMLDivElement>>} */ (useSize());
  const [hover, setHover] = useState(
    /** @type {{x: number, y: number, row: number, position: number} | null} */ (null),
  );
  const { column, statistic, steps, rows, unit } = shown;
  const spacing = core.spacing.value;
  const logged = core.steps.value;
  const axis = useMemo(() => makeStepAxis(steps, spacing, logged), [steps, spacing, logged]);
  const width = Math.max(0, size.width - 54);
  const height = Math.max(0, size.height - BELOW);
  const healthy = core.healthy.value;
  const scale = useMemo(
    () => unitScale(column, statistic.scale, healthy, healthy < logged.length),
    [column, statistic, healthy, healthy < logged.length],
  );
  const canvas = useUnitsCanvas(shown, axis, scale, width, height);
  const chosen = core.view.unit.value;
  const chosenRow = chosen === null ? -1 : rows.indexOf(chosen);
  const count = column.units;

  /** @param {PointerEvent | MouseEvent} event */
  const locate = (event) => {
    const { x, y } = pointIn(event);
    const row = Math.min(count - 1, Math.max(0, Math.floor((y / height) * count)));
    return { x, y, row, position: indexAt(axis, x / width) };
  };
  /** @param {KeyboardEvent} event */
  const walk = (event) => {
    const to = {
      ArrowUp: Math.max(0, chosenRow - 1),
      ArrowDown: Math.min(count - 1, chosenRow + 1),
    }[event.key];
    if (event.key === "Escape") core.view.unit.value = null;
    if (to === undefined) return;
    // Up and down walk through the units; left and right are steps, here as everywhere.
    event.preventDefault();
    event.stopPropagation();
    core.view.unit.value = rows[to];
  };
  return (
    <>
      <div class="lv-units-map" ref={ref}>
        {width > 0 && height > 0 && (
          <>
            <RowLabels rows={rows} height={height} unit={unit} />
            <div>
              <div
                class="lv-heat-canvas"
                data-testid="units-map"
                role="img"
                tabIndex={0}
                aria-label={`${statistic.label} of ${count} ${unit}s over ${steps.length} steps. With the up and down keys you choose a ${unit}. A table follows.`}
                style={{ width: `${width}px`, height: `${height}px` }}
                onPointerMove={(event) => setHover(locate(event))}
                onPointerLeave={() => setHover(null)}
                onClick={(event) => {
                  const { row, position } = locate(event);
                  core.view.unit.value = rows[row];
                  core.selectStep(column.indices[position]);
                }}
                onKeyDown={walk}
              >
                <canvas ref={canvas} data-chart="units" data-testid="units" />
                <i class="lv-now" style={{ left: `${cursorAt(axis, core.step.value, width)}px` }} />
                {chosenRow >= 0 && (
                  <i
                    class="lv-unit-chosen"
                    style={{
                      top: `${(chosenRow / count) * height}px`,
                      height: `${Math.max(3, height / count)}px`,
                    }}
                  />
                )}
                {hover && <UnitTip shown={shown} at={hover} width={width} height={height} />}
              </div>
              <StepTicks axis={axis} width={width} />
            </div>
          </>
        )}
      </div>
      <Legend
        shown={shown}
        scale={scale}
        partly={count > height}
        axis={axis}
        what={steps.length < logged.length ? "kept" : "logged"}
      />
      <UnitsTable shown={shown} />
    </>
  );
}

/**
 * @param {object} props
 * @param {UnitsShown} props.shown
 * @param {import("../kit/colour.js").ColourScale} props.scale
 * @param {boolean} props.partly whether a pixel may show several units
 * @param {import("../kit/axis.js").StepAxis} props.axis
 * @param {string} props.what steps are not, where the axis has holes
 */
function Legend({ shown: { column, statistic, unit, broken, silent }, scale, partly, axis, what }) {
  const beyond = useMemo(
    () => largestBeyond(column.values, scale.over ?? Infinity),
    [column, scale],
  );
  const whose = beyond ? column.values.indexOf(beyond) % column.units : 0;
  return (
    <div class="lv-units-legend">
      <ColourBar
        scale={scale}
        label={statistic.label}
        format={statistic.scale === "share" ? formatShare : formatValue}
        hatched={broken}
      >
        <BeyondMark value={beyond} of={`${unit} ${whose}`} />
      </ColourBar>
      <span class="lv-mark">
        <i class="lv-swatch lv-swatch-silent" />
        {silent.short}
      </span>
      {partly && (
        <span class="lv-mark">
          <i class="lv-swatch lv-swatch-partly" />
          partly
        </span>
      )}
      <HoleMark axis={axis} what={what} />
    </div>
  );
}

/** The map at the selected step, for those who do not see it. @param {{shown: UnitsShown}} props */
function UnitsTable({ shown: { column, statistic, steps, at, rows, silence, silent, unit } }) {
  const count = column.units;
  const told = Array.from(rows.subarray(0, MOST_TOLD));
  return (
    <WordsTable
      testid="units-table"
      caption={`${statistic.label} of each ${unit} at step ${formatCount(steps[at])}${count > MOST_TOLD ? `: the first ${MOST_TOLD} of ${count} as sorted` : ""}`}
      head={[unit, statistic.label, "silence"]}
      rows={told.map((one) => [
        one,
        showValue(column.values[at * count + one], statistic.scale),
        silenceInWords(silence[one], steps, silent.long),
      ])}
    />
  );
}

/**
 * @param {number} value
 * @param {"size" | "signed" | "share"} scale
 */
function showValue(value, scale) {
  return scale === "share" ? formatShare(value) : formatExact(value);
}

/** @param {{rows: Uint32Array, height: number, unit: string}} props */
function RowLabels({ rows, height, unit }) {
  return (
    <div class="lv-value-ticks" aria-hidden="true" style={{ height: `${height}px` }}>
      <b data-below style={{ top: `${height + 17}px` }}>
        {unit}
      </b>
      {labelled(rows, height).map(({ row, at }) => (
        <span key={row} style={{ top: `${Math.max(LABEL_HEIGHT / 2, at * height)}px` }}>
          {rows[row]}
        </span>
      ))}
    </div>
  );
}

/**
 * What the pointer is at.
 * @param {{shown: UnitsShown, at: {x: number, y: number, row: number, position: number}, width: number, height: number}} props
 */
function UnitTip({ shown, at: { x, y, row, position }, width, height }) {
  const { column, peaks, statistic, steps, rows, silence, silent, unit } = shown;
  const own = rows[row];
  const place = position * column.units + own;
  return (
    <div
      class="lv-tooltip lv-tooltip-wide"
      role="tooltip"
      data-testid="units-tip"
      data-side={x > width / 2 ? "left" : "right"}
      style={{ left: `${x}px`, top: `${Math.max(0, Math.min(y, height - 60))}px` }}
    >
      <div class="lv-tooltip-title">
        {unit} {own} · step {formatCount(steps[position])}
      </div>
      <div>
        {statistic.label} {showValue(column.values[place], statistic.scale)}
        {peaks[place] === 0 && `, ${silent.short}`}
      </div>
      <div>{silenceInWords(silence[own], steps, silent.long)}</div>
    </div>
  );
}
