/** What is drawn of the network, put together from all that is known. */

import { useLayoutEffect, useMemo } from "preact/hooks";

import { byTensor, heads } from "../findings/findings.js";
import { theme } from "../kit/host.js";
import { besides } from "./beside.js";
import { tensorOf } from "./draw_network.js";
import { flowRange } from "./flow.js";
import { entriesOf, hasHeads, lanesIn } from "./lanes.js";
import { layoutOf, sideOf } from "./layout.js";
import { flowAt, verdictsAt } from "./moments.js";
import { MOST_AT_ONCE } from "./pictures_data.js";
import { edgesOf } from "./rail.js";
import { inheritedFrom } from "./verdict.js";

/** @typedef {import("../kit/core.js").Core} Core */
/** @typedef {import("../data/run.js").Run} Run */
/** @typedef {import("./network_data.js").Network} Network */

/** The rule that says when a gradient has vanished. */
const VANISHING = "vanishing_gradient";
const USUAL_RATIO = 1e-6;

/**
 * @param {object} of
 * @param {Core} of.core
 * @param {Network} of.network
 * @param {import("../findings/state.js").Findings} of.findings
 * @param {import("../map/use_comparison.js").Compared} of.comparison
 * @param {Run} of.run
 * @param {{width: number, height: number}} room CSS pixels
 */
export function useScene({ core, network, findings, comparison, run }, { width, height }) {
  const { model, isOpen, isOpenAtFirst } = network;
  const { lanes, parts } = model.value;
  const index = core.stepIndex.value;
  const step = core.step.value;
  const revision = core.revision.value;
  const found = findings.found.value;
  const open = lanes.length ? parts.map((part) => openKey(part, isOpen)).join("\n") : "";
  // Opening a block leaves the others as large as they were.
  const side = useMemo(
    () =>
      sideOf(
        width,
        height,
        entriesOf(parts, isOpenAtFirst, { lane: 1, head: 1, heads: false }).length,
      ),
    [parts, width, height, isOpenAtFirst],
  );
  // The heights do not depend on what the columns share.
  const sizes = useMemo(() => layoutOf(width, side, NO_NEEDS), [width, side]);
  const entries = useMemo(
    () => entriesOf(parts, isOpen, { ...sizes, heads: hasHeads(lanes.length) }),
    [parts, open, sizes],
  );
  const edges = useMemo(() => edgesOf(entries, run.info.layers), [entries, run.info]);
  const judged = useMemo(
    () => ({
      own: byTensor(found.findings),
      inherited: inheritedFrom(run.info),
      causes: new Set(heads(found.findings)),
    }),
    [found, run.info],
  );
  const verdicts = useMemo(
    () => verdictsAt(entries, run, index, judged),
    [entries, index, judged, run, revision],
  );
  const axis = useFlowAxis({ core, run, entries, found });
  const flow = useMemo(
    () => axis && flowAt(entries, run, index, comparison, axis),
    [
      ...[entries, run, index, axis, revision, comparison.revision.value],
      ...[comparison.current.value, comparison.matched.value],
    ],
  );
  const matching = comparison.matching.value;
  const isCompared = comparison.on.value && Boolean(matching?.pairs.length);
  const isBefore = comparison.sameRun.value;
  const needs = {
    levels: Math.max(0, ...edges.map(({ level }) => level)),
    flows: flow !== null,
    ridged: lanes.some(({ tensor }) => tensor >= 0),
    beside: /** @type {-1 | 0 | 1} */ (isCompared ? (isBefore ? -1 : 1) : 0),
  };
  const layout = useMemo(
    () => layoutOf(width, side, needs),
    [width, side, ...Object.values(needs)],
  );
  const inputs = useMemo(
    () => new Set(run.info.layers.flatMap((layer, i) => (layer.inputs.length ? [] : [i]))),
    [run.info],
  );
  const shown = network.shown.value;
  const others = isCompared ? network.others.value : null;
  const beside = useMemo(
    () => besides(shown?.lanes ?? NONE, others?.lanes ?? NONE, matching?.partner ?? NOBODY),
    [shown, others, matching],
  );
  /** @type {import("./draw_network.js").Scene} */
  const scene = {
    layout,
    beside: isCompared
      ? { pictures: beside, shown: others, names: isBefore ? ["B", "A"] : ["A", "B"] }
      : null,
    entries,
    edges,
    verdicts,
    pictures: shown?.lanes ?? NONE,
    ridges: network.ridges.value,
    flow,
    step: step ?? 0,
    inputs,
    theme: theme.value,
  };
  /**
   * The same at another step.
   * @param {number} at index of the step
   * @param {import("./draw_network.js").Scene["pictures"]} pictures
   * @returns {import("./draw_network.js").Scene}
   */
  const sceneAt = (at, pictures) => ({
    ...scene,
    // A film is of the run alone.
    layout: layoutOf(width, side, { ...needs, beside: 0 }),
    beside: null,
    verdicts: verdictsAt(entries, run, at, judged),
    flow: axis && flowAt(entries, run, at, comparison, axis),
    pictures,
    step: run.history.steps[at],
  });
  return { scene, sceneAt };
}

const NO_NEEDS = { levels: 0, flows: false, ridged: false };
/** @type {Map<number, import("../data/framed.js").Thumbnails>} */
const NONE = new Map();
const NOBODY = new Int32Array();

/**
 * Which blocks are open, in a text.
 * @param {import("./lanes.js").Lane | import("./lanes.js").Block} part
 * @param {Network["isOpen"]} isOpen
 * @returns {string}
 */
function openKey(part, isOpen) {
  if (!("parts" in part)) return "";
  return isOpen(part) ? `(${part.parts.map((inner) => openKey(inner, isOpen)).join("")})` : "-";
}

/**
 * The axis of the gradient flow, which all steps share.
 * @param {{core: Core, run: Run, entries: import("./lanes.js").Entry[], found: {findings: import("../data/types.js").Finding[], rules: import("../data/types.js").Rule[]}}} of
 * @returns {{range: [number, number], ratio: number} | null} null where there are no gradients
 */
function useFlowAxis({ core, run, entries, found }) {
  const revision = core.revision.value;
  const healthy = core.healthy.value;
  const gradients = run.columns.get("gradient");
  const updates = run.columns.get("update");
  const isKnown = gradients?.has("rms") ?? false;
  const ratio = found.rules.find(({ name }) => name === VANISHING)?.thresholds.ratio ?? USUAL_RATIO;
  return useMemo(() => {
    if (!isKnown) return null;
    const lanes = entries.flatMap(({ part, open }) => (open ? [] : lanesIn(part)));
    const columns = [gradients, updates].flatMap((own) =>
      own?.has("rms")
        ? own.of(
            "rms",
            lanes.flatMap(({ gradient, update }) => [gradient, update]),
          )
        : [],
    );
    return { range: flowRange(columns, healthy), ratio };
  }, [gradients, updates, entries, healthy, isKnown, ratio, revision]);
}

/**
 * Asks for the pictures of what is seen: of a model with few lanes of all of them, of others of those around.
 * @param {Network} network
 * @param {import("./lanes.js").Entry[]} entries
 * @param {{top: number, height: number}} seen CSS pixels
 */
export function useWanted({ wanted }, entries, { top, height }) {
  const tensors = useMemo(() => {
    const all = entries.filter(({ open }) => !open);
    const near = all.filter(
      (entry) => entry.top + entry.height > top - height && entry.top < top + 2 * height,
    );
    const some = all.length > MOST_AT_ONCE ? near : all;
    return [...new Set(some.map(tensorOf))].filter((tensor) => tensor >= 0);
  }, [entries, Math.floor(top / 200), height]);
  useLayoutEffect(() => {
    if (tensors.join() !== wanted.value.join()) wanted.value = tensors;
  }, [tensors]);
}
