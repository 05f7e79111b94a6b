import { useEffect, useId, useRef, useState } from "preact/hooks";

import { messageOf } from "../data/requests.js";
import { encodeCsv } from "./array_files.js";
import { captionedPng, copyText, download, fileName } from "./take_along.js";

/**
 * What a panel can be taken along as. Each is made when it is asked for.
 * @typedef {object} Panel
 * @property {string} [label] what it is, in a menu of several panels
 * @property {(string | number)[]} facts of which its files are named, see `fileName`
 * @property {() => Parameters<typeof captionedPng>[0]} [picture]
 * @property {() => import("./array_files.js").Table} [table]
 * @property {() => Uint8Array<ArrayBuffer>} [array]
 */

/** @type {{format: string, form: "picture" | "table" | "array", label: string, meaning: string}[]} */
const FORMATS = [
  { format: "png", form: "picture", label: "PNG", meaning: "the picture as it is on the screen" },
  { format: "csv", form: "table", label: "CSV", meaning: "the numbers as text" },
  { format: "npy", form: "array", label: "npy", meaning: "the numbers for numpy.load" },
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

  /** @param {Panel} panel @param {typeof FORMATS[number]} as */
  const take = async (panel, { form, format }) => {
    setOpen(false);
    button.current?.focus();
    try {
      setProblem("");
      download(await blobOf(panel, form), `${fileName(panel.facts)}.${format}`);
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
          "Download ▾"
        )}
      </button>
      {open && (
        <span class="lv-menu" role="menu" id={id} aria-label={`Download ${what} as`}>
          {panels.map((panel) => (
            <span key={panel.label} role="group" aria-label={panel.label}>
              {panel.label && <span class="lv-menu-head">{panel.label}</span>}
              {FORMATS.filter(({ form }) => panel[form]).map((as) => (
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
      {problem && (
        <span class="lv-error" role="alert">
          {problem}
        </span>
      )}
    </span>
  );
}

/** @param {string} words */
const inTestId = (words) => words.replace(/\W+/g, "-");

/**
 * @param {Panel} panel
 * @param {"picture" | "table" | "array"} form one that the panel has
 */
async function blobOf({ picture, table, array }, form) {
  if (form === "picture" && picture) return captionedPng(picture());
  if (form === "table" && table) {
    const { head, rows } = table();
    return new Blob([encodeCsv(head, rows)], { type: "text/csv" });
  }
  if (array) return new Blob([array()], { type: "application/octet-stream" });
  throw new Error(`There is no ${form} of this.`);
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
