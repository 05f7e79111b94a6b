/** Requests about one tensor of a run. */

/**
 * What such a request is told, beside what else it depends on.
 * @typedef {{name: string, generation: string, tensor: number}} OfTensor the run's name, its log's generation, the index
 */

/**
 * Makes what runs a task whenever another tensor is selected, its run is logged anew, or what failed should be asked
 * again; or when something else changes that the task depends on.
 * @param {Pick<import("./run_data.js").RunData, "current" | "generation"> & {
 *   tensor: import("@preact/signals").ReadonlySignal<number>}} of the run, and which tensor of it is selected, -1 for none
 * @param {import("./tasks.js").Asks} asks
 * @param {() => boolean} [wanted] reads signals: whether anybody looks
 */
export function makeTensorTasks({ current, generation, tensor }, asks, wanted = () => true) {
  /**
   * @template {object} T
   * @param {() => T} depend reads signals
   * @param {(what: T & OfTensor, abort: AbortSignal) => Promise<void>} task
   * @param {(message: string) => void} fail is told in words
   */
  return function onTensor(depend, task, fail) {
    asks.tasks.onChange(
      () => ({
        ...depend(),
        wanted: wanted(),
        name: current.value?.name,
        generation: generation.value,
        tensor: tensor.value,
        retry: asks.retries.value,
      }),
      async ({ wanted: looked, name, ...what }, abort) => {
        if (!looked || name === undefined || what.tensor < 0) return;
        await task(/** @type {T & OfTensor} */ (/** @type {unknown} */ ({ ...what, name })), abort);
      },
      fail,
    );
  };
}

/**
 * Says in a signal why what it should hold is not there.
 * @param {import("@preact/signals").Signal<import("./run.js").Loadable<any>>} state
 * @returns {(message: string) => void}
 */
export const failIn = (state) => (message) => {
  state.value = { status: "error", message };
};
