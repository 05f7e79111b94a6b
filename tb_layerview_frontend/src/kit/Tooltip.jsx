/**
 * Words beside the pointer, the first line as their title.
 * @param {object} props
 * @param {string[]} props.lines
 * @param {number} props.x CSS pixels within what it belongs to
 * @param {number} props.y
 * @param {number} props.width of what it belongs to, so that the words stay within it
 * @param {number} props.height
 */
export function Tooltip({ lines, x, y, width, height }) {
  return (
    <div
      class="lv-tooltip"
      role="tooltip"
      data-side={x > width / 2 ? "left" : "right"}
      style={{ left: `${x}px`, top: `${Math.min(y, height - 60)}px` }}
    >
      {lines.map((line, i) => (
        <div key={i} class={i === 0 ? "lv-tooltip-title" : ""}>
          {line}
        </div>
      ))}
    </div>
  );
}
