import { useEffect, useId, useRef, useState } from "preact/hooks";

import { messageOf } from "../data/requests.js";
import { FilmProgress } from "./FilmProgress.jsx";
import { encodeCsv } from "./array_files.js";
import { filmOf } from "./film.js";
import { captioned, imageSheet, sheetCanvas, sheetSvg, SHARPNESS } from "./sheet.js";
import { copyPicture, copyText, download, fileName, pngOf } from "./take_along.js";

/**
 * What a panel can be taken along as. Each is made when it is asked for.
 * @typedef {object} Panel
 * @property {string} [label] what it is, in a menu of several panels
 * @property {(string | number)[]} facts of which its files are named, see `fileName`
 * @property {() => {title: string, lines: string[], canvases: HTMLCanvasElement[]}} [picture] as it is on the screen
 * @property {() => import("./sheet.js").Captioned} [sheet] the picture in pieces, which can be drawn sharper and as SVG
 * @property {(format: import("./film.js").FilmFormat, signal: AbortSignal) => Promise<import("./film.js").Footage>} [film]
 *   all steps of it
 * @property {(string | number)[]} [filmFacts] of which a film's file is named; as the others if they are left out
 * @property {() => import("./array_files.js").Table} [table]
 * @property {() => Uint8Array<ArrayBuffer>} [array]
 */

/** @typedef {"png" | "svg" | "copy" | "webm" | "gif" | "csv" | "npy"} Format */
/** @typedef {{format: Format, of: (keyof Panel)[], label: string, meaning: string}} Way */

/** `of`: a panel that has one of these can be taken along so. @type {Way[]} */
const FORMATS = [
  { format: "png", of: ["sheet"], label: "PNG", meaning: "the picture, twice as sharp as here" },
  { format: "png", of: ["picture"], label: "PNG", meaning: "the picture as it is on the screen" },
  { format: "svg", of: ["sheet"], label: "SVG", meaning: "the picture, its words as text" },
  { format: "copy", of: ["sheet", "picture"], label: "Copy", meaning: "the picture" },
  { format: "webm", of: ["film"], label: "WebM", meaning: "a film of all kept steps" },
  { format: "gif", of: ["film"], label: "GIF", meaning: "a film of all kept steps" },
  { format: "csv", of: ["table"], label: "CSV", meaning: "the numbers as text" },
  { format: "npy", of: ["array"], label: "npy", meaning: "the numbers for numpy.load" },
];

/**
 * A menu of what one or several panels can be downloaded as.
 * @param {object} props
 * @param {string} props.what is downloaded, for screen readers: "the picture"
 * @param {Panel[]} props.panels
 * @param {boolean} [props.small] whether the button has room for a sign alone
 */
export function TakeAlong({ what, panels, small = false }) {
  const [open, setOpen] = useState(false);
  const [problem, setProblem] = useState("");
  const [copied, setCopied] = useBriefly();
  const { filming, film } = useFilming();
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

  /** @param {Panel} panel @param {Way} as */
  const take = async (panel, { format }) => {
    setOpen(false);
    button.current?.focus();
    try {
      setProblem("");
      if (format === "copy") {
        await copyPicture(pictureOf(panel));
        setCopied("Copied");
        return;
      }
      const isFilm = format === "webm" || format === "gif";
      const content = isFilm ? await film(panel, format) : await blobOf(panel, format);
      const facts = (isFilm && panel.filmFacts) || panel.facts;
      if (content) download(content, `${fileName(facts)}.${format}`);
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
        class={`lv-small-button${small ? " lv-sign-button" : ""}`}
        ref={button}
        data-testid={`take-along-${inTestId(what)}`}
        aria-haspopup="menu"
        aria-expanded={open}
        aria-controls={open ? id : undefined}
        aria-label={`Download ${what}`}
        title={`Download ${what}`}
        onClick={() => setOpen(!open)}
      >
        {small ? (
          <svg viewBox="0 0 12 12" width="12" height="12" aria-hidden="true">
            <path d="M6 1v6.5M3 5l3 3 3-3M1.5 10.5h9" fill="none" stroke="currentColor" />
          </svg>
        ) : (
          <span aria-live="polite">{copied || "Download ▾"}</span>
        )}
      </button>
      {open && (
        <span class="lv-menu" role="menu" id={id} aria-label={`Download ${what} as`}>
          {panels.map((panel) => (
            <span key={panel.label} role="group" aria-label={panel.label}>
              {panel.label && <span class="lv-menu-head">{panel.label}</span>}
              {FORMATS.filter(({ of }) => of.some((form) => panel[form])).map((as) => (
                <button
                  key={as.format}
                  type="button"
                  role="menuitem"
                  tabIndex={-1}
                  data-testid={["download", panel.label && inTestId(panel.label), as.format]
                    .filter(Boolean)
                    .join("-")}
                  onClick={() => void take(panel, as)}
                >
                  <b>{as.label}</b> {as.meaning}
                </button>
              ))}
            </span>
          ))}
        </span>
      )}
      {filming && <FilmProgress {...filming} />}
      {problem && (
        <span class="lv-error" role="alert">
          {problem}
        </span>
      )}
    </span>
  );
}

/**
 * A word that goes away by itself.
 * @returns {[string, (said: string) => void]}
 */
function useBriefly() {
  const [said, setSaid] = useState("");
  useEffect(() => {
    if (!said) return undefined;
    const timer = setTimeout(() => setSaid(""), 2500);
    return () => clearTimeout(timer);
  }, [said]);
  return [said, setSaid];
}

/** The film that is being made, one at a time; it ends with what it is of. */
function useFilming() {
  const [filming, setFilming] = useState(
    /** @type {import("./FilmProgress.jsx").Filming | null} */ (null),
  );
  const under = useRef(/** @type {AbortController | null} */ (null));
  useEffect(() => () => under.current?.abort(), []);
  /**
   * @param {Panel} panel
   * @param {import("./film.js").FilmFormat} format
   * @returns {Promise<Blob | null>} null if somebody has ended it
   */
  const film = async (panel, format) => {
    if (!panel.film) throw new Error("There is no film of this.");
    under.current?.abort();
    const abort = new AbortController();
    under.current = abort;
    const what = format === "webm" ? "WebM" : "GIF";
    const cancel = () => abort.abort();
    setFilming({ what, done: 0, frames: 0, frame: null, cancel });
    try {
      const footage = await panel.film(format, abort.signal);
      const { frames } = footage;
      return await filmOf({
        ...footage,
        format,
        signal: abort.signal,
        progress: (done, frame) =>
          abort.signal.aborted || setFilming({ what, done, frames, frame, cancel }),
      });
    } catch (error) {
      if (abort.signal.aborted) return null;
      throw error;
    } finally {
      if (under.current === abort) {
        under.current = null;
        setFilming(null);
      }
    }
  };
  return { filming, film };
}

/** @param {string} words */
const inTestId = (words) => words.replace(/\W+/g, "-");

/**
 * @param {Panel} panel
 * @returns {Promise<Blob>} a PNG
 */
function pictureOf({ sheet, picture }) {
  const ratio = window.devicePixelRatio || 1;
  if (sheet) return pngOf(sheetCanvas(captioned(sheet()), SHARPNESS * ratio));
  if (!picture) throw new Error("There is no picture of this.");
  const { canvases, ...words } = picture();
  const sheets = canvases.map((canvas) => imageSheet(canvas, ratio));
  return pngOf(sheetCanvas(captioned({ ...words, sheets }), ratio));
}

/**
 * @param {Panel} panel
 * @param {"png" | "svg" | "csv" | "npy"} format one that the panel has
 */
async function blobOf(panel, format) {
  const { sheet, table, array } = panel;
  if (format === "png") return pictureOf(panel);
  if (format === "svg" && sheet) {
    const made = sheet();
    return new Blob([sheetSvg(captioned(made), made.title)], { type: "image/svg+xml" });
  }
  if (format === "csv" && table) {
    const { head, rows } = table();
    return new Blob([encodeCsv(head, rows)], { type: "text/csv" });
  }
  if (array) return new Blob([array()], { type: "application/octet-stream" });
  throw new Error(`There is no ${format} of this.`);
}

/**
 * A button that copies text, and says that it has.
 * @param {{text: () => string, label: string, title: string, testid: string}} props
 */
export function CopyButton({ text, label, title, testid }) {
  const [said, setSaid] = useBriefly();
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
