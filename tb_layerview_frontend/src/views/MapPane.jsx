import { useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";

import { firstTrouble, scaleRange, worstOf } from "../aggregate.js";
import { makeStepAxis } from "../axis.js";
import { statisticScale } from "../colour.js";
import { formatCount, formatShare, formatValue } from "../format.js";
import { KINDS, tensorForRow } from "../selection.js";
import { statisticNamed } from "../statistics.js";
import { rowOf, visibleRows } from "../tree.js";
import { ColourBar } from "./ColourBar.jsx";
import { MapCanvas, PROFILE_WIDTH } from "./MapCanvas.jsx";
import { MapToolbar } from "./MapToolbar.jsx";
import { StepAxis } from "./StepAxis.jsx";
import { curvesOf, Strip, STRIP_HEIGHT, StripLegend } from "./Strip.jsx";
import { isEditing, useSize } from "./hooks.js";
import { useComparedCurves, useComparedRows, useDifference } from "./use_comparison.js";

/** @typedef {import("../store.js").Store} Store */
/** @typedef {import("../run_data.js").Run} Run */
/** @typedef {import("../tree.js").Row} Row */
/** @typedef {import("../api.js").Kind} Kind */

/** @typedef {import("../map_layer.js").MapLayer} MapLayer */

const FOOT_HEIGHT = 58;
const TWO_MAPS_WIDTH = 900;

/**
 * The model's layers, and what they did at every step: tree and map in one.
 * @param {{store: Store, run: Run}} props
 */
export function MapPane({ store, run }) {
  const [ref, size] = /** @type {ReturnType<typeof useSize<HTMLDivElement>>} */ (useSize());
  const opened = useSignal(/** @type {Map<string, boolean>} */ (new Map()));
  const [scrollTop, setScrollTop] = useState(0);
  const { view, kinds, tensor, stepIndex } = store;
  const { tensors } = run.info;

  useLayoutEffect(() => {
    if (size.width) store.roomForMaps.value = size.width >= TWO_MAPS_WIDTH ? 2 : 1;
  }, [size.width]);
  // Another run has other layers to fold.
  useEffect(() => {
    opened.value = new Map();
  }, [run.name]);

  const bodyHeight = Math.max(0, size.height - STRIP_HEIGHT - FOOT_HEIGHT);
  const filter = view.filter.value;
  const difference = useDifference(store, run);
  const ownRows = useMemo(
    () =>
      visibleRows(run.tree, {
        tensors,
        kinds: kinds.value,
        filter,
        opened: opened.value,
        fit: Math.max(12, Math.floor(bodyHeight / 18)),
      }),
    [run.tree, tensors, kinds.value.join(), filter, opened.value, bodyHeight],
  );
  const rows = useComparedRows(store, run, ownRows, difference);
  const rowHeight = Math.min(48, Math.max(20, Math.floor(bodyHeight / Math.max(1, rows.length))));
  const selectedRow = useMemo(() => rowOf(rows, tensor.value), [rows, tensor.value]);

  const spacing = /** @type {import("../axis.js").Spacing} */ (view.spacing.value);
  const axis = useMemo(
    () => makeStepAxis(run.history.steps, spacing),
    [run.history.steps, spacing],
  );
  const ownLayers = useLayers(store, run);
  const layers = difference ?? ownLayers;
  const ownCurves = useMemo(() => curvesOf(run.history), [run.history]);
  const curves = useComparedCurves(store, ownCurves);

  const first = Math.floor(scrollTop / rowHeight);
  const shownCount = Math.ceil(bodyHeight / rowHeight) + 1;
  const shown = rows.slice(first, first + shownCount);

  /** @param {number} index of a row */
  const selectRow = (index) => {
    const row = rows[index];
    if (!row) return;
    const kind = tensors[tensor.value]?.kind;
    const among = kinds.value.includes(kind) ? [kind, ...kinds.value] : kinds.value;
    for (const candidate of among) {
      const found = tensorForRow(tensors, row.tensors, candidate, tensor.value);
      if (found < 0) continue;
      store.selectTensor(found);
      break;
    }
    const element = ref.current;
    if (!element) return;
    const top = index * rowHeight;
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top + rowHeight > element.scrollTop + bodyHeight) {
      element.scrollTop = top + rowHeight - bodyHeight;
    }
  };
  /** @param {Row} row */
  const toggle = (row) => {
    opened.value = new Map(opened.value).set(row.node.key, !row.open);
  };
  useRowKeys(rows, selectedRow, selectRow, toggle);

  const mapWidth = useMapWidth(size.width, layers.length);
  return (
    <section class="lv-map-pane" aria-label="Layers over the steps">
      <MapToolbar store={store} run={run} />
      <div
        class="lv-map"
        ref={ref}
        onScroll={(event) => setScrollTop(event.currentTarget.scrollTop)}
        style={{ "--lv-maps": layers.length }}
      >
        <div class="lv-map-head" style={{ height: `${STRIP_HEIGHT}px` }}>
          <StripLegend
            curves={curves}
            index={stepIndex.value}
            scalars={Object.keys(run.history.scalars)}
          />
          <div class="lv-maps">
            {layers.map(({ kind }) => (
              <div key={kind} class="lv-map-column">
                <Strip store={store} axis={axis} curves={curves} />
                <span
                  class="lv-profile-head"
                  title="The statistic from layer to layer, at the selected step"
                >
                  at step
                </span>
              </div>
            ))}
          </div>
        </div>
        <div class="lv-map-body" style={{ minHeight: `${rows.length * rowHeight}px` }}>
          <ul
            class="lv-labels"
            role="tree"
            aria-label="Layers"
            tabIndex={0}
            aria-activedescendant={selectedRow >= 0 ? `lv-row-${selectedRow}` : undefined}
          >
            {shown.map((row, i) => (
              <RowLabel
                key={row.node.key}
                row={row}
                index={first + i}
                height={rowHeight}
                selected={first + i === selectedRow}
                layers={layers}
                steps={run.history.steps}
                onSelect={() => selectRow(first + i)}
                onToggle={() => toggle(row)}
              />
            ))}
            {!rows.length && (
              <li class="lv-no-rows" role="none">
                {filter ? `No layer matches “${filter}”.` : "No layer has tensors of this kind."}
              </li>
            )}
          </ul>
          <div
            class="lv-maps lv-map-sticky"
            style={{
              top: `${STRIP_HEIGHT}px`,
              height: `${Math.min(bodyHeight, rows.length * rowHeight)}px`,
            }}
          >
            {layers.map((layer) => (
              <MapCanvas
                key={layer.kind}
                store={store}
                run={run}
                layer={layer}
                rows={rows}
                axis={axis}
                selectedRow={selectedRow}
                rowHeight={rowHeight}
                scrollTop={scrollTop}
                width={mapWidth}
                height={Math.min(bodyHeight, rows.length * rowHeight)}
              />
            ))}
          </div>
        </div>
        <div class="lv-map-foot" style={{ height: `${FOOT_HEIGHT}px` }}>
          <span class="lv-axis-name">step</span>
          <div class="lv-maps">
            {layers.map((layer) => (
              <div key={layer.kind} class="lv-map-legend">
                <StepAxis axis={axis} width={mapWidth} />
                <ColourBar
                  scale={layer.scale}
                  label={`${KINDS.find(({ kind }) => kind === layer.kind)?.singular} ${layer.statistic.label}`}
                  format={layer.statistic.scale === "share" ? formatShare : formatValue}
                  hatched={layer.anyTrouble}
                />
              </div>
            ))}
          </div>
        </div>
      </div>
    </section>
  );
}

/** The labels' width; the style sheet has the same number. */
const LABELS_WIDTH = 212;
const MAP_GAP = 16;

/**
 * How wide each map is, without its profile.
 * @param {number} width of the pane
 * @param {number} maps
 */
function useMapWidth(width, maps) {
  if (!width || !maps) return 0;
  const room = width - LABELS_WIDTH - MAP_GAP * (maps - 1);
  return Math.max(40, Math.floor(room / maps) - PROFILE_WIDTH);
}

/**
 * @param {Store} store
 * @param {Run} run
 * @returns {MapLayer[]}
 */
function useLayers(store, run) {
  const revision = store.revision.value;
  const statistic = statisticNamed(store.view.statistic.value);
  const problems = store.columnProblems.value;
  const key = store.kinds.value.join();
  return useMemo(
    () =>
      store.kinds.value.map((kind) => {
        const columns = run.columns.get(kind);
        const ready = Boolean(columns?.has(statistic.name) && columns.has("non_finite"));
        const all = ready && columns ? columns.of(statistic.name, columns.tensors) : [];
        const broken = ready && columns ? columns.of("non_finite", columns.tensors) : [];
        /** @type {Map<string, import("../aggregate.js").Series | null>} */
        const known = new Map();
        return {
          kind,
          statistic,
          ready,
          problem: problems[kind],
          scale: statisticScale(statistic.scale, scaleRange(all, statistic.scale)),
          anyTrouble: broken.some((column) => firstTrouble(column) >= 0),
          seriesOf: (/** @type {Row} */ row) => {
            const found = known.get(row.node.key);
            if (found !== undefined) return found;
            const values = columns?.of(statistic.name, row.tensors) ?? [];
            const series =
              ready && columns && values.length
                ? worstOf(
                    values,
                    columns.of("non_finite", row.tensors),
                    statistic.scale === "signed",
                  )
                : null;
            known.set(row.node.key, series);
            return series;
          },
        };
      }),
    [run, revision, statistic, problems, key],
  );
}

/**
 * @param {object} props
 * @param {Row} props.row
 * @param {number} props.index
 * @param {number} props.height CSS pixels
 * @param {boolean} props.selected
 * @param {MapLayer[]} props.layers
 * @param {number[]} props.steps
 * @param {() => void} props.onSelect
 * @param {() => void} props.onToggle
 */
function RowLabel({ row, index, height, selected, layers, steps, onSelect, onToggle }) {
  const { node, depth, expandable, open } = row;
  const trouble = useMemo(() => {
    const found = layers.flatMap((layer) => {
      const series = layer.seriesOf(row);
      const at = series ? firstTrouble(series.nonFinite) : -1;
      return at < 0 ? [] : [at];
    });
    return found.length ? Math.min(...found) : -1;
  }, [layers, row]);
  const since = trouble >= 0 ? `NaN or inf, first at step ${formatCount(steps[trouble])}` : "";
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
      title={[node.path, node.className, since].filter(Boolean).join("\n")}
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
      {trouble >= 0 && (
        <span class="lv-row-trouble" role="img" aria-label={since}>
          ✕
        </span>
      )}
    </li>
  );
}

/**
 * Up and down walk through the rows, Enter folds.
 * @param {Row[]} rows
 * @param {number} selected
 * @param {(index: number) => void} select
 * @param {(row: Row) => void} toggle
 */
function useRowKeys(rows, selected, select, toggle) {
  const latest = useRef({ rows, selected, select, toggle });
  latest.current = { rows, selected, select, toggle };
  useEffect(() => {
    const end = new AbortController();
    document.addEventListener(
      "keydown",
      (event) => {
        const own = latest.current;
        if (event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey) return;
        if (isEditing(event.target)) return;
        if (event.key === "ArrowDown") own.select(Math.min(own.rows.length - 1, own.selected + 1));
        else if (event.key === "ArrowUp") own.select(Math.max(0, own.selected - 1));
        else if (event.key === "Enter" && isIn(event.target, ".lv-labels")) {
          const row = own.rows[own.selected];
          if (row?.expandable) own.toggle(row);
        } else return;
        event.preventDefault();
      },
      { signal: end.signal },
    );
    return () => end.abort();
  }, []);
}

/**
 * @param {EventTarget | null} target
 * @param {string} selector
 */
function isIn(target, selector) {
  return target instanceof Element && target.closest(selector) !== null;
}
