import { formatCount } from "../format.js";

/** How many runs a line names. */
const MOST_NAMES = 3;

/**
 * The runs that nothing can be read of: they are in no list, and somebody may look for them.
 * @param {{store: import("../store.js").Store}} props
 */
export function UnreadableRuns({ store }) {
  const found = store.unreadable.value;
  if (!found.length) return null;
  const names = found.slice(0, MOST_NAMES).map(({ run }) => `“${run}”`);
  const more = found.length - names.length;
  const one = found.length === 1;
  return (
    <details class="lv-notice lv-notice-warning lv-unreadable" data-testid="unreadable" open={one}>
      <summary>
        {one ? "The run" : `${formatCount(found.length)} runs`} {names.join(", ")}
        {more > 0 && ` and ${formatCount(more)} more`} cannot be read.
      </summary>
      <dl>
        {found.map(({ run, problems }) => (
          <div key={run}>
            <dt>{run}</dt>
            {problems.map((problem) => (
              <dd key={problem}>{problem.replace(/\.?$/, ".")}</dd>
            ))}
          </div>
        ))}
      </dl>
      <p>What is damaged can be had again from a copy alone. Other runs are not touched by it.</p>
    </details>
  );
}
