/** Python that reads what the tab shows, with this package's `LayerReader`. */

/** @typedef {import("../data/payload.js").Values} Values */

/**
 * The lines that read a tensor at a step, and what of it is on the screen.
 * @param {object} what
 * @param {string} what.folder of the run, empty if it is not known
 * @param {string} what.run
 * @param {string} what.layer
 * @param {import("../data/types.js").Tensor} what.tensor
 * @param {number} what.step at which its values are kept
 * @param {Values} what.values
 * @param {string[]} what.names of the axes
 * @param {Record<number, number>} what.chosen by axis, the kept index that is shown
 */
export function pythonLines({ folder, run, layer, tensor, step, values, names, chosen }) {
  const whole = Object.keys(chosen).length === 0;
  const picks = values.axes.map((_, axis) => (axis in chosen ? String(chosen[axis]) : ":"));
  const words = values.axes
    .map(({ start, step: every, count, size }, axis) => {
      const last = start + every * (count - 1);
      if (axis in chosen) return `${names[axis]} ${start + every * chosen[axis]}`;
      if (count === size) return names[axis];
      return `${names[axis]} ${start} to ${last}${every > 1 ? ` in steps of ${every}` : ""} of ${size}`;
    })
    .join(", ");
  const logdir = logdirOf(folder, run);
  const call = tensor.call ? `, call=${tensor.call}` : "";
  return [
    "import tb_layerview as lv",
    "",
    `run = lv.LayerReader(${quote(logdir.folder)}).run(${quote(logdir.run)})`,
    `tensor = run.tensor(${quote(layer)}, kind=${quote(tensor.kind)}, name=${quote(tensor.name)}${call})`,
    `values = run.values(tensor, step=${step})  # what is kept of it; values.axes says which part`,
    whole ? "shown = values.array" : `shown = values.array[${picks.join(", ")}]`,
    ...(words ? [`# axes of the tensor: ${words}`] : []),
    "",
  ].join("\n");
}

/**
 * The log folder and the run's name in it.
 * @param {string} folder of the run
 * @param {string} run
 */
function logdirOf(folder, run) {
  if (!folder) return { folder: "logs", run };
  if (
    run !== "." &&
    (folder.endsWith(`/${run}`) || folder.endsWith(`\\${run.replaceAll("/", "\\")}`))
  ) {
    return { folder: folder.slice(0, -run.length - 1) || "/", run };
  }
  return { folder, run: "." };
}

/**
 * A Python string. JSON's are, but for characters beyond the first 65,536, which JSON leaves as they are.
 * @param {string} text
 */
function quote(text) {
  return JSON.stringify(text).replaceAll("\u007f", "\\x7f");
}
