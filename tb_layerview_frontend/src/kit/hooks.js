/** What several views need: sizes of elements, canvases that fit the screen's pixels. */

import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";

/**
 * The size of an element, as it changes.
 * @template {HTMLElement} E
 * @returns {[import("preact").RefObject<E>, {width: number, height: number}]} in CSS pixels; 0 while it is hidden
 */
export function useSize() {
  const ref = useRef(/** @type {E | null} */ (null));
  const [size, setSize] = useState({ width: 0, height: 0 });
  useLayoutEffect(() => {
    const element = ref.current;
    if (!element) return undefined;
    const measure = () => {
      const width = element.clientWidth;
      const height = element.clientHeight;
      setSize((old) => (old.width === width && old.height === height ? old : { width, height }));
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return [/** @type {import("preact").RefObject<E>} */ (ref), size];
}

/**
 * Gives a canvas as many pixels as the screen has for it, and draws before the browser paints, so that nothing flickers.
 * @param {number} width CSS pixels
 * @param {number} height CSS pixels
 * @param {(context: CanvasRenderingContext2D, ratio: number) => void} draw in device pixels, on a cleared canvas
 * @param {unknown[]} inputs draw again when one of them changes
 */
export function useCanvas(width, height, draw, inputs) {
  const ref = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const ratio = window.devicePixelRatio || 1;
  useLayoutEffect(() => {
    const canvas = ref.current;
    const context = canvas?.getContext("2d");
    if (!canvas || !context || width <= 0 || height <= 0) return;
    const across = Math.round(width * ratio);
    const down = Math.round(height * ratio);
    if (canvas.width !== across) canvas.width = across;
    if (canvas.height !== down) canvas.height = down;
    context.clearRect(0, 0, across, down);
    draw(context, ratio);
  }, [width, height, ratio, ...inputs]);
  return ref;
}

/**
 * What an element of a size has on the screen, the same object as long as nothing changes.
 * @param {{width: number, height: number}} size CSS pixels
 * @returns {{width: number, height: number, ratio: number}} device pixels, and how many there are to a CSS pixel
 */
export function useDevicePixels({ width, height }) {
  const ratio = window.devicePixelRatio || 1;
  return useMemo(
    () => ({
      width: Math.max(1, Math.floor(width * ratio)),
      height: Math.max(1, Math.floor(height * ratio)),
      ratio,
    }),
    [width, height, ratio],
  );
}

/**
 * Where a pointer is within an element.
 * @param {MouseEvent} event
 * @returns {{x: number, y: number}} CSS pixels from the element's upper left corner
 */
export function pointIn(event) {
  const box = /** @type {Element} */ (event.currentTarget).getBoundingClientRect();
  return { x: event.clientX - box.left, y: event.clientY - box.top };
}

/**
 * A colour of the style sheet, for drawing.
 * @param {string} name of a custom property
 */
export function cssVariable(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** @type {Map<string, HTMLCanvasElement>} */
const hatchings = new Map();

/**
 * Diagonal stripes: the mark of trouble that needs no colour.
 * @param {CanvasRenderingContext2D} context
 * @param {string} ground
 * @param {string} stripe
 * @param {number} ratio
 * @param {boolean} [quiet] thin stripes, further apart and the other way down: of what is no trouble
 * @returns {CanvasPattern}
 */
export function hatching(context, ground, stripe, ratio, quiet = false) {
  const key = `${ground} ${stripe} ${ratio} ${quiet}`;
  let tile = hatchings.get(key);
  if (!tile) {
    const size = Math.round((quiet ? 7 : 6) * ratio);
    tile = document.createElement("canvas");
    tile.width = tile.height = size;
    const own = /** @type {CanvasRenderingContext2D} */ (tile.getContext("2d"));
    own.fillStyle = ground;
    own.fillRect(0, 0, size, size);
    own.strokeStyle = stripe;
    own.lineWidth = (quiet ? 0.9 : 1.4) * ratio;
    if (quiet) own.transform(-1, 0, 0, 1, size, 0);
    own.beginPath();
    for (const shift of [-size, 0, size]) {
      own.moveTo(shift - 1, size + 1);
      own.lineTo(shift + size + 1, -1);
    }
    own.stroke();
    hatchings.set(key, tile);
  }
  return /** @type {CanvasPattern} */ (context.createPattern(tile, "repeat"));
}

/**
 * Whether keys belong to the element that has them: text is typed, a choice is made.
 * @param {EventTarget | null} target
 */
export function isEditing(target) {
  if (target instanceof HTMLSelectElement || target instanceof HTMLTextAreaElement) return true;
  return target instanceof HTMLInputElement && !["range", "checkbox"].includes(target.type);
}
