/** Where the elements of a picture lie: a grid of panels of cells, and how it is moved and enlarged on the screen. */

import { stridesOf } from "./picture.js";

/** @typedef {import("./picture.js").Plan} Plan */

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
 * @property {boolean} wraps whether panels follow each other like words
 * @property {boolean} bars whether a cell is a bar, which always has the whole height
 * @property {Int32Array | null} line the elements of a vector, whose panels are lines of it
 * @property {Int32Array} columnOffsets what each column of a panel adds to the place in the data
 * @property {Int32Array} rowOffsets what each row adds
 * @property {Int32Array} panelOffsets what each panel adds
 */

/** How the grid lies on the screen: a point p of it at `scale * p + (x, y)`, in device pixels.
 * @typedef {{scale: number, x: number, y: number}} Transform */

/**
 * Which column and row of the grid each pixel of the screen shows, -1 for a gap.
 * @typedef {{columnAt: Int32Array, rowAt: Int32Array}} Projection
 */

/** @typedef {{x: number, y: number, width: number, height: number}} Rect device pixels */

const LARGEST_CELL = 40;
const LABEL = 13;

/**
 * Lays a tensor out in a given space, as large as fits.
 * @param {Plan} plan
 * @param {number[]} counts how many of each axis there are
 * @param {Record<number, ArrayLike<number>>} orders by axis, the kept indices in the order in which they are shown
 * @param {{width: number, height: number, ratio: number}} space in device pixels, and how many of them are a CSS pixel
 * @returns {Grid}
 */
export function layOut(plan, counts, orders, { width, height, ratio }) {
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
  const shape = { columns, rows, panels, width, height, ratio };
  const across = wraps && !isVector ? range(1, panels) : [isVector ? 1 : size(plan.panelColumn)];
  let head = 0;
  let best = fit(shape, across, 0);
  if (panels > 1 && !isVector) {
    const labelled = fit(shape, across, LABEL * ratio);
    if (labelled.scale >= 0.75 * best.scale && labelled.scale * columns >= 24 * ratio) {
      best = labelled;
      head = Math.round(LABEL * ratio);
    }
  }
  const scale = Math.max(best.scale, 1e-3);
  let cellWidth = scale;
  let cellHeight = scale;
  const largest = LARGEST_CELL * ratio;
  if (bars) {
    cellWidth = Math.min(width / columns, 2 * largest);
    cellHeight = Math.min(height, 180 * ratio);
  } else if (isVector) {
    cellHeight = Math.max(scale, Math.min(28 * ratio, (height - best.gap * (panels - 1)) / panels));
  } else if (panels === 1 && plan.panelColumn === null) {
    // Few columns (a matrix of 1,000 × 10) would be a thread: cells may be wider than high, and the other way round.
    cellWidth = Math.max(scale, Math.min(width / columns, scale * 12, largest));
    cellHeight = Math.max(scale, Math.min(height / rows, scale * 12, largest));
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
    wraps,
    bars,
    ...offsetsOf(plan, counts, orders, isVector, panels),
  };
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

/**
 * How far the grid can be enlarged: until one cell is large enough for any number.
 * @param {Grid} grid
 * @param {number} ratio
 */
export function largestZoom(grid, ratio) {
  const cell = grid.bars
    ? grid.panelWidth / grid.columns
    : Math.min(grid.panelWidth / grid.columns, grid.panelHeight / grid.rows);
  return Math.max(1, (96 * ratio) / cell);
}

/** What of a grid is in the middle of the screen, as shares of the grid. @typedef {{scale: number, x: number, y: number}} View */
/** The screen: device pixels, and how many of them are a CSS pixel. @typedef {{width: number, height: number, ratio: number}} Space */

/**
 * The nearest transform that leaves no room beside the grid while there is more of it beyond the screen's edges.
 * @param {Grid} grid
 * @param {Transform} transform
 * @param {Space} space
 * @returns {Transform}
 */
export function clampTransform(grid, { scale, x, y }, { width, height, ratio }) {
  const bounded = Math.min(largestZoom(grid, ratio), Math.max(1, scale));
  const place = (
    /** @type {number} */ at,
    /** @type {number} */ size,
    /** @type {number} */ room,
  ) => Math.min(0, Math.max(Math.min(0, room - bounded * size), at));
  return {
    scale: bounded,
    x: place(x, grid.width, width),
    y: grid.bars ? 0 : place(y, grid.height, height),
  };
}

/**
 * How a grid lies on the screen.
 * @param {Grid} grid
 * @param {View | null} view null: all of it
 * @param {Space} space
 * @returns {Transform}
 */
export function transformOf(grid, view, space) {
  if (!view) return { scale: 1, x: 0, y: 0 };
  const scale = Math.min(largestZoom(grid, space.ratio), Math.max(1, view.scale));
  const x = space.width / 2 - view.x * scale * grid.width;
  const y = space.height / 2 - view.y * scale * grid.height;
  return clampTransform(grid, { scale, x, y }, space);
}

/**
 * What is in the middle of the screen; null where all of the grid is there.
 * @param {Grid} grid
 * @param {Transform} transform
 * @param {Space} space
 * @returns {View | null}
 */
export function viewOf(grid, { scale, x, y }, { width, height }) {
  if (scale <= 1) return null;
  const share = (/** @type {number} */ value) =>
    Math.round(Math.min(1, Math.max(0, value)) * 1e6) / 1e6;
  return {
    scale: Math.round(scale * 1e4) / 1e4,
    x: share((width / 2 - x) / scale / grid.width),
    y: grid.bars ? 0.5 : share((height / 2 - y) / scale / grid.height),
  };
}

/**
 * Enlarged around a point of the screen that stays where it is.
 * @param {Grid} grid
 * @param {Transform} transform
 * @param {number} factor
 * @param {{x: number, y: number}} point device pixels
 * @param {Space} space
 * @returns {Transform}
 */
export function enlarged(grid, transform, factor, point, space) {
  const scale = Math.min(largestZoom(grid, space.ratio), Math.max(1, transform.scale * factor));
  const by = scale / transform.scale;
  const x = point.x - by * (point.x - transform.x);
  const y = point.y - by * (point.y - transform.y);
  return clampTransform(grid, { scale, x, y }, space);
}

/** @param {Grid} grid @param {Transform} transform */
const downScale = (grid, { scale }) => (grid.bars ? 1 : scale);

/**
 * @param {Grid} grid
 * @param {Transform} transform
 * @param {number} width of the screen, device pixels
 * @param {number} height
 * @returns {Projection}
 */
export function project(grid, transform, width, height) {
  const columnAt = new Int32Array(width).fill(-1);
  const rowAt = new Int32Array(height).fill(-1);
  const pitchX = grid.panelWidth + grid.gap;
  for (let x = 0; x < width; x++) {
    const at = (x + 0.5 - transform.x) / transform.scale;
    const panel = Math.floor(at / pitchX);
    const inside = at - panel * pitchX;
    if (at < 0 || panel >= grid.panelsPerRow || inside >= grid.panelWidth) continue;
    columnAt[x] =
      panel * grid.columns +
      Math.min(grid.columns - 1, Math.floor((inside * grid.columns) / grid.panelWidth));
  }
  const pitchY = grid.head + grid.panelHeight + grid.gap;
  const scaleY = downScale(grid, transform);
  for (let y = 0; y < height; y++) {
    const at = (y + 0.5 - transform.y) / scaleY;
    const panel = Math.floor(at / pitchY);
    const inside = at - panel * pitchY - grid.head;
    if (at < 0 || panel >= grid.panelRows || inside < 0 || inside >= grid.panelHeight) continue;
    rowAt[y] =
      panel * grid.rows +
      Math.min(grid.rows - 1, Math.floor((inside * grid.rows) / grid.panelHeight));
  }
  return { columnAt, rowAt };
}

/**
 * The place in the data, without that of the chosen indices, of a cell; -1 if there is none.
 * @param {Grid} grid
 * @param {number} column through all panels
 * @param {number} row through all panels
 */
export function offsetOfCell(grid, column, row) {
  if (column < 0 || row < 0) return -1;
  const panelColumn = Math.floor(column / grid.columns);
  const panelRow = Math.floor(row / grid.rows);
  if (panelColumn >= grid.panelsPerRow || panelRow >= grid.panelRows) return -1;
  const panel = panelRow * grid.panelsPerRow + panelColumn;
  if (panel >= grid.panels) return -1;
  if (grid.line) return grid.line[panel * grid.columns + (column % grid.columns)] ?? -1;
  return (
    grid.panelOffsets[panel] +
    grid.rowOffsets[row % grid.rows] +
    grid.columnOffsets[column % grid.columns]
  );
}

/**
 * The cell that shows a place in the data; null if none does.
 * @param {Grid} grid
 * @param {number} offset without that of the chosen indices
 * @returns {{column: number, row: number} | null}
 */
export function cellOfOffset(grid, offset) {
  if (grid.line) {
    const at = grid.line.indexOf(offset);
    return at < 0 ? null : { column: at % grid.columns, row: Math.floor(at / grid.columns) };
  }
  for (let panel = 0; panel < grid.panels; panel++) {
    for (let row = 0; row < grid.rows; row++) {
      const column = grid.columnOffsets.indexOf(
        offset - grid.panelOffsets[panel] - grid.rowOffsets[row],
      );
      if (column < 0) continue;
      return {
        column: (panel % grid.panelsPerRow) * grid.columns + column,
        row: Math.floor(panel / grid.panelsPerRow) * grid.rows + row,
      };
    }
  }
  return null;
}

/**
 * Where a cell lies on the screen.
 * @param {Grid} grid
 * @param {Transform} transform
 * @param {number} column
 * @param {number} row
 * @returns {Rect}
 */
export function cellRect(grid, transform, column, row) {
  const scaleY = downScale(grid, transform);
  const left = Math.floor(column / grid.columns) * (grid.panelWidth + grid.gap);
  const top = Math.floor(row / grid.rows) * (grid.head + grid.panelHeight + grid.gap) + grid.head;
  const x = (/** @type {number} */ i) =>
    Math.round(transform.x + transform.scale * (left + (i * grid.panelWidth) / grid.columns));
  const y = (/** @type {number} */ i) =>
    Math.round(transform.y + scaleY * (top + (i * grid.panelHeight) / grid.rows));
  const [inX, inY] = [column % grid.columns, row % grid.rows];
  return { x: x(inX), y: y(inY), width: x(inX + 1) - x(inX), height: y(inY + 1) - y(inY) };
}

/**
 * Where a panel lies on the screen, its name's room not counted.
 * @param {Grid} grid
 * @param {Transform} transform
 * @param {number} panel
 * @returns {Rect}
 */
export function panelRect(grid, transform, panel) {
  const scaleY = downScale(grid, transform);
  const left = (panel % grid.panelsPerRow) * (grid.panelWidth + grid.gap);
  const top =
    Math.floor(panel / grid.panelsPerRow) * (grid.head + grid.panelHeight + grid.gap) + grid.head;
  return {
    x: transform.x + transform.scale * left,
    y: transform.y + scaleY * top,
    width: transform.scale * grid.panelWidth,
    height: scaleY * grid.panelHeight,
  };
}

/**
 * All cells that are on the screen, column by column of each row.
 * @param {Grid} grid
 * @param {Projection} projection
 * @returns {Generator<{column: number, row: number, offset: number}>}
 */
export function* visibleCells(grid, { columnAt, rowAt }) {
  const columns = [...new Set(columnAt)].filter((column) => column >= 0);
  for (const row of new Set(rowAt)) {
    if (row < 0) continue;
    for (const column of columns) {
      const offset = offsetOfCell(grid, column, row);
      if (offset >= 0) yield { column, row, offset };
    }
  }
}
