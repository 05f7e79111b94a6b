import { useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";

import { tensorForRow } from "../data/selection.js";
import { statisticOf, worstInWords } from "../data/statistics.js";
import { StepAxis } from "../findings/StepAxis.jsx";
import { byTensor, heads } from "../findings/findings.js";
import { BeyondMark, ColourBar } from "../kit/ColourBar.jsx";
import { makeStepAxis } from "../kit/axis.js";
import { isEditing, useSize } from "../kit/hooks.js";
import { FoundLegend } from "./FoundLegend.jsx";
import { MapCanvas } from "./MapCanvas.jsx";
import { MapDownload } from "./MapDownload.jsx";
import { MapToolbar } from "./MapToolbar.jsx";
import { PROFILE_WIDTH, ProfileAxis } from "./Profile.jsx";
import { RowLabel } from "./RowLabel.jsx";
import { Strip, STRIP_HEIGHT } from "./Strip.jsx";
import { StripLegend } from "./StripLegend.jsx";
import { curvesOf } from "./curves.js";
import { layerLabel, makeMapLayer } from "./layer.js";
import { keyOfTensors, rankByWorst } from "./order.js";
import { findTensors, rowOf, visibleRows } from "./rows.js";
import { useComparedCurves, useComparedRows, useDifference } from "./use_comparison.js";

/** @typedef {import("../page/store.js").Store} Store */
/** @typedef {import("../data/run_data.js").Run} Run */
/** @typedef {import("./rows.js").Row} Row */
/** @typedef {import("../data/types.js").Kind} Kind */

/** @typedef {import("./layer.js").MapLayer} MapLayer */

const FOOT_HEIGHT = 58;
/** A map of differences of two runs does not mark what is found in one of them. */
const NOT_MARKED = new Map();
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
  const ownLayers = useLayers(store, run);
  const difference = useDifference(store, run);
  const layers = difference ?? ownLayers;
  const order = useRank(store, run, ownLayers);
  const matches = useMemo(
    () => findTensors(run.tree, { tensors, kinds: kinds.value, filter }),
    [run.tree, tensors, kinds.value.join(), filter],
  );
  const ownRows = useMemo(
    () =>
      visibleRows(run.tree, {
        tensors,
        kinds: kinds.value,
        filter,
        order,
        opened: opened.value,
        fit: Math.max(12, Math.floor(bodyHeight / 18)),
      }),
    [run.tree, tensors, kinds.value.join(), filter, order, opened.value, bodyHeight],
  );
  const rows = useComparedRows(store, run, ownRows, difference);
  const rowHeight = Math.min(48, Math.max(20, Math.floor(bodyHeight / Math.max(1, rows.length))));
  const selectedRow = useMemo(() => rowOf(rows, tensor.value), [rows, tensor.value]);

  const spacing = /** @type {import("../kit/axis.js").Spacing} */ (view.spacing.value);
  const axis = useMemo(
    () => makeStepAxis(run.history.steps, spacing),
    [run.history.steps, spacing],
  );
  const found = useMemo(() => byTensor(store.found.value.findings), [store.found.value]);
  const marked = useMemo(() => heads(store.found.value.findings), [store.found.value]);
  const evaluation = store.evaluation.value;
  const ownCurves = useMemo(
    () => curvesOf(run.history, evaluation?.history),
    [run.history, evaluation?.history],
  );
  const curves = useComparedCurves(store, ownCurves);
  const curvesOff = view.curvesOff.value;
  const drawnCurves = useMemo(
    () => curves.filter(({ name }) => !curvesOff.includes(name)),
    [curves, curvesOff],
  );

  const first = Math.floor(scrollTop / rowHeight);
  const shownCount = Math.ceil(bodyHeight / rowHeight) + 1;
  const shown = rows.slice(first, first + shownCount);

  /** @param {number} index of a row */
  const selectRow = (index) => {
    const row = rows[index];
    if (!row) return;
    const isOwn = (/** @type {number} */ at) =>
      run.info.layers[tensors[at].layer].path === row.node.path;
    const kind = tensors[tensor.value]?.kind;
    const among = kinds.value.includes(kind) ? [kind, ...kinds.value] : kinds.value;
    for (const candidate of among) {
      // Attention is a layer of its own, and its projections lie within it: what it logs itself comes first.
      const inner = tensorForRow(tensors, row.tensors, candidate, tensor.value);
      const own = tensorForRow(tensors, row.tensors.filter(isOwn), candidate, tensor.value);
      const found = own >= 0 ? own : inner;
      if (found < 0) continue;
      store.selectTensor(found);
      break;
    }
  };
  const isLaidOut = bodyHeight > 0;
  // Whatever has selected it, its row is seen.
  useEffect(() => {
    const element = ref.current;
    if (!element || selectedRow < 0 || !isLaidOut) return;
    const top = selectedRow * rowHeight;
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top + rowHeight > element.scrollTop + bodyHeight) {
      element.scrollTop = top + rowHeight - bodyHeight;
    }
  }, [run.name, tensor.value, kinds.value.join(), isLaidOut]);
  /** @param {Row} row */
  const toggle = (row) => {
    opened.value = new Map(opened.value).set(row.node.key, !row.open);
  };
  useRowKeys(rows, selectedRow, selectRow, toggle);

  const mapWidth = useMapWidth(size.width, layers.length);
  return (
    <section class="lv-map-pane" aria-label="Layers over the steps">
      <MapToolbar store={store} run={run} matches={matches}>
        <MapDownload
          store={store}
          run={run}
          layers={layers}
          rows={rows}
          axis={axis}
          found={difference ? NOT_MARKED : found}
          curves={curves}
          place={ref}
          rowHeight={rowHeight}
          width={mapWidth}
        />
      </MapToolbar>
      <div
        class="lv-map"
        ref={ref}
        onScroll={(event) => setScrollTop(event.currentTarget.scrollTop)}
        style={{ "--lv-maps": layers.length }}
      >
        <div class="lv-map-head" style={{ height: `${STRIP_HEIGHT}px` }}>
          <StripLegend
            curves={curves}
            off={curvesOff}
            index={stepIndex.value}
            step={run.history.steps[stepIndex.value]}
            evaluation={evaluation}
            onToggle={(name) => {
              view.curvesOff.value = curvesOff.includes(name)
                ? curvesOff.filter((other) => other !== name)
                : [...curvesOff, name];
            }}
          />
          <div class="lv-maps">
            {layers.map(({ kind }) => (
              <div key={kind} class="lv-map-column">
                <Strip store={store} axis={axis} curves={drawnCurves} />
                <span class="lv-profile-head" />
              </div>
            ))}
          </div>
        </div>
        <div class="lv-map-body" style={{ minHeight: `${rows.length * rowHeight}px` }}>
          <ul
            class="lv-labels"
            role={rows.length ? "tree" : undefined}
            aria-label="Layers"
            tabIndex={rows.length ? 0 : undefined}
            aria-activedescendant={
              shown.includes(rows[selectedRow]) ? `lv-row-${selectedRow}` : undefined
            }
          >
            {shown.map((row, i) => (
              <RowLabel
                key={row.node.key}
                row={row}
                index={first + i}
                height={rowHeight}
                selected={first + i === selectedRow}
                found={found}
                onSelect={() => selectRow(first + i)}
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
                found={difference ? NOT_MARKED : found}
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
          <div class="lv-axis-name">
            step
            {order && rows === ownRows && (
              <p class="lv-order" data-testid="order-words">
                Worst first: NaN or inf, then {worstInWords(ownLayers[0].statistic)}
                {layers.length > 1 && " of the left map"}
              </p>
            )}
          </div>
          <div class="lv-maps">
            {layers.map((layer) => (
              <div key={layer.kind} class="lv-map-legend">
                <StepAxis axis={axis} width={mapWidth} marks={marked} />
                <ProfileAxis layer={layer} step={run.history.steps[stepIndex.value]} />
                <ColourBar
                  scale={layer.scale}
                  label={layerLabel(layer)}
                  format={layer.format}
                  ends={layer.rowScales ? ["low", "high of each row"] : undefined}
                  hatched={layer.anyTrouble}
                >
                  <BeyondMark value={layer.beyond} format={layer.format} />
                  <FoundLegend
                    found={difference ? NOT_MARKED : found}
                    tensors={tensors}
                    kind={layer.kind}
                  />
                </ColourBar>
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
  const { view, kinds } = store;
  const revision = store.revision.value;
  const statistic = view.statistic.value;
  const transform = /** @type {import("../kit/colour.js").MapTransform | ""} */ (
    view.transform.value
  );
  const rowScales = view.rowScales.value;
  const problems = store.columnProblems.value;
  return useMemo(
    () =>
      kinds.value.map((kind) =>
        makeMapLayer({
          columns: run.columns,
          kind,
          statistic: statisticOf(statistic, kind),
          transform,
          rowScales,
          problem: problems[kind],
        }),
      ),
    [run, revision, statistic, transform, rowScales, problems, kinds.value.join()],
  );
}

/**
 * What ranks the rows, if they do not stand in the model's order. It is of the first map, and stays as it is while new
 * steps come in.
 * @param {Store} store
 * @param {Run} run
 * @param {MapLayer[]} layers
 * @returns {import("./order.js").RankKey | null}
 */
function useRank(store, run, layers) {
  const order = store.view.order.value;
  const [layer] = layers;
  return useMemo(() => {
    const columns = run.columns.get(layer?.kind);
    if (order !== "worst" || !layer?.ready || !columns) return null;
    const { tensors } = columns;
    const values = columns.of(layer.statistic.name, tensors);
    const broken = columns.of("non_finite", tensors);
    return keyOfTensors(rankByWorst(tensors, values, broken, layer.badness));
  }, [order, run.name, run.history.generation, layer?.kind, layer?.statistic, layer?.ready]);
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
