import { useEffect, useMemo, useState } from "preact/hooks";

import { LEVELS, levelOf, palette, pictureScale, toUnit, TROUBLE } from "../colour.js";
import { formatCount, formatExact } from "../format.js";
import { rangeOverSteps } from "../histogram.js";
import { theme } from "../host.js";
import {
  axisNames,
  baseOffset,
  cellAt,
  describeKept,
  describeLayout,
  finiteRange,
  layOut,
  nonFiniteCells,
  offsetAt,
  offsetOf,
  paint,
  planPicture,
  trueIndex,
} from "../picture.js";
import { ColourBar } from "./ColourBar.jsx";
import { cssVariable, pointIn, useCanvas, useSize } from "./hooks.js";

/** @typedef {import("../store.js").Store} Store */
/** @typedef {import("../run_data.js").Run} Run */
/** @typedef {import("../payload.js").Values} Values */

/**
 * The kept values as a picture, with the value under the pointer.
 * @param {{store: Store, run: Run}} props
 */
export function Picture({ store, run }) {
  const loaded = store.detail.value;
  const pending = store.detailPending.value;
  const detail = loaded.status === "ready" ? loaded.value : null;
  const values = detail?.values ?? null;
  const stale = detail !== null && detail.tensor !== store.tensor.value;
  const [chosen, setChosen] = useState(/** @type {Record<number, number>} */ ({}));
  // Another tensor has other axes.
  useEffect(() => setChosen({}), [detail?.tensor]);

  if (!detail) return <div class="lv-picture lv-message">Loading the values…</div>;
  const tensor = run.info.tensors[detail.tensor];
  if (!detail.record) {
    return (
      <div class="lv-picture lv-message">
        This tensor was not logged at step {formatCount(detail.step)}.
      </div>
    );
  }
  if (detail.valuesProblem) {
    return (
      <div class="lv-picture lv-message" role="alert">
        <p class="lv-error">{detail.valuesProblem}</p>
        <p>The statistics above are whole: they lie in the event file.</p>
      </div>
    );
  }
  if (!values || !tensor) {
    return (
      <div class="lv-picture lv-message">
        <p>
          No values of this tensor are kept, only its statistics and histograms. What is kept is
          chosen when logging, with <code>keep=</code>.
        </p>
      </div>
    );
  }
  const names = axisNames(tensor.axes, values.axes.length, tensor.kind);
  const other = detail.record.values_step;
  const how = [
    describeLayout(planPicture(names), names),
    tensor.kind !== "weight" && run.info.probe ? probeInWords(run.info.probe) : "",
  ]
    .filter(Boolean)
    .join(" · ");
  return (
    <div class={`lv-picture${stale || pending ? " lv-pending" : ""}`}>
      <div class="lv-picture-head">
        <p class="lv-kept" data-testid="kept">
          <span class="lv-caption">shown</span> {describeKept(values.axes, names)},{" "}
          {values.precision}
          {other !== null && other !== detail.step && (
            <b
              class="lv-other-step"
              data-testid="values-step"
              title={`At step ${formatCount(detail.step)} the statistics and the histogram are kept, values are not.`}
            >
              , of step {formatCount(other)}, the nearest that is kept
            </b>
          )}
          <span class="lv-caption lv-layout" title={how}>
            {how}
          </span>
        </p>
        <Choosers
          values={values}
          names={names}
          chosen={chosen}
          onChoose={(axis, index) => setChosen({ ...chosen, [axis]: index })}
        />
        <label class="lv-select" title="What the colours reach over">
          <select
            data-testid="picture-range"
            aria-label="What the colours reach over"
            value={store.view.range.value}
            onChange={(event) => {
              store.view.range.value = event.currentTarget.value;
            }}
          >
            <option value="all">colours over all steps</option>
            <option value="step">colours of this step</option>
          </select>
        </label>
      </div>
      <PictureCanvas
        store={store}
        values={values}
        names={names}
        chosen={chosen}
        tensor={detail.tensor}
      />
    </div>
  );
}

/**
 * On which inputs activations and gradients were computed.
 * @param {NonNullable<import("../api.js").RunInfo["probe"]>} probe
 */
function probeInWords({ source, examples, training }) {
  const what = source || `a fixed batch of ${examples} examples`;
  return `on ${what}, in ${training ? "training" : "inference"} mode`;
}

/**
 * One chooser for each axis of which one index is shown at a time.
 * @param {object} props
 * @param {Values} props.values
 * @param {string[]} props.names
 * @param {Record<number, number>} props.chosen
 * @param {(axis: number, index: number) => void} props.onChoose
 */
function Choosers({ values, names, chosen, onChoose }) {
  const plan = planPicture(names);
  return (
    <>
      {plan.choosers
        .filter((axis) => values.axes[axis].size > 1)
        .map((axis) => {
          const { start, step, count } = values.axes[axis];
          const index = Math.min(chosen[axis] ?? 0, count - 1);
          return (
            <span key={axis} class="lv-chooser" role="group" aria-label={names[axis]}>
              <span class="lv-caption">{names[axis]}</span>
              <button
                type="button"
                aria-label={`Previous ${names[axis]}`}
                disabled={index === 0}
                onClick={() => onChoose(axis, index - 1)}
              >
                ◀
              </button>
              <output>{start + step * index}</output>
              <button
                type="button"
                aria-label={`Next ${names[axis]}`}
                disabled={index >= count - 1}
                onClick={() => onChoose(axis, index + 1)}
              >
                ▶
              </button>
            </span>
          );
        })}
    </>
  );
}

/**
 * @param {object} props
 * @param {Store} props.store
 * @param {Values} props.values
 * @param {string[]} props.names
 * @param {Record<number, number>} props.chosen
 * @param {number} props.tensor
 */
function PictureCanvas({ store, values, names, chosen, tensor }) {
  const [ref, size] = /** @type {ReturnType<typeof useSize<HTMLDivElement>>} */ (useSize());
  /** The element under the pointer, and the one that was clicked, as indices of the whole tensor. */
  const [hover, setHover] = useState(/** @type {number[] | null} */ (null));
  const [pinned, setPinned] = useState(/** @type {number[] | null} */ (null));
  useEffect(() => {
    setHover(null);
    setPinned(null);
  }, [tensor]);

  const ratio = window.devicePixelRatio || 1;
  const plan = useMemo(() => planPicture(names), [names.join("\n")]);
  const counts = values.axes.map(({ count }) => count);
  const layout = useMemo(
    () =>
      layOut(
        plan,
        counts,
        Math.max(1, Math.floor(size.width * ratio)),
        Math.max(1, Math.floor(size.height * ratio)),
        ratio,
      ),
    [plan, counts.join(), size.width, size.height, ratio],
  );
  const base = baseOffset(plan, counts, chosen);
  const { data } = values;
  const range = usePictureRange(store, tensor, data);
  const scale = useMemo(() => pictureScale(range), [range[0], range[1]]);
  const facts = useMemo(() => inspect(data, scale), [data, scale]);
  const colours = palette(theme.value, scale.diverging);

  const width = layout.width / ratio;
  const height = layout.height / ratio;
  const visible = size.width > 0 && size.height > 0 && data.length > 0;
  const canvas = useCanvas(
    visible ? width : 0,
    visible ? height : 0,
    (context) => {
      const image = new ImageData(layout.width, layout.height);
      paint(new Uint32Array(image.data.buffer), layout, data, base, scale, colours);
      context.putImageData(image, 0, 0);
      drawPanelFrames(context, layout);
      drawNonFinite(context, nonFiniteCells(layout, data, base, 7 * ratio), ratio);
    },
    [layout, data, base, scale, colours, theme.value],
  );

  /** @param {number} x @param {number} y device pixels @returns {number[] | null} */
  const indexAt = (x, y) => {
    const offset = offsetAt(layout, base, x, y, data.length);
    return offset < 0 ? null : trueIndex(values.axes, offset);
  };
  /** @param {number[] | null} index */
  const pixelOf = (index) => {
    if (!index) return null;
    const offset = offsetOf(values.axes, index);
    if (offset < 0) return null;
    for (let y = 0; y < layout.height; y++) {
      if (layout.down[y] < 0 || (y > 0 && layout.down[y] === layout.down[y - 1])) continue;
      for (let x = 0; x < layout.width; x++) {
        if (offsetAt(layout, base, x, y, data.length) === offset) return { x, y };
      }
    }
    return null;
  };
  const marks = useCanvas(
    visible ? width : 0,
    visible ? height : 0,
    (context) => {
      for (const [index, colour] of /** @type {const} */ ([
        [pinned, "--lv-accent"],
        [hover, "--lv-now"],
      ])) {
        const pixel = pixelOf(index);
        const cell = pixel && cellAt(layout, pixel.x, pixel.y);
        if (!cell) continue;
        for (const [style, thickness] of /** @type {const} */ ([
          [cssVariable("--lv-surface"), 3.5],
          [cssVariable(colour), 1.5],
        ])) {
          context.strokeStyle = style;
          context.lineWidth = thickness * ratio;
          context.strokeRect(cell.x, cell.y, cell.width, cell.height);
        }
      }
    },
    [layout, hover?.join(), pinned?.join(), data, base, theme.value],
  );

  /** @param {PointerEvent | MouseEvent} event */
  const locate = (event) => {
    const { x, y } = pointIn(event);
    return indexAt(Math.floor(x * ratio), Math.floor(y * ratio));
  };
  /** @param {KeyboardEvent} event */
  const walk = (event) => {
    const directions = /** @type {Record<string, [number, number]>} */ ({
      ArrowLeft: [-1, 0],
      ArrowRight: [1, 0],
      ArrowUp: [0, -1],
      ArrowDown: [0, 1],
    });
    if (event.key === "Escape") setPinned(null);
    const direction = directions[event.key];
    if (!direction) return;
    // With the picture in focus, arrows walk through its elements, not through steps and layers.
    event.preventDefault();
    event.stopPropagation();
    const from = pixelOf(pinned);
    if (!from) {
      setPinned(indexAt(0, 0));
      return;
    }
    const here = pinned?.join();
    let { x, y } = from;
    for (;;) {
      x += direction[0];
      y += direction[1];
      if (x < 0 || y < 0 || x >= layout.width || y >= layout.height) return;
      const index = indexAt(x, y);
      if (index && index.join() !== here) {
        setPinned(index);
        return;
      }
    }
  };

  const shown = hover ?? pinned;
  return (
    <>
      <div class="lv-picture-place" ref={ref}>
        <div
          class="lv-picture-canvas"
          data-testid="picture"
          role="img"
          tabIndex={0}
          aria-label="The kept values as a picture. With the arrow keys you walk through its elements."
          style={{ width: `${width}px`, height: `${height}px` }}
          onPointerMove={(event) => setHover(locate(event))}
          onPointerLeave={() => setHover(null)}
          onClick={(event) => {
            const index = locate(event);
            setPinned(index && index.join() === pinned?.join() ? null : index);
          }}
          onKeyDown={walk}
        >
          <canvas ref={canvas} data-testid="picture-canvas" />
          <canvas ref={marks} />
        </div>
      </div>
      <div class="lv-picture-foot">
        <Readout values={values} names={names} index={shown} pinned={!hover && pinned !== null} />
        <ColourBar scale={scale} label="" clipped={facts} marks={facts} />
      </div>
    </>
  );
}

/**
 * What the colours reach over: the 1st to 99th percentile of all steps, so that growth shows, or this step's values.
 * @param {Store} store
 * @param {number} tensor
 * @param {Float32Array | Float64Array} data
 * @returns {[number, number]}
 */
function usePictureRange(store, tensor, data) {
  const histograms = store.histograms.value;
  const overall = useMemo(() => {
    if (histograms.status !== "ready" || histograms.value.tensor !== tensor) return null;
    return rangeOverSteps(histograms.value.bySteps, 0.01, 0.99);
  }, [histograms, tensor]);
  const own = useMemo(() => finiteRange(data), [data]);
  if (store.view.range.value === "step" || !overall) return own;
  // All that matters may lie beyond the percentiles: a layer of which 99 % is zero.
  return overall[0] === overall[1] ? own : overall;
}

/**
 * What a colour bar has to say of some data besides its scale.
 * @param {Float32Array | Float64Array} data
 * @param {import("../colour.js").ColourScale} scale
 */
function inspect(data, scale) {
  const found = { nan: false, posInf: false, negInf: false, low: false, high: false };
  const slack = 1e-3;
  for (const value of data) {
    const level = levelOf(scale, value);
    if (level >= LEVELS) {
      if (value !== value) found.nan = true;
      else if (value > 0) found.posInf = true;
      else found.negInf = true;
    } else if (level === 0) found.low ||= toUnit(scale, value) < -slack;
    else if (level === LEVELS - 1) found.high ||= toUnit(scale, value) > 1 + slack;
  }
  return found;
}

/**
 * Colours the gaps between panels, so that two dark neighbours are two.
 * @param {CanvasRenderingContext2D} context
 * @param {import("../picture.js").Layout} layout
 */
function drawPanelFrames(context, { panels, panelsPerRow, panelWidth, panelHeight, gap }) {
  if (!gap) return;
  context.save();
  context.globalCompositeOperation = "destination-over";
  context.fillStyle = cssVariable("--lv-gap");
  for (let panel = 0; panel < panels; panel++) {
    const x = (panel % panelsPerRow) * (panelWidth + gap);
    const y = Math.floor(panel / panelsPerRow) * (panelHeight + gap);
    context.fillRect(x - gap, y - gap, panelWidth + 2 * gap, panelHeight + 2 * gap);
  }
  context.restore();
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {ReturnType<typeof nonFiniteCells>} cells
 * @param {number} ratio
 */
function drawNonFinite(context, cells, ratio) {
  const { empty } = TROUBLE[theme.value];
  context.strokeStyle = empty;
  for (const { x, y, width, height, value } of cells) {
    const size = Math.min(width, height, 16 * ratio) * 0.28;
    const middleX = x + width / 2;
    const middleY = y + height / 2;
    context.lineWidth = Math.max(1, size * 0.35);
    context.beginPath();
    if (Number.isNaN(value)) {
      context.moveTo(middleX - size, middleY - size);
      context.lineTo(middleX + size, middleY + size);
      context.moveTo(middleX + size, middleY - size);
      context.lineTo(middleX - size, middleY + size);
    } else {
      context.moveTo(middleX - size, middleY);
      context.lineTo(middleX + size, middleY);
      if (value > 0) {
        context.moveTo(middleX, middleY - size);
        context.lineTo(middleX, middleY + size);
      }
    }
    context.stroke();
  }
}

/**
 * The index in the whole tensor and the value there.
 * @param {object} props
 * @param {Values} props.values
 * @param {string[]} props.names
 * @param {number[] | null} props.index
 * @param {boolean} props.pinned
 */
function Readout({ values, names, index, pinned }) {
  const offset = index ? offsetOf(values.axes, index) : -1;
  if (!index || offset < 0) {
    return (
      <p class="lv-readout lv-readout-none" data-testid="readout" aria-live="polite">
        Point at an element to read it.
      </p>
    );
  }
  const value = values.data[offset];
  return (
    <p
      class="lv-readout"
      data-testid="readout"
      data-index={index.join(",")}
      data-value={String(value)}
      aria-live="polite"
    >
      <b class={Number.isFinite(value) ? "" : "lv-bad"}>{formatExact(value)}</b>
      <span class="lv-readout-index">[{index.join(", ")}]</span>
      <span class="lv-readout-words">
        {index.map((at, i) => `${names[i]} ${at}`).join(", ")}
        {pinned && " · kept"}
      </span>
    </p>
  );
}
