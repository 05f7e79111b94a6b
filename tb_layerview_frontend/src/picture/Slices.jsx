/** @typedef {import("../data/payload.js").Values} Values */

/**
 * A slider for each axis of which one index is shown at a time.
 * @param {object} props
 * @param {Values} props.values
 * @param {string[]} props.names
 * @param {Record<number, number>} props.chosen by axis, a kept index
 * @param {(name: string, index: number) => void} props.onChoose an index of the whole tensor
 */
export function Slices({ values, names, chosen, onChoose }) {
  return (
    <>
      {Object.entries(chosen).map(([axis, index]) => {
        const { start, step, count, size } = values.axes[Number(axis)];
        const name = names[Number(axis)];
        if (count < 2) return null;
        const choose = (/** @type {number} */ kept) => {
          if (kept >= 0 && kept < count) onChoose(name, start + step * kept);
        };
        return (
          <span key={name} class="lv-chooser" role="group" aria-label={name}>
            <span class="lv-caption">{name}</span>
            <button
              type="button"
              aria-label={`Previous ${name}`}
              disabled={index === 0}
              onClick={() => choose(index - 1)}
            >
              ◀
            </button>
            <input
              type="range"
              class="lv-slider"
              style={{ "--lv-filled": `${(100 * index) / (count - 1)}%` }}
              data-testid={`slice-${name.replace(/\W+/g, "-")}`}
              aria-label={name}
              aria-valuetext={`${name} ${start + step * index} of ${size}`}
              min={0}
              max={count - 1}
              value={index}
              onInput={(event) => choose(event.currentTarget.valueAsNumber)}
              // Its arrows move through this axis, not through the steps.
              onKeyDown={(event) => event.key !== "Escape" && event.stopPropagation()}
            />
            <button
              type="button"
              aria-label={`Next ${name}`}
              disabled={index >= count - 1}
              onClick={() => choose(index + 1)}
            >
              ▶
            </button>
            <output title={`${count} of ${size} are kept`}>{start + step * index}</output>
          </span>
        );
      })}
    </>
  );
}
