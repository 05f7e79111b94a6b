/** The findings' part of the state: what is found, what is told of it, and the ways to where it shows. */

import { batch } from "@preact/signals";

import { nearestIndex } from "../kit/axis.js";
import { createBrokenBatch } from "./broken_batch.js";
import { createCourse } from "./course.js";
import { heads, keyOf, nextFinding } from "./findings.js";
import { createFound } from "./found.js";

/** @typedef {import("./findings.js").Finding} Finding */

/** @typedef {ReturnType<typeof createFindings>} Findings */

/**
 * @param {import("../kit/core.js").Core} core
 * @param {import("../data/tasks.js").Asks} asks
 */
export function createFindings(core, asks) {
  const { view, current, kinds, roomForMaps, steps, stepIndex } = core;
  const { found, load } = createFound(core, asks);
  const { chosen, course } = createCourse(core, found, asks);
  const { brokenBatch, firstBad } = createBrokenBatch(core, found, asks);

  /**
   * Goes to where a finding shows: its tensor, the step at which it begins, and the panel that shows such a thing.
   * @param {Finding} finding
   */
  function show(finding) {
    const { tensor, first } = finding;
    batch(() => {
      if (tensor !== null) {
        view.detail.value = true;
        core.selectTensor(tensor);
        showKind(tensor);
        const rule = found.value.rules.find(({ name }) => name === finding.rule);
        view.panel.value = rule?.panel ?? "picture";
      }
      core.selectStep(nearestIndex(steps.value, first));
      if (view.why.value) view.why.value = keyOf(finding);
    });
  }

  /**
   * Shows the map of a tensor's kind, too.
   * @param {number} tensor
   */
  function showKind(tensor) {
    const kind = current.value?.info.tensors[tensor]?.kind;
    if (!kind || kinds.value.includes(kind)) return;
    view.maps.value = roomForMaps.value > 1 ? [...kinds.value.slice(1), kind] : [kind];
  }

  /** @param {1 | -1} [direction] */
  function showNext(direction = 1) {
    const step = steps.value[stepIndex.value] ?? -1;
    const next = nextFinding(heads(found.value.findings), step, direction);
    if (next) show(next);
  }

  /**
   * Goes to the replay of the batch that broke a run, at the tensor that the finding names.
   * @param {Finding} finding
   * @param {number} [chosen] the example that is shown; the first that is to blame if none is given
   */
  async function showReplay(finding, chosen) {
    const { replay } = finding;
    if (!replay) return;
    const from = current.value;
    const example = chosen ?? (await firstBad(replay.run));
    if (current.value !== from) return;
    batch(() => {
      show(finding);
      core.selectRun(replay.run);
      view.step.value = replay.step;
      view.follow.value = false;
      view.why.value = "";
      view.at.value = { ...view.at.value, example };
    });
  }

  return { found, chosen, course, brokenBatch, load, show, showNext, showReplay };
}
