/** Pictures of tensors: how axes become panels, rows and columns, and where each element lies on the screen. */

import { levelOf } from "./colour.js";

/** @typedef {import("./payload.js").Values} Values */
/** @typedef {import("./colour.js").ColourScale} ColourScale */
/** @typedef {import("./api.js").Kind} Kind */

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
 * The axes' names, guessed where the log has none.
 * @param {string[]} names as logged
 * @param {number} rank
 * @param {Kind} kind
 * @returns {string[]}
 */
export function axisNames(names, rank, kind) {
  if (names.length === rank) return names;
  const activation = kind === "activation";
  const guesses = {
    1: activation ? ["example"] : ["unit"],
    2: activation ? ["example", "unit"] : ["input", "unit"],
    3: activation ? ["example", "timestep", "unit"] : ["position", "input channel", "channel"],
    4: activation
      ? ["example", "row", "column", "channel"]
      : ["row", "column", "input channel", "channel"],
  };
  const guess = guesses[/** @type {1 | 2 | 3 | 4} */ (rank)];
  return guess ?? Array.from({ length: rank }, (_, axis) => `axis ${axis}`);
}

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
  // Anything else: the last two axes are a matrix, the one before them makes panels (heads, positions).
  const panel = rank - 3 === example ? null : rank - 3;
  const choosers = rest([rank - 1, rank - 2, ...(panel === null ? [] : [panel])]);
  return { row: rank - 2, column: rank - 1, panelRow: null, panelColumn: panel, choosers };
}

/**
 * Where the elements lie on a grid of device pixels. An element's place in the data is the sum of what its pixel's column
 * and row contribute; -1 is a gap between panels.
 * @typedef {object} Layout
 * @property {number} width device pixels
 * @property {number} height device pixels
 * @property {number} scale device pixels per element
 * @property {number} aspect device pixels across per device pixel down of an element
 * @property {Int32Array} across what each pixel column adds to the place in the data
 * @property {Int32Array} down what each pixel row adds
 * @property {Int32Array} panelAcross the panel column of each pixel column, -1 for a gap
 * @property {Int32Array} panelDown the panel row of each pixel row, -1 for a gap
 * @property {number} panelsPerRow
 * @property {number} panelRows
 * @property {number} panels how many panels there are; a wrapped last row may not be full
 * @property {number} panelWidth device pixels
 * @property {number} panelHeight device pixels
 * @property {number} gap device pixels
 * @property {boolean} wraps
 */

/**
 * Lays a tensor out in a given space, as large as fits.
 * @param {Plan} plan
 * @param {number[]} counts how many of each axis there are
 * @param {number} width device pixels there are
 * @param {number} height device pixels there are
 * @param {number} ratio device pixels per CSS pixel
 * @returns {Layout}
 */
export function layOut(plan, counts, width, height, ratio) {
  const strides = stridesOf(counts);
  const size = (/** @type {number | null} */ axis) => (axis === null ? 1 : counts[axis]);
  const stride = (/** @type {number | null} */ axis) => (axis === null ? 0 : strides[axis]);
  const rows = size(plan.row);
  const columns = size(plan.column);
  const isVector = plan.row === null && plan.panelColumn === null;
  // A vector wraps like words: each line of it is a panel.
  const perLine = isVector ? vectorLine(columns, width, height, ratio) : columns;
  const panels = isVector
    ? Math.ceil(columns / perLine)
    : size(plan.panelRow) * size(plan.panelColumn);
  const wraps = isVector || plan.panelRow === null || size(plan.panelRow) === 1;
  const many = panels > 1;
  const largest = 40 * ratio;

  let best = { scale: 0, across: 1, gap: 0, worth: 0 };
  const candidates =
    wraps && !isVector ? range(1, panels) : [isVector ? 1 : size(plan.panelColumn)];
  for (const across of candidates) {
    const downward = Math.ceil(panels / across);
    // Gaps that can be seen are worth a tenth of the size; where there is no room for them they go.
    for (const [gap, worth] of many
      ? [
          [Math.round(3 * ratio), 1.1],
          [Math.round(2 * ratio), 1.05],
          [Math.round(ratio), 1],
          [0, 0.7],
        ]
      : [[0, 1]]) {
      const room = Math.min(
        (width - gap * (across - 1)) / (across * perLine),
        (height - gap * (downward - 1)) / (downward * rows),
      );
      const scale = wholePixels(Math.min(largest, room));
      if (scale * worth > best.worth) best = { scale, across, gap, worth: scale * worth };
    }
  }
  const scale = Math.max(best.scale, 1e-3);
  // Few columns (a matrix of 1,000 × 10) would be a thread: elements may be wider than high, and the other way round.
  let aspectX = scale;
  let aspectY = scale;
  if (!many && plan.row !== null && !isPicture(plan)) {
    aspectX = Math.max(scale, Math.min(width / columns, scale * 12, largest));
    aspectY = Math.max(scale, Math.min(height / rows, scale * 12, largest));
    if (aspectX >= 2) aspectX = Math.floor(aspectX);
    if (aspectY >= 2) aspectY = Math.floor(aspectY);
  } else if (isVector) {
    aspectY = Math.max(scale, Math.min(28 * ratio, (height - best.gap * (panels - 1)) / panels));
    if (aspectY >= 2) aspectY = Math.floor(aspectY);
  }
  const panelWidth = Math.max(1, Math.floor(perLine * aspectX));
  const panelHeight = Math.max(1, Math.floor(rows * aspectY));
  const across = best.across;
  const downward = Math.ceil(panels / across);
  const gap = best.gap;
  const total = {
    width: across * panelWidth + (across - 1) * gap,
    height: downward * panelHeight + (downward - 1) * gap,
  };
  const layout = {
    ...total,
    scale: aspectX,
    aspect: aspectX / aspectY,
    across: new Int32Array(total.width).fill(-1),
    down: new Int32Array(total.height).fill(-1),
    panelAcross: new Int32Array(total.width).fill(-1),
    panelDown: new Int32Array(total.height).fill(-1),
    panelsPerRow: across,
    panelRows: downward,
    panels,
    panelWidth,
    panelHeight,
    gap,
    wraps,
  };
  const panelStrideX = isVector ? perLine : stride(plan.panelColumn);
  const panelStrideY = isVector
    ? perLine
    : wraps
      ? across * stride(plan.panelColumn)
      : stride(plan.panelRow);
  const columnStride = stride(plan.column);
  const rowStride = stride(plan.row);
  for (let x = 0; x < total.width; x++) {
    const panel = Math.floor(x / (panelWidth + gap));
    const inside = x - panel * (panelWidth + gap);
    if (inside >= panelWidth) continue;
    layout.panelAcross[x] = panel;
    const column = Math.min(perLine - 1, Math.floor((inside * perLine) / panelWidth));
    layout.across[x] = panel * panelStrideX + column * columnStride;
  }
  for (let y = 0; y < total.height; y++) {
    const panel = Math.floor(y / (panelHeight + gap));
    const inside = y - panel * (panelHeight + gap);
    if (inside >= panelHeight) continue;
    layout.panelDown[y] = panel;
    const row = Math.min(rows - 1, Math.floor((inside * rows) / panelHeight));
    layout.down[y] = panel * panelStrideY + row * rowStride;
  }
  return layout;
}

/**
 * Whole device pixels keep every element the same size; below two of them that would waste too much of the place.
 * @param {number} scale
 */
function wholePixels(scale) {
  return scale >= 2 ? Math.floor(scale) : scale;
}

/**
 * Whether the cells of a panel are places of a picture and must stay square.
 * @param {Plan} plan
 */
function isPicture(plan) {
  return plan.panelColumn !== null;
}

/**
 * How many elements of a vector go into one line.
 * @param {number} count
 * @param {number} width
 * @param {number} height
 * @param {number} ratio
 */
function vectorLine(count, width, height, ratio) {
  const narrowest = 6 * ratio;
  if (count * narrowest <= width) return Math.max(1, count);
  const lines = Math.min(
    Math.ceil((count * narrowest) / width),
    Math.max(1, Math.floor(height / (8 * ratio))),
  );
  return Math.ceil(count / lines);
}

/**
 * @param {number} from
 * @param {number} to included
 */
function range(from, to) {
  // Beyond some hundred columns neighbouring numbers make no visible difference.
  const step = Math.max(1, Math.floor((to - from) / 400));
  const numbers = [];
  for (let i = from; i <= to; i += step) numbers.push(i);
  return numbers;
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

/**
 * The place in the data where the chosen indices begin.
 * @param {Plan} plan
 * @param {number[]} counts
 * @param {Record<number, number>} chosen by axis, an index among the kept ones
 */
export function baseOffset(plan, counts, chosen) {
  const strides = stridesOf(counts);
  return plan.choosers.reduce(
    (sum, axis) => sum + strides[axis] * Math.min(chosen[axis] ?? 0, counts[axis] - 1),
    0,
  );
}

/**
 * The place in the data of what lies at a pixel; -1 for a gap.
 * @param {Layout} layout
 * @param {number} base
 * @param {number} x
 * @param {number} y
 * @param {number} length of the data
 */
export function offsetAt(layout, base, x, y, length) {
  const across = layout.across[x] ?? -1;
  const down = layout.down[y] ?? -1;
  if (across < 0 || down < 0) return -1;
  if (layout.wraps) {
    const panel = layout.panelDown[y] * layout.panelsPerRow + layout.panelAcross[x];
    if (panel >= layout.panels) return -1;
  }
  const offset = base + across + down;
  return offset < length ? offset : -1;
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
 * Paints the picture: one 32-bit colour a device pixel.
 * @param {Uint32Array} pixels [height, width] of the layout
 * @param {Layout} layout
 * @param {ArrayLike<number>} data
 * @param {number} base
 * @param {ColourScale} scale
 * @param {Uint32Array} palette
 */
export function paint(pixels, layout, data, base, scale, palette) {
  const { width, height } = layout;
  for (let y = 0; y < height; y++) {
    const line = y * width;
    // Lines of the same row of elements are the same.
    if (
      y > 0 &&
      layout.down[y] === layout.down[y - 1] &&
      layout.panelDown[y] === layout.panelDown[y - 1]
    ) {
      pixels.copyWithin(line, line - width, line);
      continue;
    }
    for (let x = 0; x < width; x++) {
      const offset = offsetAt(layout, base, x, y, data.length);
      // A gap is transparent: what is behind the picture shows.
      pixels[line + x] = offset < 0 ? 0 : palette[levelOf(scale, data[offset])];
    }
  }
}

/**
 * The non-finite elements that are large enough on the screen to carry a mark.
 * @param {Layout} layout
 * @param {ArrayLike<number>} data
 * @param {number} base
 * @param {number} least how many device pixels a cell must have
 * @returns {{x: number, y: number, width: number, height: number, value: number}[]} device pixels
 */
export function nonFiniteCells(layout, data, base, least) {
  const cells = [];
  const xs = starts(layout.across, layout.panelAcross);
  const ys = starts(layout.down, layout.panelDown);
  for (const [y, height] of ys) {
    if (height < least) continue;
    for (const [x, width] of xs) {
      if (width < least) continue;
      const offset = offsetAt(layout, base, x, y, data.length);
      if (offset >= 0 && !Number.isFinite(data[offset])) {
        cells.push({ x, y, width, height, value: data[offset] });
      }
    }
  }
  return cells;
}

/**
 * Where each element begins along one direction, and its length.
 * @param {Int32Array} places
 * @param {Int32Array} panels
 * @returns {[number, number][]}
 */
function starts(places, panels) {
  /** @type {[number, number][]} */
  const found = [];
  for (let i = 0; i < places.length; i++) {
    if (places[i] < 0) continue;
    const last = found.at(-1);
    if (last && places[i] === places[i - 1] && panels[i] === panels[i - 1]) last[1]++;
    else found.push([i, 1]);
  }
  return found;
}

/**
 * The rectangle of one element, in device pixels; null if it is not on the screen.
 * @param {Layout} layout
 * @param {number} x a pixel of the element
 * @param {number} y a pixel of the element
 */
export function cellAt(layout, x, y) {
  if ((layout.across[x] ?? -1) < 0 || (layout.down[y] ?? -1) < 0) return null;
  const [x0, x1] = extent(layout.across, layout.panelAcross, x);
  const [y0, y1] = extent(layout.down, layout.panelDown, y);
  return { x: x0, y: y0, width: x1 - x0, height: y1 - y0 };
}

/**
 * @param {Int32Array} places
 * @param {Int32Array} panels
 * @param {number} at
 * @returns {[number, number]}
 */
function extent(places, panels, at) {
  let from = at;
  let to = at + 1;
  while (from > 0 && places[from - 1] === places[at] && panels[from - 1] === panels[at]) from--;
  while (to < places.length && places[to] === places[at] && panels[to] === panels[at]) to++;
  return [from, to];
}

/**
 * Lowest and highest finite value of the data; [0, 0] where there is none.
 * @param {ArrayLike<number>} data
 * @returns {[number, number]}
 */
export function finiteRange(data) {
  let low = Infinity;
  let high = -Infinity;
  for (let i = 0; i < data.length; i++) {
    const value = data[i];
    if (value < low && value !== -Infinity) low = value;
    if (value > high && value !== Infinity) high = value;
  }
  return low <= high ? [low, high] : [0, 0];
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
