const SEVERITIES = /** @type {const} */ (["error", "warning"]);

/**
 * What the bands along a map's rows mean, where there are any.
 * @param {object} props
 * @param {Map<number, import("../findings/findings.js").Finding[]>} props.found by tensor
 * @param {import("../data/types.js").Tensor[]} props.tensors
 * @param {import("../data/types.js").Kind} props.kind of the map
 */
export function FoundLegend({ found, tensors, kind }) {
  const own = [...found].flatMap(([tensor, findings]) =>
    tensors[tensor]?.kind === kind ? findings.filter(({ rule }) => rule !== "non_finite") : [],
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
