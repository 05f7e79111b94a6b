/** Where the elements of a picture lie: a grid of panels of cells. */

import { stridesOf } from "./plan.js";

/** @typedef {import("./plan.js").Plan} Plan */

/**
 * Panels of cells, in device pixels before zoom. Its columns and rows are counted through all panels.
 * @typedef {object} Grid
 * @property {number} width
 * @property {number} height
 * @property {number} columns cells across a panel
 * @property {number} rows cells down a panel
 * @property {number} panels a wrapped last row may not be full
 * @property {number} panelsPerRow
 * @property {number} panelRows
 * @property {number} panelWidth
 * @property {number} panelHeight
 * @property {number} gap between panels
 * @property {number} head room above each panel for its name
 * @property {number} foot room below bars for their indices
 * @property {boolean} wraps whether panels follow each other like words
 * @property {boolean} bars whether a cell is a bar, which always has the whole height
 * @property {Int32Array | null} line the elements of a vector, whose panels are lines of it
 * @property {Int32Array} columnOffsets what each column of a panel adds to the place in the data
 * @property {Int32Array} rowOffsets what each row adds
 * @property {Int32Array} panelOffsets what each panel adds
 */

const LARGEST_CELL = 40;
const LABEL = 13;

/**
 * Lays a tensor out in a given space, as large as fits.
 * @param {Plan} plan
 * @param {number[]} counts how many of each axis there are
 * @param {Record<number, ArrayLike<number>>} orders by axis, the kept indices in the order in which they are shown
 * @param {{width: number, height: number, ratio: number}} space in device pixels, and how many of them are a CSS pixel
 * @param {{wide: number, high: number}} [cell] its shape: where only every second row of a picture is kept, it is 2 high
 * @returns {Grid}
 */
export function layOut(
  plan,
  counts,
  orders,
  { width, height, ratio },
  { wide, high } = { wide: 1, high: 1 },
) {
  const size = (/** @type {number | null} */ axis) => (axis === null ? 1 : counts[axis]);
  const rows = size(plan.row);
  const count = size(plan.column);
  const isVector = plan.row === null && plan.panelColumn === null;
  const bars = isVector && count > 1 && count * 3 * ratio <= width && height >= 40 * ratio;
  const columns = isVector && !bars ? vectorLine(count, width, height, ratio) : count;
  const panels = isVector
    ? Math.ceil(count / columns)
    : size(plan.panelRow) * size(plan.panelColumn);
  const wraps = isVector || plan.panelRow === null || size(plan.panelRow) === 1;
  const shape = { columns: columns * wide, rows: rows * high, panels, width, height, ratio };
  const across = wraps && !isVector ? range(1, panels) : [isVector ? 1 : size(plan.panelColumn)];
  let head = 0;
  let best = fit(shape, across, 0);
  if (panels > 1 && !isVector) {
    const labelled = fit(shape, across, LABEL * ratio);
    if (labelled.scale >= 0.75 * best.scale && labelled.scale * columns * wide >= 24 * ratio) {
      best = labelled;
      head = Math.round(LABEL * ratio);
    }
  }
  const scale = Math.max(best.scale, 1e-3);
  let cellWidth = scale * wide;
  let cellHeight = scale * high;
  const largest = LARGEST_CELL * ratio;
  if (bars) {
    cellWidth = Math.min(width / columns, 2 * largest);
    cellHeight = Math.min(height, 180 * ratio);
  } else if (isVector) {
    cellHeight = Math.max(scale, Math.min(28 * ratio, (height - best.gap * (panels - 1)) / panels));
  } else if (panels === 1 && plan.panelColumn === null) {
    // Few columns (a matrix of 1,000 × 10) would be a thread: cells may be wider than high, and the other way round.
    cellWidth = Math.max(cellWidth, Math.min(width / columns, scale * 12, largest));
    cellHeight = Math.max(cellHeight, Math.min(height / rows, scale * 12, largest));
  }
  const panelWidth = Math.max(1, Math.floor(columns * wholePixels(cellWidth)));
  const panelHeight = Math.max(1, Math.floor(rows * wholePixels(cellHeight)));
  const panelRows = Math.ceil(panels / best.across);
  return {
    width: best.across * panelWidth + (best.across - 1) * best.gap,
    height: panelRows * (head + panelHeight) + (panelRows - 1) * best.gap,
    columns,
    rows,
    panels,
    panelsPerRow: best.across,
    panelRows,
    panelWidth,
    panelHeight,
    gap: best.gap,
    head,
    foot: bars && panelWidth >= 12 * ratio * columns ? Math.round(LABEL * ratio) : 0,
    wraps,
    bars,
    ...offsetsOf(plan, counts, orders, isVector, panels),
  };
}

/**
 * The same grid with so many pixels for each of its own.
 * @param {Grid} grid
 * @param {number} factor whole
 * @returns {Grid}
 */
export function sharper(grid, factor) {
  const { width, height, panelWidth, panelHeight, gap, head, foot } = grid;
  const lengths = { width, height, panelWidth, panelHeight, gap, head, foot };
  const larger = Object.entries(lengths).map(([name, length]) => [name, factor * length]);
  return { ...grid, ...Object.fromEntries(larger) };
}

/**
 * The number of panels a row, and the gap between them, with which cells are largest.
 * @param {{columns: number, rows: number, panels: number, width: number, height: number, ratio: number}} shape
 * @param {number[]} candidates panels a row
 * @param {number} head
 */
function fit({ columns, rows, panels, width, height, ratio }, candidates, head) {
  let best = { scale: 0, across: candidates[0], gap: 0, worth: 0 };
  // Gaps that can be seen are worth a tenth of the size; where there is no room for them they go.
  const gaps = panels > 1 ? [[3, 1.1], [2, 1.05], [1, 1], [0, 0.7]] : [[0, 1]]; // prettier-ignore
  for (const across of candidates) {
    const down = Math.ceil(panels / across);
    for (const [pixels, worth] of gaps) {
      const gap = Math.round(pixels * ratio);
      const room = Math.min(
        (width - gap * (across - 1)) / (across * columns),
        (height - gap * (down - 1) - head * down) / (down * rows),
      );
      const scale = wholePixels(Math.min(LARGEST_CELL * ratio, room));
      if (scale * worth > best.worth) best = { scale, across, gap, worth: scale * worth };
    }
  }
  return best;
}

/**
 * @param {Plan} plan
 * @param {number[]} counts
 * @param {Record<number, ArrayLike<number>>} orders
 * @param {boolean} isVector
 * @param {number} panels
 */
function offsetsOf(plan, counts, orders, isVector, panels) {
  const strides = stridesOf(counts);
  /** @param {number | null} axis */
  const along = (axis) => {
    if (axis === null) return new Int32Array(1);
    const order = orders[axis];
    return Int32Array.from({ length: counts[axis] }, (_, i) => strides[axis] * (order?.[i] ?? i));
  };
  const columnOffsets = along(plan.column);
  const down = along(plan.panelRow);
  const across = along(plan.panelColumn);
  return {
    columnOffsets,
    rowOffsets: along(plan.row),
    panelOffsets: isVector
      ? new Int32Array(panels)
      : Int32Array.from(
          { length: panels },
          (_, panel) => down[Math.floor(panel / across.length)] + across[panel % across.length],
        ),
    line: isVector ? columnOffsets : null,
  };
}

/**
 * Whole device pixels keep every cell the same size; below two of them that would waste too much of the place.
 * @param {number} scale
 */
function wholePixels(scale) {
  return scale >= 2 ? Math.floor(scale) : scale;
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
