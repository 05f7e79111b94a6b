import { Popover } from "../kit/Popover.jsx";
import {
  formatBytes,
  formatCount,
  formatMilliseconds,
  formatSeconds,
  formatShare,
} from "../kit/format.js";

/** @typedef {import("../data/run.js").Run} Run */

/**
 * What logging has cost and what it has left out: in short, and on a click in full.
 * @param {{run: Run | null}} props
 */
export function Trust({ run }) {
  if (!run) return <span class="lv-trust" />;
  const { share, bytes } = costOf(run);
  const { notes } = run.history;
  const short = [Number.isFinite(share) && formatShare(share), bytes && formatBytes(bytes)].filter(
    Boolean,
  );
  return (
    <span class="lv-trust">
      <Popover
        testid="cost"
        buttonClass="lv-trust-button"
        label="What logging has cost and left out"
        title={`What logging has cost: share of the training time, bytes on disk.${
          notes.length ? ` ${notesInWords(notes)} on what is left out.` : ""
        } Click for all of it.`}
        button={
          <>
            <span class="lv-caption">Cost</span>
            {short.length ? short.join(" · ") : "unknown"}
            {notes.length > 0 && <b class="lv-badge">{notesInWords(notes)}</b>}
            <i class="lv-question" aria-hidden="true">
              ?
            </i>
          </>
        }
      >
        <Facts run={run} />
      </Popover>
    </span>
  );
}

/** @param {string[]} notes */
function notesInWords(notes) {
  return notes.length === 1 ? "1 note" : `${formatCount(notes.length)} notes`;
}

/**
 * @param {Run} run
 * @returns {{share: number, perStep: number, bytes: number, setUp: number, logging: number, training: number, skipped: number}}
 *   NaN for what nobody has measured
 */
function costOf({ history, info }) {
  const cost = history.cost ?? info.cost;
  const logging = cost?.logging_seconds ?? NaN;
  return {
    share: cost?.share ?? NaN,
    perStep: history.steps.length ? logging / history.steps.length : NaN,
    bytes: cost?.bytes ?? 0,
    setUp: cost?.set_up_seconds ?? NaN,
    logging,
    training: cost?.own_seconds ?? NaN,
    skipped: cost?.skipped ?? NaN,
  };
}

/** @param {{run: Run}} props */
function Facts({ run }) {
  const { info, history } = run;
  const { share, perStep, bytes, setUp, logging, training, skipped } = costOf(run);
  const known = Number.isFinite(logging);
  /** @type {[string, string, string][]} name, value, what it says of it besides */
  const facts = [
    [
      "A logged step",
      known ? formatMilliseconds(perStep) : "not measured",
      `${formatCount(history.steps.length)} steps are logged`,
    ],
    [
      "Share of training",
      Number.isFinite(share) ? formatShare(share) : "not measured",
      known
        ? `${formatSeconds(logging)} of ${formatSeconds(training)}`
        : "what logged does not measure it",
    ],
    [
      "Set-up",
      Number.isFinite(setUp) ? formatSeconds(setUp) : "not measured",
      "once, not part of the share",
    ],
    [
      "On disk",
      bytes ? formatBytes(bytes) : "not measured",
      bytes ? `${formatBytes(Math.round(bytes / Math.max(1, history.steps.length)))} a step` : "",
    ],
    [
      "Left out",
      Number.isFinite(skipped) ? `${formatCount(skipped)} steps` : "not measured",
      skipped > 0 ? "to stay within the budget" : skipped === 0 ? "the budget left out none" : "",
    ],
  ];
  /** @type {[string, string | null | undefined][]} */
  const words = [
    ["Schedule", info.schedule],
    ["Activations of", info.probe ? info.probe.source : "the batch that was run"],
    ["Hidden", info.hidden],
    ["Written by", info.software],
    ["Folder", info.folder],
  ];
  return (
    <div class="lv-facts">
      <h2>What logging has cost</h2>
      <table>
        <tbody>
          {facts.map(([name, value, besides]) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td>{value}</td>
              <td class="lv-caption">{besides}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <h2>What it is of</h2>
      <dl>
        {words.map(([name, text]) =>
          text ? (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{text}</dd>
            </div>
          ) : null,
        )}
      </dl>
      <h2>{history.notes.length ? "What is left out" : "All that was asked for is logged"}</h2>
      {history.notes.length > 0 && (
        <ul>
          {history.notes.map((note) => (
            <li key={note}>{note}</li>
          ))}
        </ul>
      )}
    </div>
  );
}
