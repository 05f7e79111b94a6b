/** What a picture is shown beside: the values of another step, the probe's input, the model's output. */

import { signal } from "@preact/signals";

import { axisNames } from "../data/axes.js";

/** @typedef {import("../data/payload.js").Values} Values */
/** @typedef {import("../data/details.js").Detail} Detail */

/**
 * Values of another tensor or step, for the detail with the key `of`; a sentence in `problem` where there are none.
 * @typedef {{of: string, run: string, tensor: number, step: number | null, values: Values | null, problem: string}} Companion
 */

/** While the slider moves, what stands beside the picture waits. */
const PATIENCE_MILLISECONDS = 120;

/** @typedef {ReturnType<typeof createCompanions>} Companions */

/**
 * @param {import("../kit/core.js").Core} core
 * @param {import("../data/tasks.js").Asks} asks
 */
export function createCompanions(core, { tasks, retries }) {
  const { view, current, steps, selected } = core;
  /** The unit that was brought into view last: beside the one that the address has chosen stands what it has enlarged. */
  const broughtUnit = { current: view.unit.peek() };
  /** @type {import("@preact/signals").Signal<Companion | null>} the values that the shown ones have changed from */
  const reference = signal(null);
  /** @type {import("@preact/signals").Signal<Companion | null>} what went into the model */
  const input = signal(null);
  /** @type {import("@preact/signals").Signal<Companion | null>} what came out of it */
  const output = signal(null);

  const shown = () => {
    const { value: loaded } = selected.detail;
    return loaded.status === "ready" && loaded.value.values ? loaded.value : null;
  };

  /** @param {Detail} of of a run that is no longer shown: it stays until the other run's is there, and needs nothing more */
  const isLeft = (of) => of.run !== current.value?.name;

  tasks.onChange(
    () => ({ of: shown(), by: view.sort.value, retry: retries.value }),
    async ({ of, by }, abort) => {
      if (!of?.record || isLeft(of) || (by !== "change" && by !== "growth")) return;
      const own = of.record.values_step ?? of.step;
      const before = by === "growth" ? steps.value[0] : steps.value[steps.value.indexOf(own) - 1];
      await fill(reference, of, of.tensor, before, abort);
    },
    () => {},
  );

  tasks.onChange(
    () => ({ of: shown(), run: current.value?.info, retry: retries.value }),
    async ({ of, run }, abort) => {
      if (of && isLeft(of)) return;
      const ends = of && run && endsOf(run, current.value?.outputs ?? [], of.tensor);
      if (!of || !run || !ends) {
        input.value = output.value = null;
        return;
      }
      // The probe is the same at all steps; of a batch that was run each step has its own.
      const known = input.value?.run === of.run && input.value.tensor === ends.input;
      const same = run.probe !== null && known && input.value?.values;
      if (!same) await fill(input, of, ends.input, of.step, abort);
      await new Promise((resolve) => setTimeout(resolve, PATIENCE_MILLISECONDS));
      if (!abort.aborted) await fill(output, of, ends.output, of.step, abort);
    },
    () => {},
  );

  /**
   * @param {import("@preact/signals").Signal<Companion | null>} into
   * @param {Detail} of
   * @param {number} tensor -1 for none
   * @param {number | undefined} step
   * @param {AbortSignal} abort
   */
  async function fill(into, of, tensor, step, abort) {
    /** @type {Companion} */
    const made = { of: of.key, run: of.run, tensor, step: null, values: null, problem: "" };
    if (tensor >= 0 && step !== undefined) {
      try {
        const found = await selected.valuesAt(tensor, step);
        made.values = found.values;
        made.step = found.step;
      } catch (error) {
        made.problem = error instanceof Error ? error.message : String(error);
      }
    }
    if (!abort.aborted) into.value = made;
  }

  return { reference, input, output, broughtUnit };
}

/**
 * What went into the model for a tensor, and what came out: activations with examples, of the layers at both ends.
 * @param {Pick<import("../data/types.js").RunInfo, "layers" | "tensors">} info
 * @param {number[][]} outputs by layer, those that read it
 * @param {number} index of the tensor that is shown
 * @returns {{input: number, output: number} | null} indices of tensors, -1 for none; null where the tensor has no examples
 */
export function endsOf({ layers, tensors }, outputs, index) {
  const shown = tensors[index];
  const names = (/** @type {import("../data/types.js").Tensor} */ { axes, shape, kind }) =>
    axisNames(axes, shape.length, kind);
  if (!shown || !names(shown).includes("example")) return null;
  /** @param {number} layer */
  const activation = (layer) =>
    tensors.findIndex(
      (tensor) =>
        tensor.layer === layer && tensor.kind === "activation" && names(tensor)[0] === "example",
    );
  const before = reached(shown.layer, (layer) => layers[layer].inputs);
  const sources = [...before, ...layers.keys()].filter(
    (layer) => layers[layer].class_name === "Input",
  );
  const input = sources.map(activation).find((tensor) => tensor >= 0) ?? -1;
  const after = reached(shown.layer, (layer) => outputs[layer] ?? []);
  const sink = [...after, shown.layer].find((layer) => !outputs[layer]?.length) ?? -1;
  return {
    input: input === index ? -1 : input,
    output: sink < 0 ? -1 : activation(sink),
  };
}

/**
 * All layers that are reached from one, the nearest first.
 * @param {number} from
 * @param {(layer: number) => number[]} next
 */
function reached(from, next) {
  const found = new Set(next(from));
  for (const layer of found) for (const one of next(layer)) found.add(one);
  return [...found];
}

/**
 * The class that a model gives to an example, if its output has one score for each class and all of them are kept.
 * @param {Values} values of the output
 * @param {string[]} names of its axes
 * @param {number} example index in the whole tensor
 * @returns {{unit: number, score: number, probability: boolean} | null}
 */
export function prediction({ axes, data }, names, example) {
  if (
    axes.length !== 2 ||
    names[0] !== "example" ||
    axes[1].count < axes[1].size ||
    axes[1].size < 2
  )
    return null;
  const row = (example - axes[0].start) / axes[0].step;
  if (!Number.isInteger(row) || row < 0 || row >= axes[0].count) return null;
  const scores = data.subarray(row * axes[1].count, (row + 1) * axes[1].count);
  let unit = 0;
  let sum = 0;
  let negative = false;
  for (const [i, score] of scores.entries()) {
    if (!Number.isFinite(score)) return null;
    if (score > scores[unit]) unit = i;
    sum += score;
    negative ||= score < 0;
  }
  // Rounded to float16 as they are, shares of 1 sum to 1 within a thousandth.
  return { unit, score: scores[unit], probability: !negative && Math.abs(sum - 1) < 5e-3 };
}
