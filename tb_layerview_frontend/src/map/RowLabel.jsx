import { useMemo } from "preact/hooks";

import { worstFinding } from "../findings/findings.js";
import { SIGNS } from "../findings/words.js";
import { formatCount } from "../kit/format.js";

/** @typedef {import("./rows.js").Row} Row */
/** @typedef {import("../findings/findings.js").Finding} Finding */

/**
 * One row of the tree.
 * @param {object} props
 * @param {Row} props.row
 * @param {number} props.index
 * @param {number} props.height CSS pixels
 * @param {boolean} props.selected
 * @param {Map<number, Finding[]>} props.found what is found, by tensor
 * @param {() => void} props.onSelect
 * @param {() => void} props.onToggle
 */
export function RowLabel({ row, index, height, selected, found, onSelect, onToggle }) {
  const { node, depth, expandable, open } = row;
  const trouble = useMemo(() => {
    const own = node.tensors.flatMap((tensor) => found.get(tensor) ?? []);
    if (!own.length) return null;
    const { severity, since, words } = worstFinding(own);
    const more = own.length > 1 ? ` And ${formatCount(own.length - 1)} more.` : "";
    return { severity, words: `${since}: ${words}.${more}` };
  }, [found, node]);
  return (
    <li
      id={`lv-row-${index}`}
      class="lv-row"
      role="treeitem"
      data-testid="layer-row"
      data-path={node.path}
      aria-level={depth + 1}
      aria-selected={selected}
      aria-expanded={expandable ? open : undefined}
      title={[node.path, node.className, trouble?.words].filter(Boolean).join("\n")}
      style={{
        top: `${index * height}px`,
        height: `${height}px`,
        paddingLeft: `${4 + depth * 14}px`,
      }}
      onClick={onSelect}
    >
      <span
        class={`lv-caret${open ? " lv-open" : ""}${expandable ? "" : " lv-leaf"}`}
        aria-hidden="true"
        onClick={(event) => {
          if (!expandable) return;
          event.stopPropagation();
          onToggle();
        }}
      >
        <svg viewBox="0 0 10 10" width="10" height="10">
          <path d="M3 1.5 7 5 3 8.5z" fill="currentColor" />
        </svg>
      </span>
      <span class="lv-row-name">{node.label}</span>
      <span class="lv-row-class">{node.className}</span>
      {trouble && (
        <span
          class={`lv-row-trouble lv-finding-${trouble.severity}`}
          role="img"
          aria-label={`${trouble.severity} ${trouble.words}`}
        >
          {SIGNS[trouble.severity]}
        </span>
      )}
    </li>
  );
}
