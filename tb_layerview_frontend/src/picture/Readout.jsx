import { formatExact } from "../kit/format.js";
import { offsetOf } from "./plan.js";

/**
 * The index in the whole tensor and the value there.
 * @param {object} props
 * @param {import("../data/payload.js").Values} props.values
 * @param {string[]} props.names
 * @param {number[] | null} props.index
 * @param {boolean} props.pinned
 * @param {string} props.more
 * @param {string | null} [props.sees] which part of the network's input the element sees, in words
 * @param {string} [props.outlined] the unit that has a frame, in words
 */
export function Readout({ values, names, index, pinned, more, sees, outlined = "" }) {
  const offset = index && index.length === values.axes.length ? offsetOf(values.axes, index) : -1;
  if (!index || offset < 0) {
    return (
      <p class="lv-readout lv-readout-none" data-testid="readout" aria-live="polite">
        {outlined ? `${outlined} is outlined, as in Units.` : "Point at an element to read it."}
      </p>
    );
  }
  const value = values.data[offset];
  return (
    <p
      class="lv-readout"
      data-testid="readout"
      data-index={index.join(",")}
      data-value={String(value)}
      aria-live={pinned ? "polite" : "off"}
    >
      <b class={Number.isFinite(value) ? "" : "lv-bad"}>{formatExact(value)}</b>
      <span class="lv-readout-index">[{index.join(", ")}]</span>
      <span class="lv-readout-words">
        {index.map((at, i) => `${names[i]} ${at}`).join(", ")}
        {more && ` · ${more}`}
        {pinned && " · held"}
      </span>
      {sees && (
        <span class="lv-readout-words" title="By the windows of the logged layers alone">
          {sees}
        </span>
      )}
    </p>
  );
}
