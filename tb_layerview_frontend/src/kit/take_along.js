/** What leaves the tab: files that are downloaded, and text for the clipboard. */

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
