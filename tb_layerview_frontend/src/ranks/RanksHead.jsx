import { ruleInWords, SIGNS } from "../findings/words.js";
import { formatCount } from "../kit/format.js";

/** In CSS pixels. */
export const RANKS_HEAD = 44;
/** What a number takes of the width, in CSS pixels. */
const NUMBER_WIDTH = 22;

/**
 * The ranks' numbers above each map, with what is found in them. A click shows that rank.
 * @param {object} props
 * @param {import("./rank_data.js").Ranks} props.ranks
 * @param {import("../kit/axis.js").StepAxis} props.axis
 * @param {number} props.maps how many there are
 * @param {number} props.width of each, CSS pixels
 * @param {import("../map/MapCanvas.jsx").Across} props.across
 */
export function RanksHead({ ranks, axis, maps, width, across }) {
  const { siblings, described } = ranks;
  const worst = siblings.value.map(({ run }) => described.value.get(run)?.worst);
  const isNamed = named(worst.map(Boolean), across.index, width);
  return (
    <div class="lv-map-head" style={{ height: `${RANKS_HEAD}px` }}>
      <div class="lv-axis-name lv-ranks-name">rank</div>
      <div class="lv-maps">
        {Array.from({ length: maps }, (_, map) => (
          <div key={map} class="lv-ranks" role="group" aria-label="Ranks">
            {siblings.value.map(({ rank, run }, index) => {
              const of = described.value.get(run);
              return (
                <button
                  key={run}
                  type="button"
                  data-testid={map ? undefined : `rank-${rank}`}
                  aria-label={`Rank ${rank}`}
                  aria-pressed={index === across.index}
                  title={titleOf(rank, of)}
                  style={{
                    left: `${100 * axis.starts[index]}%`,
                    width: `${100 * (axis.ends[index] - axis.starts[index])}%`,
                  }}
                  onClick={() => across.choose(index)}
                >
                  {of?.worst && (
                    <i
                      class={`lv-finding-${of.worst.severity}`}
                      role="img"
                      aria-label={of.worst.severity}
                    >
                      {SIGNS[of.worst.severity]}
                    </i>
                  )}
                  {isNamed[index] ? rank : ""}
                </button>
              );
            })}
          </div>
        ))}
      </div>
    </div>
  );
}

/**
 * Which ranks' numbers are written: those that matter, and between them as many as fit.
 * @param {boolean[]} found whether something is found in a rank
 * @param {number} shown place of the rank that is shown
 * @param {number} width for all of them, CSS pixels
 */
export function named(found, shown, width) {
  const every = Math.max(1, Math.ceil((NUMBER_WIDTH * found.length) / Math.max(1, width)));
  const matters = found.map((one, place) => one || place === shown);
  return matters.map(
    (own, place) =>
      own ||
      (place % every === 0 &&
        !matters.slice(Math.max(0, place - every + 1), place + every).some(Boolean)),
  );
}

/**
 * @param {number} rank
 * @param {import("../data/types.js").Rank | undefined} of
 */
function titleOf(rank, of) {
  if (!of) return `Rank ${rank}`;
  const { worst, findings, steps } = of;
  const more = findings > 1 ? ` And ${formatCount(findings - 1)} more.` : "";
  return [
    `Rank ${rank}, ${formatCount(steps)} steps`,
    worst ? `${worst.since}: ${ruleInWords(worst.rule)}. ${worst.words}.${more}` : "No findings",
  ].join("\n");
}
