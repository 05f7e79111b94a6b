/** Pictures of tensors: which axis lies where, which elements are shown, and both in words. */

/** @typedef {import("../data/payload.js").Values} Values */

/**
 * How a tensor is laid out. Each axis of the tensor has exactly one place: within a panel it runs down (`row`) or across
 * (`column`); panels run down (`panelRow`) or across (`panelColumn`), or, with a `panelColumn` alone, wrap like words; of
 * the other axes (`choosers`) one index is shown at a time.
 * @typedef {object} Plan
 * @property {number | null} row
 * @property {number | null} column
 * @property {number | null} panelRow
 * @property {number | null} panelColumn
 * @property {number[]} choosers
 */

const ROW_NAMES = ["row", "height"];
const COLUMN_NAMES = ["column", "width"];
const TIME_NAMES = ["timestep", "time", "position"];

/**
 * Gives each axis its place.
 * @param {string[]} names one an axis
 * @returns {Plan}
 */
export function planPicture(names) {
  const rank = names.length;
  const indexOf = (/** @type {string[]} */ wanted) =>
    names.findIndex((name) => wanted.includes(name));
  const rest = (/** @type {number[]} */ used) =>
    names.map((_, axis) => axis).filter((axis) => !used.includes(axis));
  const row = indexOf(ROW_NAMES);
  const column = indexOf(COLUMN_NAMES);
  const example = names.indexOf("example");

  if (row >= 0 && column >= 0) {
    // Pictures: of an activation all channels; of a kernel input by output channel.
    const others = rest([row, column]);
    const panels = others.filter((axis) => axis !== example && !TIME_NAMES.includes(names[axis]));
    const panelColumn = panels.at(-1) ?? null;
    const panelRow = example < 0 && panels.length > 1 ? panels[panels.length - 2] : null;
    const choosers = others.filter((axis) => axis !== panelColumn && axis !== panelRow);
    return { row, column, panelRow, panelColumn, choosers };
  }
  if (rank === 0)
    return { row: null, column: null, panelRow: null, panelColumn: null, choosers: [] };
  if (rank === 1) return { row: null, column: 0, panelRow: null, panelColumn: null, choosers: [] };
  const time = indexOf(TIME_NAMES);
  if (example >= 0 && time >= 0 && rank === 3) {
    // Sequences: time across, units down.
    const unit = rest([example, time])[0];
    return { row: unit, column: time, panelRow: null, panelColumn: null, choosers: [example] };
  }
  if (rank === 2) return { row: 0, column: 1, panelRow: null, panelColumn: null, choosers: [] };
  // Anything else: two axes are a matrix, heads (or the axis before them) make panels.
  const head = names.indexOf("head");
  const free = rest(head >= 0 ? [head] : []);
  const [upper, lower] = free.slice(-2);
  const before = free.at(-3) ?? null;
  const panel = head >= 0 ? head : before === example ? null : before;
  const choosers = rest([upper, lower, ...(panel === null ? [] : [panel])]);
  return { row: upper, column: lower, panelRow: null, panelColumn: panel, choosers };
}

/**
 * Distances in the data between neighbours of each axis, in C order.
 * @param {number[]} counts
 */
export function stridesOf(counts) {
  const strides = new Array(counts.length).fill(1);
  for (let axis = counts.length - 2; axis >= 0; axis--) {
    strides[axis] = strides[axis + 1] * counts[axis + 1];
  }
  return strides;
}

/** The places of a plan that hold one axis each, and what they are called on the screen. */
export const PLACES = /** @type {const} */ ([
  ["row", "down"],
  ["column", "across"],
  ["panelColumn", "grid"],
  ["panelRow", "grid, down"],
]);

/** @typedef {typeof PLACES[number][0]} Place */

/**
 * The plan with another axis in one of its places. The axis that was there goes where the other one came from.
 * @param {Plan} plan
 * @param {Place} place
 * @param {number | null} axis null: none
 * @returns {Plan}
 */
export function putAxis(plan, place, axis) {
  const { choosers, ...places } = plan;
  const before = places[place];
  const from = PLACES.find(([name]) => axis !== null && places[name] === axis)?.[0];
  /** @type {Plan} */
  const next = { ...plan, [place]: axis };
  if (from && from !== place) next[from] = before;
  // A grid with one direction alone runs across, and wraps.
  if (next.panelColumn === null && next.panelRow !== null) {
    next.panelColumn = next.panelRow;
    next.panelRow = null;
  }
  const used = PLACES.map(([name]) => next[name]);
  const all = [...choosers, ...PLACES.flatMap(([name]) => places[name] ?? [])];
  next.choosers = all.filter((one) => !used.includes(one)).sort((a, b) => a - b);
  return next;
}

/**
 * A plan as text for the address, by the names of the axes: "down=row,across=column,grid=channel".
 * @param {Plan} plan
 * @param {string[]} names
 */
export function writePlan(plan, names) {
  return PLACES.flatMap(([place, label]) => {
    const axis = plan[place];
    return axis === null ? [] : [`${label.replace(", ", "-")}=${names[axis]}`];
  }).join(",");
}

/**
 * The plan that a text asks for; the usual one for a tensor that has not all of these axes.
 * @param {string} text what `writePlan` makes
 * @param {string[]} names
 * @returns {Plan}
 */
export function readPlan(text, names) {
  const usual = planPicture(names);
  if (!text) return usual;
  /** @type {Plan} */
  const plan = { row: null, column: null, panelRow: null, panelColumn: null, choosers: [] };
  for (const part of text.split(",")) {
    const [label, name] = part.split("=");
    const place = PLACES.find(([, known]) => known.replace(", ", "-") === label)?.[0];
    const axis = names.indexOf(name);
    if (!place || axis < 0 || PLACES.some(([other]) => plan[other] === axis)) return usual;
    plan[place] = axis;
  }
  const used = PLACES.map(([name]) => plan[name]);
  plan.choosers = names.map((_, axis) => axis).filter((axis) => !used.includes(axis));
  return plan;
}

/**
 * The shape of a cell: where more is left out between the rows of a picture than between its columns, it is higher.
 * @param {Values["axes"]} axes
 * @param {string[]} names
 * @param {Plan} plan
 * @returns {{wide: number, high: number}}
 */
export function cellShape(axes, names, { row, column }) {
  if (row === null || column === null) return { wide: 1, high: 1 };
  const isPicture = ROW_NAMES.includes(names[row]) && COLUMN_NAMES.includes(names[column]);
  const by = isPicture ? axes[row].step / axes[column].step : 1;
  return { wide: Math.max(1, 1 / by), high: Math.max(1, by) };
}

/**
 * The axis of a tensor's units: its heads where it has any, else its last one.
 * @param {string[]} names
 * @returns {number} -1 for a scalar
 */
export function unitAxis(names) {
  const head = names.indexOf("head");
  return head >= 0 && names.includes("query") ? head : names.length - 1;
}

/**
 * The chosen index of each axis of which one is shown, among the kept ones: the nearest to the one that is asked for.
 * @param {Values["axes"]} axes
 * @param {string[]} names
 * @param {number[]} choosers
 * @param {Record<string, number>} wanted by the axis' name, an index of the whole tensor
 * @returns {Record<number, number>} by axis
 */
export function chosenIndices(axes, names, choosers, wanted) {
  return Object.fromEntries(
    choosers.map((axis) => {
      const { start, step, count } = axes[axis];
      const asked = wanted[names[axis]] ?? start;
      return [axis, Math.max(0, Math.min(count - 1, Math.round((asked - start) / step)))];
    }),
  );
}

/**
 * The place in the data where the chosen indices begin.
 * @param {number[]} counts
 * @param {Record<number, number>} chosen by axis, an index among the kept ones
 */
export function baseOffset(counts, chosen) {
  const strides = stridesOf(counts);
  return Object.entries(chosen).reduce(
    (sum, [axis, index]) => sum + strides[Number(axis)] * index,
    0,
  );
}

/**
 * The places in the data of all elements that are shown, in the tensor's own order.
 * @param {number[]} counts
 * @param {Record<number, number>} chosen by axis, the kept index that is shown of it
 * @returns {{offsets: Int32Array, shape: number[], axes: number[]}} `axes` are those that have a size in `shape`
 */
export function shownElements(counts, chosen) {
  const strides = stridesOf(counts);
  const axes = counts.flatMap((_, axis) => (axis in chosen ? [] : [axis]));
  const shape = axes.map((axis) => counts[axis]);
  let offsets = Int32Array.of(baseOffset(counts, chosen));
  for (const axis of axes) {
    const longer = new Int32Array(offsets.length * counts[axis]);
    let at = 0;
    for (const offset of offsets) {
      for (let i = 0; i < counts[axis]; i++) longer[at++] = offset + i * strides[axis];
    }
    offsets = longer;
  }
  return { offsets, shape, axes };
}

/**
 * The index in the whole tensor of a place in the data.
 * @param {Values["axes"]} axes
 * @param {number} offset
 * @returns {number[]}
 */
export function trueIndex(axes, offset) {
  const strides = stridesOf(axes.map((axis) => axis.count));
  return axes.map(
    ({ start, step, count }, i) => start + step * (Math.floor(offset / strides[i]) % count),
  );
}

/**
 * The place in the data of an index in the whole tensor; -1 if that element is not kept.
 * @param {Values["axes"]} axes
 * @param {number[]} index
 */
export function offsetOf(axes, index) {
  const strides = stridesOf(axes.map((axis) => axis.count));
  let offset = 0;
  for (let i = 0; i < axes.length; i++) {
    const kept = (index[i] - axes[i].start) / axes[i].step;
    if (!Number.isInteger(kept) || kept < 0 || kept >= axes[i].count) return -1;
    offset += kept * strides[i];
  }
  return offset;
}

/**
 * An index of the whole tensor, in the slices that are shown.
 * @param {number[]} index
 * @param {Values["axes"]} axes
 * @param {Record<number, number>} chosen by axis, the kept index that is shown of it
 */
export function inShownSlices(index, axes, chosen) {
  return index.map((at, axis) =>
    axis in chosen && axes[axis] ? axes[axis].start + axes[axis].step * chosen[axis] : at,
  );
}

/**
 * What of the tensor is shown, in words: "2 of 32 examples, all 16 channels, every 2nd row".
 * @param {Values["axes"]} axes
 * @param {string[]} names
 */
export function describeKept(axes, names) {
  if (!axes.length) return "the one value";
  if (axes.every(({ count, size }) => count === size)) return "all of it";
  return axes
    .map(({ step, count, size }, i) => {
      const name = names[i];
      if (count === size) return size === 1 ? `the one ${name}` : `all ${size} ${plural(name)}`;
      if (step > 1 && count === Math.ceil(size / step)) return `every ${ordinal(step)} ${name}`;
      if (step > 1) return `${count} of ${size} ${plural(name)}, every ${ordinal(step)}`;
      return `${count} of ${size} ${plural(name)}`;
    })
    .join(", ");
}

/**
 * How the picture lies, in words: "across: channel · down: input channel · each: row × column".
 * @param {Plan} plan
 * @param {string[]} names
 */
export function describeLayout({ row, column, panelRow, panelColumn }, names) {
  const inside = [row, column].flatMap((axis) => (axis === null ? [] : [names[axis]]));
  if (panelColumn === null) {
    return inside.length === 2 ? `down: ${inside[0]} · across: ${inside[1]}` : inside.join("");
  }
  const each = `each: ${inside.join(" × ")}`;
  if (panelRow === null) return `panels: ${names[panelColumn]} · ${each}`;
  return `down: ${names[panelRow]} · across: ${names[panelColumn]} · ${each}`;
}

/** @param {string} name */
function plural(name) {
  if (/^axis \d+$/.test(name)) return `of ${name}`;
  if (name === "query") return "queries";
  return /s$/.test(name) ? name : `${name}s`;
}

/** @param {number} n */
function ordinal(n) {
  const tens = n % 100;
  const suffix = tens >= 11 && tens <= 13 ? "th" : (["th", "st", "nd", "rd"][n % 10] ?? "th");
  return `${n}${suffix}`;
}
