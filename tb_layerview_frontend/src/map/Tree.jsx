import { RowLabel } from "./RowLabel.jsx";

/** @typedef {import("./rows.js").Row} Row */

/**
 * The rows' names that are in view.
 * @param {object} props
 * @param {ReturnType<typeof import("./use_rows.js").useRows>} props.all
 * @param {{from: number, count: number}} props.shown index of the first row that is in view, and how many are
 * @param {Map<number, import("../findings/findings.js").Finding[]>} props.found what is found, by tensor
 * @param {string} props.filter
 */
export function Tree({ all, shown: { from, count }, found, filter }) {
  const { rows, rowHeight, selected, select, toggle } = all;
  const shown = rows.slice(from, from + count);
  return (
    <ul
      class="lv-labels"
      role={rows.length ? "tree" : undefined}
      aria-label="Layers"
      tabIndex={rows.length ? 0 : undefined}
      aria-activedescendant={shown.includes(rows[selected]) ? `lv-row-${selected}` : undefined}
    >
      {shown.map((row, i) => (
        <RowLabel
          key={row.node.key}
          row={row}
          index={from + i}
          height={rowHeight}
          selected={from + i === selected}
          found={found}
          onSelect={() => select(from + i)}
          onToggle={() => toggle(row)}
        />
      ))}
      {!rows.length && (
        <li class="lv-no-rows">
          {filter
            ? `No layer matches “${filter}”. Escape in the field above shows all again.`
            : "No layer has tensors of this kind."}
        </li>
      )}
    </ul>
  );
}
