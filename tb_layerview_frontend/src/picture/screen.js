/** A picture's grid on the screen: moved, enlarged, and which cell lies at which pixel. */

/** @typedef {import("./layout.js").Grid} Grid */

/** How the grid lies on the screen: a point p of it at `scale * p + (x, y)`, in device pixels.
 * @typedef {{scale: number, x: number, y: number}} Transform */

/**
 * Which column and row of the grid each pixel of the screen shows, -1 for a gap.
 * @typedef {{columnAt: Int32Array, rowAt: Int32Array}} Projection
 */

/** @typedef {{x: number, y: number, width: number, height: number}} Rect device pixels */

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
 * The point nearest to the middle of the screen that shows a cell: between panels there is nothing to enlarge.
 * @param {Projection} projection
 * @returns {{x: number, y: number}} device pixels
 */
export function middleCell({ columnAt, rowAt }) {
  return { x: nearestToMiddle(columnAt), y: nearestToMiddle(rowAt) };
}

/** @param {Int32Array} cells -1 for a gap */
function nearestToMiddle(cells) {
  const middle = cells.length / 2;
  let best = middle;
  let distance = Infinity;
  cells.forEach((cell, at) => {
    if (cell >= 0 && Math.abs(at + 0.5 - middle) < distance) {
      distance = Math.abs(at + 0.5 - middle);
      best = at + 0.5;
    }
  });
  return best;
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
 * Where a unit lies on the screen: its panel, or its column or row of each panel.
 * @param {Grid} grid
 * @param {Transform} transform
 * @param {number} units how many are kept: the size of the last axis, whose neighbours are neighbours in the data
 * @param {number} unit kept index
 * @returns {Rect[]}
 */
export function unitRects(grid, transform, units, unit) {
  if (grid.line) {
    const cell = cellOfOffset(grid, unit);
    return cell ? [cellRect(grid, transform, cell.column, cell.row)] : [];
  }
  const { panels, panelsPerRow, panelOffsets, rowOffsets, columnOffsets, columns, rows } = grid;
  /** The part of a panel's cells that may hold the unit. @param {Int32Array} offsets @param {number} before */
  const part = (offsets, before) => {
    const last = offsets.length - 1;
    const varies = last > 0 && offsets[0] % units !== offsets[1] % units;
    const at = varies ? offsets.findIndex((offset) => (before + offset) % units === unit) : 0;
    return { from: at, to: varies ? at : last };
  };
  return Array.from(panelOffsets.subarray(0, panels)).flatMap((offset, panel) => {
    const down = part(rowOffsets, offset + columnOffsets[0]);
    if (down.from < 0) return [];
    const across = part(columnOffsets, offset + rowOffsets[down.from]);
    if (across.from < 0) return [];
    if ((offset + rowOffsets[down.from] + columnOffsets[across.from]) % units !== unit) return [];
    const left = (panel % panelsPerRow) * columns;
    const top = Math.floor(panel / panelsPerRow) * rows;
    const first = cellRect(grid, transform, left + across.from, top + down.from);
    const last = cellRect(grid, transform, left + across.to, top + down.to);
    const [width, height] = [last.x + last.width - first.x, last.y + last.height - first.y];
    return [{ x: first.x, y: first.y, width, height }];
  });
}

/**
 * Whether all of a rectangle is on the screen, or as much as the screen has room for.
 * @param {Rect} rect
 * @param {number} width of the screen
 * @param {number} height of the screen
 */
export function isInside(rect, width, height) {
  const fits = (/** @type {number} */ at, /** @type {number} */ size, /** @type {number} */ room) =>
    Math.min(at + size, room) - Math.max(at, 0) >= Math.min(size, room) - 1e-6;
  return fits(rect.x, rect.width, width) && fits(rect.y, rect.height, height);
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
