/** The evidence of the finding that the panel shows: how what its rule judges went over all steps. */

import { computed, signal } from "@preact/signals";

import { fetchCourse } from "../data/routes.js";
import { courseOfScalar } from "./course_plot.js";
import { keyOf, partsOfKey } from "./findings.js";

/** @typedef {import("../data/types.js").Course} Course */

/** @typedef {{status: "loading"} | {status: "none"} | {status: "error", message: string} | {status: "ready", value: Course}} CourseState */

/**
 * @param {import("../kit/core.js").Core} core
 * @param {import("@preact/signals").ReadonlySignal<import("./found.js").Found>} found
 * @param {import("../data/tasks.js").Asks} asks
 */
export function createCourse(core, found, { tasks, retries }) {
  const { view, current, generation, steps } = core;
  const { why, thresholds } = view;
  /** What the panel explains; with other thresholds the same rule and place may have no finding. */
  const chosen = computed(() => {
    const { findings } = found.value;
    const key = why.value === "lead" && findings[0] ? keyOf(findings[0]) : why.value;
    if (!key || key === "rules" || key === "lead") return null;
    const finding = findings.find((other) => keyOf(other) === key) ?? null;
    return { key, ...partsOfKey(key), finding };
  });
  /** @type {import("@preact/signals").Signal<{key: string, state: CourseState}>} */
  const fetched = signal({ key: "", state: { status: "loading" } });

  tasks.onChange(
    () => ({
      key: chosen.value?.key ?? "",
      run: current.value?.name ?? "",
      generation: generation.value,
      steps: steps.value.length,
      moved: thresholds.value,
      retry: retries.value,
    }),
    async ({ key, run, moved }, abort) => {
      const { rule, tensor } = partsOfKey(key);
      if (!run || !key || tensor === null) return;
      // Until the answer is there the lines of the same rule and tensor stay, and those of another go.
      if (fetched.value.key !== `${run} ${key}`) {
        fetched.value = { key: `${run} ${key}`, state: { status: "loading" } };
      }
      const value = await fetchCourse({ run, rule, tensor, thresholds: moved }, abort);
      if (!abort.aborted)
        fetched.value = { key: `${run} ${key}`, state: { status: "ready", value } };
    },
    (message) => {
      fetched.value = { ...fetched.value, state: { status: "error", message } };
    },
  );

  const course = computed(() => {
    const of = chosen.value;
    const run = current.value;
    /** @type {CourseState} */
    const none = { status: "none" };
    if (!of || !run) return none;
    if (of.tensor !== null) return fetched.value.state;
    const value = of.scalar ? courseOfScalar(run.history, of.scalar) : null;
    return /** @type {CourseState} */ (value ? { status: "ready", value } : none);
  });
  return { chosen, course };
}
