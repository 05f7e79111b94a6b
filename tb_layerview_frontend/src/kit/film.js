/** Films of what canvases show, frame by frame: WebM by the browser's own encoder, GIF with one palette for all frames. */

import { applyPalette, GIFEncoder, quantize } from "gifenc";

/** @typedef {"webm" | "gif"} FilmFormat */

/**
 * What a film shows.
 * @typedef {object} Footage
 * @property {number} frames how many
 * @property {(index: number) => Promise<HTMLCanvasElement>} draw one of them; all are as large as the first, or are cut
 * @property {number} framesPerSecond
 */

/**
 * How far a film is: frames drawn, and the newest of them.
 * @typedef {(done: number, frame: HTMLCanvasElement) => void} Progress
 */

const LAST_FRAME_SECONDS = 1.5;

/**
 * Makes a film. The WebM takes as long as it is long: the browser encodes what it sees as time goes by.
 * @param {Footage & {format: FilmFormat, progress?: Progress, signal?: AbortSignal}} what
 * @returns {Promise<Blob>}
 * @throws {Error} there is no frame, or the browser cannot record; an AbortError once `signal` is aborted
 */
export async function filmOf({ format, progress = () => {}, signal, ...footage }) {
  if (!(footage.frames > 0)) throw new Error("There is no step of which a film could be made.");
  const never = signal ?? new AbortController().signal;
  return format === "gif" ? gifOf(footage, progress, never) : webmOf(footage, progress, never);
}

/**
 * How fast a film goes: as fast as one can follow, and faster where it would be longer than a quarter of a minute.
 * @param {number} frames
 */
export function paceOf(frames) {
  return Math.min(25, Math.max(6, Math.ceil(frames / 15)));
}

/** Lets the page do what waits. @param {number} [milliseconds] */
const breathe = (milliseconds = 0) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// --- WebM --------------------------------------------------------------------------------------

const CODECS = ["video/webm;codecs=vp9", "video/webm;codecs=vp8", "video/webm"];
const BITS_PER_PIXEL = 0.6;

/**
 * @param {Footage} footage
 * @param {Progress} progress
 * @param {AbortSignal} signal
 */
async function webmOf({ frames, draw, framesPerSecond }, progress, signal) {
  const type = globalThis.MediaRecorder && CODECS.find((one) => MediaRecorder.isTypeSupported(one));
  if (!type) throw new Error("This browser cannot record WebM. Take the GIF instead.");
  let next = await draw(0);
  signal.throwIfAborted();
  const canvas = document.createElement("canvas");
  // Encoders take even sizes alone.
  canvas.width = next.width + (next.width % 2);
  canvas.height = next.height + (next.height % 2);
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const stream = canvas.captureStream(0);
  const track = /** @type {CanvasCaptureMediaStreamTrack} */ (stream.getVideoTracks()[0]);
  // What is not drawn anew is not captured either.
  const show = (/** @type {HTMLCanvasElement} */ frame) => {
    context.drawImage(frame, 0, 0);
    track.requestFrame();
  };
  const recorder = new MediaRecorder(stream, {
    mimeType: type,
    videoBitsPerSecond: BITS_PER_PIXEL * canvas.width * canvas.height * framesPerSecond,
  });
  const chunks = chunksOf(recorder);
  try {
    // Without slices of time: the file then says how long it is, and one can seek in it.
    recorder.start();
    for (let index = 0; index < frames; index++) {
      const shownAt = performance.now();
      show(next);
      progress(index + 1, next);
      if (index === frames - 1) break;
      const drawing = draw(index + 1);
      await breathe(1000 / framesPerSecond - (performance.now() - shownAt));
      // A frame that is not there yet stops the clock, not the film.
      recorder.pause();
      next = await drawing;
      signal.throwIfAborted();
      recorder.resume();
    }
    await breathe(1000 * LAST_FRAME_SECONDS);
    // A frame that lasts needs an end, or the film ends where that one begins.
    show(next);
    await breathe(100);
  } finally {
    if (recorder.state !== "inactive") recorder.stop();
    track.stop();
  }
  signal.throwIfAborted();
  return new Blob(await chunks, { type: "video/webm" });
}

/**
 * All that a recorder gives until it stops.
 * @param {MediaRecorder} recorder
 * @returns {Promise<Blob[]>}
 */
function chunksOf(recorder) {
  /** @type {Blob[]} */
  const chunks = [];
  recorder.addEventListener("dataavailable", ({ data }) => chunks.push(data));
  /** @type {Promise<Blob[]>} */
  const all = new Promise((resolve, reject) => {
    recorder.addEventListener("stop", () => resolve(chunks));
    recorder.addEventListener("error", (event) => {
      const { error } = /** @type {{error?: DOMException}} */ (/** @type {unknown} */ (event));
      const why = error?.message ?? "it does not say why";
      reject(new Error(`The browser could not record: ${why}`));
    });
  });
  // Who has cancelled does not wait for it.
  all.catch(() => {});
  return all;
}

// --- GIF ---------------------------------------------------------------------------------------

/** From how many frames, and how many pixels of each, the palette is made. */
const [SAMPLED_FRAMES, SAMPLED_PIXELS] = [12, 20_000];

/** The colour of a pixel that stays as it was, the last that a palette has room for, and what leaves the frame before it. */
const [UNCHANGED, KEEP] = [255, 1];

/**
 * A frame without what the frame before has, too: it is a fraction as large then.
 * @param {Uint8Array} colours of its pixels, in a palette
 * @param {Uint8Array | null} before those of the frame before it; null for the first one
 */
export function changedPixels(colours, before) {
  return before
    ? colours.map((colour, pixel) => (colour === before[pixel] ? UNCHANGED : colour))
    : colours;
}

/**
 * @param {Footage} footage
 * @param {Progress} progress
 * @param {AbortSignal} signal
 */
async function gifOf({ frames, draw, framesPerSecond }, progress, signal) {
  const first = await draw(0);
  const { width, height } = first;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const context = /** @type {CanvasRenderingContext2D} */ (
    canvas.getContext("2d", { willReadFrequently: true })
  );
  /** @param {HTMLCanvasElement} frame */
  const pixelsOf = (frame) => {
    context.drawImage(frame, 0, 0);
    return context.getImageData(0, 0, width, height).data;
  };
  /** @type {Uint32Array[]} */
  const samples = [];
  for (const index of someOf(frames, SAMPLED_FRAMES)) {
    samples.push(sampled(pixelsOf(index ? await draw(index) : first), SAMPLED_PIXELS));
    await breathe();
    signal.throwIfAborted();
  }
  const rgba = new Uint8Array(joined(samples).buffer);
  const palette = quantize(rgba, UNCHANGED, { format: "rgb565" });
  // A colour that no pixel is given stands in the rest of it.
  const whole = Array.from({ length: UNCHANGED + 1 }, (_, at) => palette[at] ?? [0, 0, 0]);
  const encoder = GIFEncoder();
  /** @type {Uint8Array | null} */
  let before = null;
  for (let index = 0; index < frames; index++) {
    const frame = await draw(index);
    const colours = applyPalette(pixelsOf(frame), palette, "rgb565");
    const seconds = index === frames - 1 ? LAST_FRAME_SECONDS : 1 / framesPerSecond;
    encoder.writeFrame(changedPixels(colours, before), width, height, {
      // Of the first one it is that of all.
      palette: index ? undefined : whole,
      transparent: index > 0,
      transparentIndex: UNCHANGED,
      dispose: KEEP,
      delay: 1000 * seconds,
    });
    before = colours;
    progress(index + 1, frame);
    await breathe();
    signal.throwIfAborted();
  }
  encoder.finish();
  return new Blob([/** @type {Uint8Array<ArrayBuffer>} */ (encoder.bytes())], {
    type: "image/gif",
  });
}

/**
 * Some of so many, evenly, the first and the last among them.
 * @param {number} count
 * @param {number} most
 * @returns {number[]}
 */
export function someOf(count, most) {
  const chosen = Math.min(count, most);
  return Array.from({ length: chosen }, (_, i) =>
    chosen < 2 ? 0 : Math.round((i * (count - 1)) / (chosen - 1)),
  );
}

/**
 * Some of a picture's pixels, evenly, in an order that meets all columns.
 * @param {Uint8ClampedArray} pixels
 * @param {number} most
 */
function sampled(pixels, most) {
  const all = new Uint32Array(pixels.buffer, pixels.byteOffset, pixels.length >> 2);
  // An odd stride does not stay in the same columns of a picture of an even width.
  const every = Math.max(1, Math.floor(all.length / most)) | 1;
  return Uint32Array.from({ length: Math.ceil(all.length / every) }, (_, i) => all[i * every]);
}

/** @param {Uint32Array[]} parts */
function joined(parts) {
  const all = new Uint32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
