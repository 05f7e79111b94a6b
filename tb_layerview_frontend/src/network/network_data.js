/** The network's part of the state: its lanes, which of them are folded, and what is known of them. */

import { computed, signal } from "@preact/signals";

import { inputTensor } from "../data/selection.js";
import { createExamples } from "./examples_data.js";
import { blocksOf, lanesOf, openAtFirst } from "./lanes.js";
import { createPictures, createRidges } from "./pictures_data.js";

/** @typedef {ReturnType<typeof createNetwork>} Network */

/**
 * @param {import("../kit/core.js").Core} core
 * @param {import("../findings/state.js").Findings} findings
 * @param {import("../map/use_comparison.js").Compared} comparison
 * @param {import("../data/tasks.js").Asks} asks
 */
export function createNetwork(core, findings, comparison, asks) {
  const { view, current } = core;
  const on = core.onNetwork;
  const example = computed(() => view.at.value.example ?? 0);
  const model = computed(() => {
    const info = current.value?.info;
    const lanes = info ? lanesOf(info) : [];
    return { lanes, parts: blocksOf(lanes) };
  });
  /** What somebody has opened or folded, by the block's key; all else is as it was at first. */
  const toggled = signal(/** @type {Map<string, boolean>} */ (new Map()));
  const openFirst = computed(() => {
    const [lead] = findings.found.value.findings;
    const tensor = current.value?.info.tensors[lead?.tensor ?? -1];
    return openAtFirst(model.value.parts, model.value.lanes.length, tensor?.layer ?? -1);
  });
  /** The activation whose examples stand in the strip: of the first layer that reads no other; -1 for none. */
  const input = computed(() => (current.value ? inputTensor(current.value.info) : -1));
  /** The last activation that no layer reads: what the model says; -1 for none. */
  const output = computed(() => {
    const outputs = current.value?.outputs ?? [];
    const ends = model.value.lanes.filter(
      ({ tensor, layer, scores }) => tensor >= 0 && !scores && !outputs[layer]?.length,
    );
    return ends.at(-1)?.tensor ?? -1;
  });
  /** The activations of which pictures and ridges are wanted, in the order of the lanes. */
  const wanted = signal(/** @type {number[]} */ ([]));
  const { asked, tag, ...pictures } = createPictures(core, { on, example, wanted }, asks);
  const { current: other, steps, stepIndex, matching } = comparison;
  /** The pictures of what is compared with. */
  const others = createPictures(
    {
      current: other,
      steps,
      step: computed(() => steps.value[stepIndex.value]),
      generation: computed(() => other.value?.history.generation ?? ""),
    },
    {
      on,
      example,
      wanted: computed(() =>
        wanted.value.map((tensor) => matching.value?.partner[tensor] ?? -1).filter((b) => b >= 0),
      ),
    },
    asks,
  );

  /** @param {import("./lanes.js").Block} block */
  const isOpenAtFirst = ({ key }) => openFirst.value.has(key);
  /** @param {import("./lanes.js").Block} block */
  const isOpen = ({ key }) => toggled.value.get(key) ?? openFirst.value.has(key);

  /** @param {import("./lanes.js").Block} block */
  function toggle(block) {
    toggled.value = new Map(toggled.value).set(block.key, !isOpen(block));
  }

  /** @param {number} index of an example */
  function selectExample(index) {
    view.at.value = { ...view.at.value, example: index };
  }

  return {
    on,
    example,
    model,
    isOpen,
    isOpenAtFirst,
    toggle,
    input,
    selectExample,
    wanted,
    ...pictures,
    ...createRidges(asked, tag, asks.tasks),
    others: others.shown,
    ...createExamples(core, { on, input, output }, asks),
  };
}
