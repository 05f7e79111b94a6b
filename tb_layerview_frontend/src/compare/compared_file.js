/** What is compared, as files. */

import { tensorTitle } from "../data/matching.js";
import { drawScale, drawTable, withAxes } from "../kit/figure.js";
import { formatCount, formatValue } from "../kit/format.js";
import { marksInWords } from "../picture/paint.js";
import { offsetOf, trueIndex } from "../picture/plan.js";

/** @typedef {import("../kit/core.js").Core} Core */
/** @typedef {import("./comparison.js").Comparison} Comparison */
/** @typedef {import("../kit/TakeAlong.jsx").Panel} Panel */
/** @typedef {ReturnType<typeof import("./use_compared_pictures.js").useComparedPictures>} Compared */

/**
 * A panel of the selected tensor in A and in B: its files and pictures say what is compared with what.
 * @param {Core} core
 * @param {Comparison} comparison
 * @param {string} what is shown
 * @param {{canvases: () => HTMLCanvasElement[], table: Panel["table"], label?: string, lines?: string[]}} content
 * @returns {Panel}
 */
export function comparedFile(core, comparison, what, { canvases, table, label, lines = [] }) {
  const { view } = core;
  const run = core.current.value;
  const tensor = run?.info.tensors[core.tensor.value];
  const title = run && tensor ? tensorTitle(run.info, tensor) : "";
  const steps = [core.step.value ?? 0, comparison.steps.value[comparison.stepIndex.value] ?? 0];
  const [stepA, stepB] = comparison.sameRun.value ? steps.reverse() : steps;
  const [a, b] = [view.run.value, view.against.value];
  const sides = `A: run ${a} at step ${formatCount(stepA)}. B: run ${b} at step ${formatCount(stepB)}.`;
  return {
    label,
    facts: [a, `step-${stepA}`, "and", b, `step-${stepB}`, title, what],
    picture: () => ({
      title: `${title}: ${what} of A and B`,
      lines: [sides, ...lines],
      canvases: canvases(),
    }),
    table,
  };
}

/**
 * The units by how much they change, the most first: index in the whole tensor, rms of B − A.
 * @param {Compared} compared
 * @returns {[number, number][]}
 */
export function rankedUnits({ pictures, unit, changes, ranked }) {
  if (!changes || !ranked) return [];
  const { start, step } = pictures.first.values.axes[unit];
  return Array.from(ranked, (place) => [start + step * place, changes[place]]);
}

/** As many units as a picture of them has. */
const MOST_DRAWN = 64;

/**
 * The pictures, side by side or their difference, with all elements that are shown; with a difference, the units by change.
 * @param {Core} core
 * @param {Comparison} comparison
 * @param {Compared} compared
 * @param {object} drawn
 * @param {number[]} drawn.steps at which the values of A and of B are kept
 * @param {{current: HTMLCanvasElement | null}[]} drawn.canvases
 * @returns {Panel[]}
 */
export function comparedPanels(core, comparison, compared, { steps, canvases }) {
  const { names, unit, isDifference, scale, pictures } = compared;
  const { first, second } = pictures;
  const sides = isDifference ? ["B − A"] : ["A", "B"];
  const kept = `Values of A are those of step ${formatCount(steps[0])}, of B those of step ${formatCount(steps[1])}.`;
  const pictured = comparedFile(core, comparison, isDifference ? "difference" : "pictures", {
    label: isDifference ? "the difference" : undefined,
    lines: [kept, ...(isDifference ? marksInWords(first.marks) : [])],
    canvases: () => [
      withAxes(
        sides.map((name, i) => ({
          canvas: /** @type {HTMLCanvasElement} */ (canvases[i].current),
          bottom: { name, ticks: [] },
        })),
      ),
      drawScale({ scale, palette: first.palette }),
    ],
    table: () => ({
      head: [...names, "A", "B", "B - A"],
      rows: elementRows(compared.a, compared.b, first.shown.offsets, second.shown.offsets),
    }),
  });
  const units = rankedUnits(compared);
  if (!isDifference || !units.length) return [{ ...pictured, label: undefined }];
  const byChange = comparedFile(core, comparison, "units by change", {
    label: `the ${names[unit]}s by change`,
    lines: units.length > MOST_DRAWN ? [`The first ${MOST_DRAWN} of ${units.length}.`] : [],
    canvases: () => [
      drawTable(
        [names[unit], "rms of B − A"],
        units.slice(0, MOST_DRAWN).map(([index, change]) => [String(index), formatValue(change)]),
      ),
    ],
    table: () => ({ head: [names[unit], "rms of B - A"], rows: units }),
  });
  return [pictured, byChange];
}

/**
 * All shown elements of A and of B by their index in the whole tensor; empty where one of them keeps no value there.
 * @param {import("../data/payload.js").Values} a
 * @param {import("../data/payload.js").Values} b
 * @param {Iterable<number>} offsetsA of the shown elements
 * @param {Iterable<number>} offsetsB
 * @returns {Generator<(string | number)[]>}
 */
function* elementRows(a, b, offsetsA, offsetsB) {
  for (const offset of offsetsA) {
    const index = trueIndex(a.axes, offset);
    const at = offsetOf(b.axes, index);
    const own = a.data[offset];
    yield at < 0 ? [...index, own, "", ""] : [...index, own, b.data[at], b.data[at] - own];
  }
  for (const offset of offsetsB) {
    const index = trueIndex(b.axes, offset);
    if (offsetOf(a.axes, index) < 0) yield [...index, "", b.data[offset], ""];
  }
}
