import { formatCount } from "./format.js";

/**
 * What the grey hatching over the steps means, or the dotted line between two of them.
 * @param {{axis: import("./axis.js").StepAxis, what?: string, why?: string[]}} props `what` the steps are not
 */
export function HoleMark({ axis: { holes, spacing }, what = "logged", why = [] }) {
  if (!holes.length) return null;
  const count = holes.reduce((sum, { hole }) => sum + hole.after - hole.before - 1, 0);
  const isEven = spacing === "even";
  return (
    <span
      class="lv-mark"
      title={[`${formatCount(count)} steps are not ${what}.`, ...why].join(" ")}
      data-testid="not-logged"
    >
      <i class={`lv-swatch ${isEven ? "lv-swatch-break" : "lv-swatch-hole"}`} />
      not {what}
    </span>
  );
}
