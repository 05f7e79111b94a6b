/** The examples that went into the model, and what it says of them at the shown step. */

import { computed, signal } from "@preact/signals";

import { fetchThumbnails } from "../data/routes.js";

/** @typedef {import("../data/framed.js").Thumbnails} Thumbnails */
/** @typedef {import("../data/payload.js").Values} Values */

/**
 * @param {import("../kit/core.js").Core} core
 * @param {{on: {value: boolean}, input: {value: number}, output: {value: number}}} of whether anybody looks; tensors, -1
 *   for none
 * @param {import("../data/tasks.js").Asks} asks
 */
export function createExamples(core, { on, input, output }, { tasks, retries }) {
  const { current, steps, step, generation } = core;
  /** The examples, a picture each; null where there are none. */
  const arrived = signal(/** @type {{of: string, pictures: Thumbnails | null} | null} */ (null));
  /** What the model gives for them. */
  const said = signal(
    /** @type {{of: string, tensor: number, step: number | null, values: Values | null} | null} */ (
      null
    ),
  );
  // What is of another run, or of this one before it was written anew, is not shown.
  const tag = computed(() => `${current.value?.name}\n${generation.value}`);
  const examples = computed(() =>
    arrived.value?.of === tag.value ? arrived.value.pictures : null,
  );
  const outputs = computed(() => (said.value?.of === tag.value ? said.value : null));
  const asked = () => ({
    name: on.value ? (current.value?.name ?? "") : "",
    of: generation.value,
    retry: retries.value,
  });

  tasks.onChange(
    () => ({
      ...asked(),
      tensor: input.value,
      // The probe is the same at all steps; of a batch that was run each step has its own.
      at: current.value?.info.probe ? steps.value[0] : step.value,
    }),
    async ({ name, of, tensor, at }, abort) => {
      const isThere = name && tensor >= 0 && at !== undefined;
      const found = isThere
        ? await fetchThumbnails({ run: name, step: at, example: "all", tensors: [tensor] }, abort)
        : null;
      if (abort.aborted) return;
      arrived.value = { of: `${name}\n${of}`, pictures: found?.lanes[0] ?? null };
    },
    () => {
      arrived.value = null;
    },
  );

  tasks.onChange(
    () => ({ ...asked(), tensor: output.value, at: step.value }),
    async ({ name, of, tensor, at }, abort) => {
      if (!name || tensor < 0 || at === undefined) return;
      const { values, step: own } = await core.selected.valuesAt(tensor, at);
      if (!abort.aborted) said.value = { of: `${name}\n${of}`, tensor, step: own, values };
    },
    () => {
      said.value = null;
    },
  );

  return { examples, outputs };
}
