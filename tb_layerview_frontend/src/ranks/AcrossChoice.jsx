import { ruleInWords, SIGNS } from "../findings/words.js";

/**
 * What lies across the map: the steps of this rank, or all ranks at this step. Only a training of several ranks has it.
 * @param {{view: import("../kit/view.js").View, ranks: import("./rank_data.js").Ranks}} props
 */
export function AcrossChoice({ view, ranks }) {
  if (!ranks.any.value) return null;
  const shown = ranks.on.value ? "ranks" : "steps";
  const [worst] = ranks.others.value;
  const choices = /** @type {const} */ ([
    ["steps", "Steps", "This rank at all its steps"],
    ["ranks", "Ranks", "All ranks at this step, by how far each is from the others"],
  ]);
  return (
    <div class="lv-kinds lv-across" role="group" aria-label="What lies across the map">
      {choices.map(([value, label, title]) => (
        <button
          key={value}
          type="button"
          data-testid={`across-${value}`}
          aria-pressed={shown === value}
          title={worst?.worst && value === "ranks" ? `${title}\n${inWords(worst)}` : title}
          onClick={() => {
            view.across.value = value;
          }}
        >
          {label}
          {worst?.worst && value === "ranks" && (
            <i
              class={`lv-finding-${worst.worst.severity}`}
              role="img"
              aria-label={`${worst.worst.severity} in another rank`}
            >
              {SIGNS[worst.worst.severity]}
            </i>
          )}
        </button>
      ))}
    </div>
  );
}

/** @param {import("../data/types.js").Rank} rank in which something is found */
function inWords({ rank, worst }) {
  return worst ? `Rank ${rank}, ${worst.since}: ${ruleInWords(worst.rule)}. ${worst.words}.` : "";
}
