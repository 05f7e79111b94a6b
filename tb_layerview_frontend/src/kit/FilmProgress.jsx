import { useEffect, useRef } from "preact/hooks";

/**
 * How far a film is that is being made.
 * @typedef {object} Filming
 * @property {string} what "WebM" or "GIF"
 * @property {number} done
 * @property {number} frames 0 while it is not known
 * @property {HTMLCanvasElement | null} frame the newest one
 * @property {() => void} cancel
 */

const PREVIEW = 220;

/**
 * A film while it is made: how far it is, its newest frame, and a way out.
 * @param {Filming} props
 */
export function FilmProgress({ what, done, frames, frame, cancel }) {
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const high = frame ? Math.round((PREVIEW * frame.height) / frame.width) : 0;
  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!frame || !context || !canvas.current) return;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(PREVIEW * ratio), Math.round(high * ratio)];
    if (canvas.current.width !== width) canvas.current.width = width;
    if (canvas.current.height !== height) canvas.current.height = height;
    context.drawImage(frame, 0, 0, width, height);
  }, [frame, done, high]);
  return (
    <span class="lv-menu lv-filming" role="group" aria-label={`A film as ${what} is made`}>
      <canvas ref={canvas} hidden={!frame} style={{ width: `${PREVIEW}px`, height: `${high}px` }} />
      <span class="lv-filming-line">
        <progress value={frames ? done : undefined} max={frames || 1} aria-label="Frames made" />
        <span data-testid="film-progress">
          {frames ? `${done} of ${frames} frames` : "reading the steps…"}
        </span>
        <button type="button" class="lv-small-button" data-testid="film-cancel" onClick={cancel}>
          Cancel
        </button>
      </span>
    </span>
  );
}
