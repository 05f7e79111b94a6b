import { formatCount } from "../kit/format.js";

/** How many runs a line names. */
const MOST_NAMES = 3;

/**
 * The runs that nothing can be shown of: they are in no list, and somebody may look for them.
 * @param {{store: import("./store.js").Store}} props
 */
export function UnreadableRuns({ store }) {
  return (
    <>
      <Named
        runs={store.unreadable.value.map(({ run, problems }) => ({ run, sentences: problems }))}
        what="cannot be read"
        testid="unreadable"
      >
        <p>What is damaged can be had again from a copy alone. Other runs are not touched by it.</p>
      </Named>
      <Named
        runs={store.withoutSteps.value.map(({ run, notes }) => ({ run, sentences: notes }))}
        what={store.withoutSteps.value.length === 1 ? "has no steps" : "have no steps"}
        testid="without-steps"
      />
    </>
  );
}

/**
 * @param {object} props
 * @param {{run: string, sentences: string[]}[]} props.runs
 * @param {string} props.what is the matter with them
 * @param {string} props.testid
 * @param {import("preact").ComponentChildren} [props.children] what can be done
 */
function Named({ runs, what, testid, children }) {
  if (!runs.length) return null;
  const names = runs.slice(0, MOST_NAMES).map(({ run }) => `“${run}”`);
  const more = runs.length - names.length;
  const one = runs.length === 1;
  return (
    <details class="lv-notice lv-notice-warning lv-unreadable" data-testid={testid} open={one}>
      <summary>
        {one ? "The run" : `${formatCount(runs.length)} runs`} {names.join(", ")}
        {more > 0 && ` and ${formatCount(more)} more`} {what}.
      </summary>
      <dl>
        {runs.map(({ run, sentences }) => (
          <div key={run}>
            <dt>{run}</dt>
            {sentences.map((sentence) => (
              <dd key={sentence}>{sentence.replace(/\.?$/, ".")}</dd>
            ))}
          </div>
        ))}
      </dl>
      {children}
    </details>
  );
}
