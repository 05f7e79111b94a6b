import { useMemo } from "preact/hooks";

import { HatchedMark } from "../kit/ColourBar.jsx";
import { WordsTable } from "../kit/WordsTable.jsx";
import { TROUBLE } from "../kit/colour.js";
import { formatCount, formatShare, formatTicks, formatValue } from "../kit/format.js";
import { cssVariable, pointIn, useCanvas } from "../kit/hooks.js";
import { theme } from "../kit/host.js";
import { positionToValue, valueTicks, valueToPosition } from "../kit/value_axis.js";
import { HistoryTip, MOST_TOLD } from "./DistributionHistory.jsx";
import { drawRidges } from "./draw_ridges.js";
import { beyondAxis, chooseRidges, highestShare, layOutRidges, placeOf, ridgeOf, ridgeUnder } from "./ridges.js"; // prettier-ignore
import { spread, TOLD, toldQuantiles } from "./words.js";

/** @typedef {import("../data/payload.js").Histogram} Histogram */
/** @typedef {import("../kit/value_axis.js").ValueAxis} ValueAxis */
/** @typedef {import("./pointing.js").Pointed} Pointed */
/** @typedef {import("./ridges.js").Ridge} Ridge */

/** Room for the steps' numbers, for the spikes of exact zeros, and below for ticks, the axis' name and the key. */
const [NUMBERS, SPIKES, BELOW] = [54, 40, 66];
/** What a spike's number needs, and how near two step numbers may stand. */
const LINE = 13;
/** How near to a single value, in pixels, is at it. */
const SLACK = 3;

/** @typedef {ReturnType<typeof makeRidges>} Ridges */

/**
 * What is drawn of a tensor's distribution, whatever the size: which steps, and the ridge of each.
 * @param {object} of
 * @param {number[]} of.kept indices of the steps of which something is known
 * @param {(Histogram | null)[]} of.bySteps
 * @param {Float32Array | null} of.broken the share of non-finite elements by step
 * @param {ValueAxis} of.axis
 * @param {number} of.pieces of the axis
 */
export function makeRidges({ kept, bySteps, broken, axis, pieces }) {
  const indices = chooseRidges(kept.length).map((at) => kept[at]);
  const ridgeAt = (/** @type {number} */ index) => {
    const histogram = bySteps[index];
    return histogram?.total ? ridgeOf(histogram, axis, pieces) : null;
  };
  const ridges = indices.map(ridgeAt);
  const known = ridges.flatMap((ridge) => ridge ?? []);
  return {
    indices,
    ridges,
    ridgeAt,
    most: highestShare(known),
    beyond: beyondAxis(known),
    hasZeros: known.some(({ zeros }) => zeros > 0),
    broken: indices.map((index) => (broken?.[index] ?? 0) > 0),
  };
}

/**
 * Where things lie across, CSS pixels: the spikes of exact zeros stand on the side where 0 is.
 * @param {boolean} hasZeros
 * @param {ValueAxis} axis
 * @param {number} width
 */
export function acrossOf(hasZeros, axis, width) {
  if (!hasZeros) return { left: 0, right: width, zeros: null };
  return valueToPosition(axis, 0) > 0.5
    ? { left: 0, right: width - SPIKES, zeros: width - SPIKES / 2 }
    : { left: SPIKES, right: width, zeros: SPIKES / 2 };
}

/**
 * What `drawRidges` needs, in pixels of a canvas.
 * @param {Ridges} made
 * @param {ValueAxis} axis
 * @param {{width: number, height: number, ratio: number}} size CSS pixels, and device pixels to each
 * @returns {import("./draw_ridges.js").RidgeScene}
 */
export function ridgeScene(made, axis, { width, height, ratio }) {
  const { left, right, zeros } = acrossOf(made.hasZeros, axis, width);
  const at = valueToPosition(axis, 0);
  const line = 2;
  return {
    ridges: made.ridges,
    broken: made.broken,
    layout: layOutRidges(made.ridges.length, (height - line) * ratio),
    most: made.most,
    left: (left + line) * ratio,
    right: (right - line) * ratio,
    zeros: zeros === null ? null : zeros * ratio,
    zero: at > 0.01 && at < 0.99 ? (left + line + at * (right - left - 2 * line)) * ratio : null,
    ratio,
    theme: theme.value,
    colours: {
      surface: cssVariable("--lv-surface"),
      text: cssVariable("--lv-text"),
      faint: cssVariable("--lv-faint"),
      chosen: cssVariable("--lv-accent"),
      nan: TROUBLE[theme.value].nan,
    },
  };
}

/**
 * A ridge that stands out among those that are drawn, whether or not it is one of them.
 * @param {Ridges} made
 * @param {number} index of the step; -1 for none
 */
function standing(made, index) {
  return index < 0 ? null : { place: placeOf(made.indices, index), ridge: made.ridgeAt(index) };
}

/**
 * The ridge of the chosen step, and at its foot, to be compared with it, that of the pinned one.
 * @param {Ridges} made
 * @param {number} index
 * @param {number} ghostIndex -1 for none
 */
export function chosenAndGhost(made, index, ghostIndex) {
  const chosen = standing(made, index);
  const other = ghostIndex === index ? null : standing(made, ghostIndex);
  return { chosen, ghost: chosen && other && { ...other, place: chosen.place } };
}

/**
 * The distribution at some steps, one ridge above the other: value across, the first step at the back, the last in front.
 * @param {object} props
 * @param {import("../kit/core.js").Core} props.core
 * @param {number[]} props.steps all that are logged
 * @param {number[]} props.kept indices of those of which something is known
 * @param {(Histogram | null)[]} props.bySteps
 * @param {Float32Array | null} props.broken the share of non-finite elements by step
 * @param {ValueAxis} props.axis
 * @param {number} props.ghostIndex of the pinned step; -1 for none
 * @param {number} props.width
 * @param {number} props.height
 * @param {Pointed | null} props.pointed
 * @param {(at: Pointed | null) => void} props.onPoint
 */
export function RidgesView(props) {
  const { core, steps, kept, bySteps, broken, axis, ghostIndex, height, pointed, onPoint } = props;
  const width = Math.max(0, props.width - NUMBERS);
  const down = Math.max(0, height - BELOW);
  const pieces = Math.max(24, Math.min(120, Math.floor(width / 4)));
  const made = useMemo(
    () => makeRidges({ kept, bySteps, broken, axis, pieces }),
    [kept, bySteps, broken, axis, pieces],
  );
  const index = core.stepIndex.value;
  const over = pointed?.index ?? null;
  const outstanding = {
    ...chosenAndGhost(made, index, ghostIndex),
    pointed: over === null || over === index ? null : standing(made, over),
  };
  const canvas = useCanvas(
    width,
    down,
    (context, ratio) =>
      drawRidges(context, ridgeScene(made, axis, { width, height: down, ratio }), outstanding),
    [made, axis, index, ghostIndex, over, theme.value],
  );
  const { left, right } = acrossOf(made.hasZeros, axis, width);
  const layout = layOutRidges(made.ridges.length, down - 2);
  /** @param {PointerEvent} event @returns {Pointed} */
  const locate = (event) => {
    const { x, y } = pointIn(event);
    const at = (x - left) / Math.max(1, right - left);
    const empty = { shares: new Float64Array(1), zeros: 0, below: 0, above: 0 };
    const ridges = made.ridges.map((ridge) => ridge ?? empty);
    const place = ridgeUnder(layout, ridges, made.most, at, y);
    const value = (/** @type {number} */ shift) =>
      positionToValue(axis, Math.max(0, Math.min(1, at + shift / Math.max(1, right - left))));
    // Over the spikes of zeros that is what one points at.
    const inSpikes = x < left || x > right;
    return {
      index: made.indices[place],
      value: inSpikes ? 0 : value(0),
      slack: inSpikes ? 0 : Math.abs(value(SLACK) - value(-SLACK)) / 2,
    };
  };
  const xOf = (/** @type {number} */ value) =>
    left + Math.max(0, Math.min(1, valueToPosition(axis, value))) * (right - left);
  return (
    <>
      <StepNumbers made={made} steps={steps} layout={layout} chosen={index} over={over} />
      <div class="lv-heat" style={{ width: `${width}px` }}>
        <div
          class="lv-ridges"
          data-testid="ridges"
          data-step={steps[index]}
          data-foot={outstanding.chosen && Math.round(layout.foot(outstanding.chosen.place))}
          role="img"
          aria-label="Distribution of the values, a ridge for each of some steps, the first at the back. A table follows."
          style={{ width: `${width}px`, height: `${down}px` }}
          onPointerDown={(event) => {
            event.currentTarget.setPointerCapture(event.pointerId);
            core.selectStep(locate(event).index ?? 0);
          }}
          onPointerMove={(event) => {
            const found = locate(event);
            onPoint(found);
            if (event.buttons & 1) core.selectStep(found.index ?? 0);
          }}
          onPointerLeave={() => onPoint(null)}
        >
          <canvas ref={canvas} data-chart="ridges" />
          {pointed && <i class="lv-value-upright" style={{ left: `${xOf(pointed.value)}px` }} />}
          {pointed && over !== null && (
            <HistoryTip
              pointed={pointed}
              step={steps[over]}
              histogram={bySteps[over] ?? null}
              bands={null}
              x={xOf(pointed.value)}
              y={layout.foot(placeOf(made.indices, over)) - layout.rise / 2}
              width={width}
              height={down}
            />
          )}
        </div>
        <ValuesBelow axis={axis} left={left} right={right} width={width} zeros={made.hasZeros} />
        <Key made={made} steps={steps} kept={kept.length} ghostIndex={ghostIndex} index={index} />
      </div>
      <WordsTable
        testid="distribution-table"
        caption={`Quantiles at ${kept.length > MOST_TOLD ? `${MOST_TOLD} of ` : ""}${kept.length} steps`}
        head={["step", ...TOLD.map(([name]) => name)]}
        rows={spread(kept, MOST_TOLD).map((at) => {
          const histogram = bySteps[at];
          const told = histogram ? toldQuantiles(histogram) : TOLD.map(() => NaN);
          return [formatCount(steps[at]), ...told.map(formatValue)];
        })}
      />
    </>
  );
}

/**
 * The numbers of the first, the last, the chosen and the pointed step, at the feet of their ridges.
 * @param {object} props
 * @param {Ridges} props.made
 * @param {number[]} props.steps
 * @param {import("./ridges.js").RidgeLayout} props.layout
 * @param {number} props.chosen
 * @param {number | null} props.over
 */
function StepNumbers({ made, steps, layout, chosen, over }) {
  const { indices } = made;
  const found = [
    { index: chosen, role: "chosen" },
    ...(over === null || over === chosen ? [] : [{ index: over, role: "pointed" }]),
    { index: indices[0], role: "end" },
    { index: indices[indices.length - 1], role: "end" },
  ].map((one) => ({ ...one, y: layout.foot(placeOf(indices, one.index)) }));
  const shown = found.filter(({ y }, i) =>
    found.slice(0, i).every((other) => Math.abs(other.y - y) >= LINE),
  );
  return (
    <div class="lv-ridge-steps" aria-hidden="true" style={{ width: `${NUMBERS}px` }}>
      <b>step</b>
      {shown.map(({ index, role, y }) => (
        <span key={index} data-role={role} style={{ top: `${y}px` }}>
          {formatCount(steps[index])}
        </span>
      ))}
    </div>
  );
}

/** @param {{axis: ValueAxis, left: number, right: number, width: number, zeros: boolean}} props */
function ValuesBelow({ axis, left, right, width, zeros }) {
  const ticks = valueTicks(axis, Math.max(2, Math.floor((right - left) / 64)));
  const texts = formatTicks(ticks, formatValue);
  return (
    <div class="lv-chart-axis" aria-hidden="true">
      {ticks.map((value, i) => {
        const x = left + valueToPosition(axis, value) * (right - left);
        const edge = x < left + 14 ? "start" : x > right - 14 ? "end" : "";
        return (
          <span key={value} style={{ left: `${x}px` }} data-edge={edge}>
            {texts[i]}
          </span>
        );
      })}
      {zeros && (
        <em style={left > 0 ? { left: 0 } : { left: `${width - SPIKES}px` }}>
          exactly
          <br />0
        </em>
      )}
      <b style={{ left: `${left}px`, right: `${width - right}px` }}>value</b>
    </div>
  );
}

/** @param {{made: Ridges, steps: number[], kept: number, ghostIndex: number, index: number}} props */
function Key({ made, steps, kept, ghostIndex, index }) {
  const { mean, most, place } = made.beyond;
  const chosen = made.ridgeAt(index);
  const beyond = chosen ? chosen.below + chosen.above : 0;
  const known = made.indices.filter((at) => made.ridgeAt(at));
  return (
    <p class="lv-chart-key">
      <span data-testid="chosen-ridge">
        <i class="lv-key-ridge" data-role="chosen" />
        step {formatCount(steps[index] ?? 0)}
        {chosen && chosen.zeros > 0 && `, ${formatShare(chosen.zeros)} exactly 0`}
        {beyond > 0.0005 && `, ${formatShare(beyond)} beyond`}
      </span>
      {ghostIndex >= 0 && ghostIndex !== index && (
        <span data-testid="ghost-step">
          <i class="lv-key-ridge" data-role="ghost" />
          step {formatCount(steps[ghostIndex])}
        </span>
      )}
      {mean > 0 && (
        <span
          data-testid="ridges-beyond"
          title={`The axis reaches over the 0.5th to 99.5th percentile of all healthy steps. At step ${formatCount(steps[known[place]])} most lies beyond it: ${formatShare(most)}.`}
        >
          {formatShare(mean)} beyond the axis
        </span>
      )}
      {made.broken.some(Boolean) && <HatchedMark />}
      {kept > made.indices.length && (
        <span>
          {formatCount(made.indices.length)} of {formatCount(kept)} steps
        </span>
      )}
      {kept <= made.indices.length && kept < steps.length && (
        <span>
          kept at {formatCount(kept)} of {formatCount(steps.length)} steps
        </span>
      )}
    </p>
  );
}
