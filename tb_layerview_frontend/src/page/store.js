/** The tab's state: its core, a part for each room, and what leads from one to the other. */

import { createComparison } from "../compare/comparison.js";
import { createEvaluation } from "../data/evaluation.js";
import { openedRun } from "../data/selection.js";
import { createBands } from "../distribution/band_data.js";
import { createFindings } from "../findings/state.js";
import { createCore } from "../kit/core.js";
import { makeView } from "../kit/view.js";
import { createCompanions } from "../picture/companions.js";
import { createNetwork } from "../network/network_data.js";
import { createRanks } from "../ranks/rank_data.js";
import { createUnits } from "../units/unit_data.js";
import { createNumbers } from "./numbers_data.js";
import { createPolling } from "./polling.js";

/** @typedef {ReturnType<typeof createStore>} Store */

/**
 * @param {import("../kit/view.js").ViewState} initial
 * @param {AbortSignal} end ends everything that the store has under way
 */
export function createStore(initial, end) {
  const view = makeView(initial);
  const { runs, unreadable, withoutSteps, connection, asks, start } = createPolling(end);
  const core = createCore({ view, runs, onLoad: chooseOnce }, asks);
  const bands = createBands(core, asks);
  const units = createUnits(core, asks);
  const numbers = createNumbers(core, asks);
  const findings = createFindings(core, asks);
  const comparison = createComparison(core, asks);
  const evaluation = createEvaluation(core, asks);
  const companions = createCompanions(core, asks);
  const ranks = createRanks(core, asks);
  const network = createNetwork(core, findings, comparison, asks);

  /**
   * The tab chooses once, when it opens: if something is wrong, where that began.
   * @param {import("../data/run.js").Run} loaded
   * @param {AbortSignal} abort
   */
  async function chooseOnce(loaded, abort) {
    const untouched = !view.layer.value && view.step.value === null;
    const found = await findings.load(loaded.name, abort);
    const first = found.find(({ severity }) => severity === "error");
    return () => {
      if (first && untouched) {
        view.step.value = first.first;
        if (first.tensor !== null) core.selectTensor(first.tensor);
      } else if (view.step.value === null) {
        view.step.value = loaded.history.steps.at(-1) ?? null;
      } else core.followNewest();
      // What is selected is written out, so that a later change of defaults (a wider window) moves nothing.
      if (!view.layer.value || !view.name.value) core.selectTensor(core.tensor.value);
    };
  }

  const poll = start(
    (found) => {
      if (!view.run.value && found.length) view.run.value = openedRun(found).run;
    },
    (found) => Promise.all([core.refresh(found), comparison.refresh(found)]),
  );

  return {
    core,
    runs,
    unreadable,
    withoutSteps,
    connection,
    poll,
    bands,
    units,
    numbers,
    findings,
    comparison,
    evaluation,
    companions,
    ranks,
    network,
  };
}
