import { useEffect, useId, useRef, useState } from "preact/hooks";

import { messageOf } from "../api.js";
import { copyText, download } from "./take_along.js";

/**
 * What a panel can be taken along as. Each is made when it is asked for.
 * @typedef {object} Formats
 * @property {() => Blob | Promise<Blob>} [png]
 * @property {() => string} [csv]
 * @property {() => Uint8Array<ArrayBuffer>} [npy]
 */

const FORMATS = /** @type {const} */ ([
  ["png", "PNG", "the picture as it is on the screen"],
  ["csv", "CSV", "the numbers as text"],
  ["npy", "npy", "the numbers for numpy.load"],
]);

/**
 * A menu of what a panel can be downloaded as.
 * @param {Formats & {name: string, what: string}} props `name` of the files, without an ending (see `fileName`); `what` is
 *   downloaded, for screen readers: "the picture"
 */
export function TakeAlong({ name, what, ...formats }) {
  const [open, setOpen] = useState(false);
  const [problem, setProblem] = useState("");
  const place = useRef(/** @type {HTMLSpanElement | null} */ (null));
  const button = useRef(/** @type {HTMLButtonElement | null} */ (null));
  const id = useId();
  useEffect(() => {
    if (!open) return undefined;
    const first = place.current?.querySelector("[role=menuitem]");
    if (first instanceof HTMLElement) first.focus();
    /** @param {PointerEvent} event */
    const leave = (event) => {
      if (event.target instanceof Node && !place.current?.contains(event.target)) setOpen(false);
    };
    document.addEventListener("pointerdown", leave);
    return () => document.removeEventListener("pointerdown", leave);
  }, [open]);

  /** @param {"png" | "csv" | "npy"} format */
  const take = async (format) => {
    setOpen(false);
    button.current?.focus();
    try {
      setProblem("");
      download(await blobOf(format, formats), `${name}.${format}`);
    } catch (error) {
      setProblem(messageOf(error));
    }
  };
  /** @param {KeyboardEvent} event */
  const onKey = (event) => {
    const items = /** @type {HTMLElement[]} */ ([
      ...(place.current?.querySelectorAll("[role=menuitem]") ?? []),
    ]);
    const at = items.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
    if (event.key === "Escape" || event.key === "Tab") {
      setOpen(false);
      if (event.key === "Escape") button.current?.focus();
    } else if (to !== undefined) items.at(to % items.length)?.focus();
    else return;
    // Arrows here are not steps.
    event.stopPropagation();
    if (event.key !== "Tab") event.preventDefault();
  };
  return (
    <span class="lv-take-along" ref={place} onKeyDown={open ? onKey : undefined}>
      <button
        type="button"
        class="lv-small-button"
        ref={button}
        data-testid={`take-along-${what.replace(/\W+/g, "-")}`}
        aria-haspopup="menu"
        aria-expanded={open}
        aria-controls={open ? id : undefined}
        aria-label={`Download ${what}`}
        title={`Download ${what}`}
        onClick={() => setOpen(!open)}
      >
        Download ▾
      </button>
      {open && (
        <span class="lv-menu" role="menu" id={id} aria-label={`Download ${what} as`}>
          {FORMATS.filter(([format]) => formats[format]).map(([format, label, meaning]) => (
            <button
              key={format}
              type="button"
              role="menuitem"
              tabIndex={-1}
              data-testid={`download-${format}`}
              onClick={() => void take(format)}
            >
              <b>{label}</b> {meaning}
            </button>
          ))}
        </span>
      )}
      {problem && (
        <span class="lv-error" role="alert">
          {problem}
        </span>
      )}
    </span>
  );
}

/**
 * @param {"png" | "csv" | "npy"} format
 * @param {Formats} formats
 */
async function blobOf(format, { png, csv, npy }) {
  if (format === "png" && png) return png();
  if (format === "csv" && csv) return new Blob([csv()], { type: "text/csv" });
  if (format === "npy" && npy) return new Blob([npy()], { type: "application/octet-stream" });
  throw new Error(`There is no ${format} of this.`);
}

/**
 * A button that copies text, and says that it has.
 * @param {{text: () => string, label: string, title: string, testid: string}} props
 */
export function CopyButton({ text, label, title, testid }) {
  const [said, setSaid] = useState("");
  useEffect(() => {
    if (!said) return undefined;
    const timer = setTimeout(() => setSaid(""), 2500);
    return () => clearTimeout(timer);
  }, [said]);
  const copy = async () => {
    try {
      await copyText(text());
      setSaid("Copied");
    } catch (error) {
      setSaid(messageOf(error));
    }
  };
  return (
    <button
      type="button"
      class="lv-small-button"
      title={title}
      data-testid={testid}
      onClick={() => void copy()}
    >
      <span aria-live="polite">{said || label}</span>
    </button>
  );
}
