/** The ranks of the training that the shown run is one of, and their statistics at the shown step. */

import { computed, signal } from "@preact/signals";

import { fetchRanks, fetchRankStatistics } from "../data/routes.js";
import { ranksBeside } from "./ranks.js";

/** @typedef {ReturnType<typeof createRanks>} Ranks */
/** @typedef {import("../data/types.js").Kind} Kind */
/** @typedef {import("../data/types.js").Rank} Rank */
/** @typedef {import("../data/types.js").RankStatistics} RankStatistics */

/**
 * What is known of a kind: statistics, the run and the statistic that they are of, and why newer ones are missing.
 * @typedef {{run: string, statistic: string, found: RankStatistics | null, problem: string}} Known
 */

/**
 * @param {import("../kit/core.js").Core} core
 * @param {import("../data/tasks.js").Asks} asks
 */
export function createRanks(core, { tasks, retries }) {
  const { view, runs } = core;
  /** The runs of all ranks, in their order; none where the shown run is no rank. */
  const siblings = computed(() =>
    runs.value.status === "ready" ? ranksBeside(runs.value.value, view.run.value) : [],
  );
  /** Whether there are several. */
  const any = computed(() => siblings.value.length > 1);
  /** Whether the map has the ranks across. */
  const on = computed(() => any.value && view.across.value === "ranks");
  /** What is found in each, by the name of its run. */
  const described = signal(/** @type {Map<string, Rank>} */ (new Map()));
  const statistics = signal(/** @type {Partial<Record<Kind, Known>>} */ ({}));
  // How far they have come: there may be something new of any of them.
  const grown = computed(() => siblings.value.map(({ run, steps }) => `${run} ${steps}`));

  tasks.onChange(
    () => ({
      // Any of them answers for all.
      run: any.value ? siblings.value[0].run : "",
      grown: grown.value,
      thresholds: view.thresholds.value,
      retry: retries.value,
    }),
    async ({ run, thresholds }, abort) => {
      if (!run) return;
      const found = await fetchRanks(run, thresholds, abort);
      if (!abort.aborted) described.value = new Map(found.map((rank) => [rank.run, rank]));
    },
    () => {
      // The signs above the columns are missing, and the connection's own notice says why.
      described.value = new Map();
    },
  );

  tasks.onChange(
    () => {
      const current = core.current.value;
      const shows = on.value && current !== null;
      return {
        run: shows ? current.name : "",
        kinds: shows ? core.kinds.value : [],
        statistic: view.statistic.value,
        step: core.step.value,
        grown: grown.value,
        retry: retries.value,
      };
    },
    async ({ run, kinds, step }, abort) => {
      if (!run || step === undefined) return;
      const asked = kinds.map((kind) => {
        const [statistic] = core.statistics(kind);
        const names = [...new Set([statistic, "non_finite"])];
        return fetchRankStatistics({ run, kind, statistics: names, step }, abort).then((found) => [
          kind,
          { run, statistic, found, problem: "" },
        ]);
      });
      const found = Object.fromEntries(await Promise.all(asked));
      if (!abort.aborted) statistics.value = found;
    },
    (problem) => {
      statistics.value = Object.fromEntries(
        core.kinds.value.map((kind) => [kind, { run: "", statistic: "", found: null, problem }]),
      );
    },
  );

  /** The ranks beside the shown one in which something is found, errors first. */
  const others = computed(() =>
    siblings.value
      .flatMap(({ run }) => described.value.get(run) ?? [])
      .filter(({ run, worst }) => worst && run !== view.run.value)
      .sort((a, b) => order(a) - order(b)),
  );

  return { siblings, any, on, described, others, statistics };
}

/** @param {Rank} rank */
const order = ({ worst }) => (worst?.severity === "error" ? 0 : 1);
