/** What leaves the tab: files that are downloaded, and text for the clipboard. */

import { cssVariable } from "./hooks.js";

const MARGIN = 12;
const LINE = 16;

/**
 * Hands a file to the person.
 * @param {Blob} content
 * @param {string} name
 */
export function download(content, name) {
  const url = URL.createObjectURL(content);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  // The browser has read the address by then, however large the file is.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/**
 * A name for a file of some facts, as every file system takes it: `demo_block_1-conv_activation_step-12`.
 * @param {(string | number)[]} facts
 */
export function fileName(facts) {
  return facts
    .map((fact) =>
      String(fact)
        .normalize("NFKD")
        .replace(/[^\w.+-]+/g, "-")
        .replace(/^[-.]+|-+$/g, ""),
    )
    .filter(Boolean)
    .join("_")
    .slice(0, 160);
}

/**
 * Canvases one below the other, under a title and over lines of text, on the tab's own ground.
 * @param {object} parts
 * @param {string} parts.title
 * @param {string[]} parts.lines what is said below
 * @param {HTMLCanvasElement[]} parts.canvases
 * @returns {Promise<Blob>}
 */
export function captionedPng({ title, lines, canvases }) {
  const ratio = window.devicePixelRatio || 1;
  const made = document.createElement("canvas");
  const context = /** @type {CanvasRenderingContext2D} */ (made.getContext("2d"));
  const family = cssVariable("--lv-font") || "sans-serif";
  const heading = `500 ${14 * ratio}px ${family}`;
  const small = `400 ${11 * ratio}px ${family}`;
  context.font = heading;
  const titles = wrap(context, title, 640 * ratio);
  const across = Math.max(
    360 * ratio,
    ...canvases.map(({ width }) => width),
    ...titles.map((text) => context.measureText(text).width),
  );
  context.font = small;
  const captions = lines.flatMap((line) => wrap(context, line, across));
  const margin = MARGIN * ratio;
  const line = LINE * ratio;
  made.width = Math.ceil(across + 2 * margin);
  made.height = Math.ceil(
    canvases.reduce((sum, { height }) => sum + height + margin / 2, 0) +
      (titles.length * 1.25 + captions.length) * line +
      3 * margin,
  );
  context.fillStyle = cssVariable("--lv-surface");
  context.fillRect(0, 0, made.width, made.height);
  let y = margin;
  /** @param {string[]} texts @param {string} font @param {number} step @param {string} colour */
  const write = (texts, font, step, colour) => {
    context.font = font;
    context.fillStyle = cssVariable(colour);
    context.textBaseline = "top";
    for (const text of texts) {
      context.fillText(text, margin, y);
      y += step;
    }
  };
  write(titles, heading, 1.25 * line, "--lv-text");
  y += margin / 2;
  for (const canvas of canvases) {
    context.drawImage(canvas, margin, y);
    y += canvas.height + margin / 2;
  }
  write(captions, small, line, "--lv-secondary");
  return pngOf(made);
}

/**
 * @param {HTMLCanvasElement} canvas
 * @returns {Promise<Blob>}
 */
export function pngOf(canvas) {
  return new Promise((resolve, reject) =>
    canvas.toBlob((blob) =>
      blob ? resolve(blob) : reject(new Error("The browser could not make a PNG of this size.")),
    ),
  );
}

/**
 * Puts a picture on the clipboard.
 * @param {Promise<Blob>} png
 */
export async function copyPicture(png) {
  try {
    // A promise: some browsers let a page write only while it answers a click.
    await navigator.clipboard.write([new ClipboardItem({ "image/png": png })]);
  } catch {
    // What could not be drawn says so itself.
    await png;
    throw new Error(
      "The browser does not let this page write pictures to the clipboard. Download the PNG instead.",
    );
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {string} text
 * @param {number} width
 */
function wrap(context, text, width) {
  /** @type {string[]} */
  const lines = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    const joined = last === undefined ? word : `${last} ${word}`;
    if (last !== undefined && context.measureText(joined).width <= width) {
      lines[lines.length - 1] = joined;
    } else lines.push(word);
  }
  return lines;
}

/**
 * Puts text on the clipboard. Over plain HTTP browsers keep their newer interface from pages that are not on this machine.
 * @param {string} text
 */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return;
  } catch {
    // Not allowed here, or not there at all: the older way, which asks for nothing.
  }
  const field = document.createElement("textarea");
  field.value = text;
  field.style.position = "fixed";
  field.style.opacity = "0";
  document.body.append(field);
  const before = document.activeElement;
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  if (before instanceof HTMLElement) before.focus();
  if (!done) throw new Error("The browser does not let this page write to the clipboard.");
}
