import { useMemo } from "preact/hooks";

import { formatCount } from "../kit/format.js";
import { findingSteps, heads, worstFinding } from "./findings.js";
import { SIGNS } from "./words.js";

/** @typedef {import("./state.js").Findings} Findings */

/**
 * To the step before or after at which something is found.
 * @param {{findings: Findings, step: number}} props `step` is the selected one
 */
export function FindingButtons({ findings, step }) {
  const found = heads(findings.found.value.findings);
  const steps = useMemo(() => findingSteps(found), [findings.found.value]);
  if (!steps.length) return null;
  const here = steps.indexOf(step);
  const { severity } = worstFinding(found);
  const words = found
    .slice(0, 5)
    .map(({ since, words: what }) => `${since}: ${what}`)
    .join("\n");
  const more = found.length > 5 ? `\nand ${formatCount(found.length - 5)} more` : "";
  return (
    <span class={`lv-finding-buttons lv-finding-${severity}`} role="group" aria-label="Findings">
      <button
        type="button"
        data-testid="previous-finding"
        aria-keyshortcuts="Shift+N"
        aria-label="Previous finding"
        title="Back to the step before at which something is found (Shift+N)"
        onClick={() => findings.showNext(-1)}
      >
        ‹
      </button>
      <button
        type="button"
        data-testid="next-finding"
        aria-keyshortcuts="n"
        title={`To the next step at which something is found (n):\n${words}${more}`}
        onClick={() => findings.showNext()}
      >
        <b aria-hidden="true">{SIGNS[severity]}</b> Next finding
        {/* As wide for every step: what stands beside it must not move. */}
        <span class="lv-caption" style={{ minWidth: `${2 * String(steps.length).length + 3}ch` }}>
          {here >= 0 ? `${here + 1} of ` : ""}
          {formatCount(steps.length)}
        </span>
      </button>
    </span>
  );
}
