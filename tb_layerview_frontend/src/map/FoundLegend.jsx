const SEVERITIES = /** @type {const} */ (["error", "warning"]);

/**
 * What the bands along the maps' rows mean, where there are any.
 * @param {object} props
 * @param {Map<number, import("../findings/findings.js").Finding[]>} props.found by tensor
 * @param {import("../data/types.js").Tensor[]} props.tensors
 * @param {import("../data/types.js").Kind[]} props.kinds of the maps
 */
export function FoundLegend({ found, tensors, kinds }) {
  const own = [...found].flatMap(([tensor, findings]) =>
    kinds.includes(tensors[tensor]?.kind)
      ? findings.filter(({ rule }) => rule !== "non_finite")
      : [],
  );
  return SEVERITIES.filter((severity) => own.some((finding) => finding.severity === severity)).map(
    (severity) => (
      <span
        key={severity}
        class={`lv-mark lv-finding-${severity}`}
        data-testid={`found-${severity}`}
      >
        <i class="lv-swatch-found" />
        {severity}
      </span>
    ),
  );
}
