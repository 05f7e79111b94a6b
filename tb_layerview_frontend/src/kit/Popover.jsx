import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

/** How far from the page's edge a panel stays, CSS pixels. */
const EDGE = 8;

/**
 * A button that opens a small panel below itself. Escape, or a click elsewhere, closes it.
 * @param {object} props
 * @param {import("preact").ComponentChildren} props.button what stands on the button
 * @param {string} props.label the panel's name
 * @param {string} [props.title] of the button
 * @param {string} [props.buttonClass]
 * @param {string} props.testid of the button; the panel has "-panel" after it
 * @param {import("preact").ComponentChildren | ((close: () => void) => import("preact").ComponentChildren)} props.children
 */
export function Popover({ button, label, title, buttonClass = "", testid, children }) {
  const [open, setOpen] = useState(false);
  const root = useRef(/** @type {HTMLSpanElement | null} */ (null));
  const opener = useRef(/** @type {HTMLButtonElement | null} */ (null));
  const panel = useRef(/** @type {HTMLDivElement | null} */ (null));
  const close = () => {
    setOpen(false);
    opener.current?.focus();
  };
  useEffect(() => {
    if (!open) return undefined;
    const end = new AbortController();
    document.addEventListener(
      "pointerdown",
      (event) => {
        if (event.target instanceof Node && !root.current?.contains(event.target)) setOpen(false);
      },
      { signal: end.signal, capture: true },
    );
    return () => end.abort();
  }, [open]);
  // It hangs from its button's right edge, unless it would begin before the page, and scrolls where it would end below it.
  useLayoutEffect(() => {
    const box = panel.current?.getBoundingClientRect();
    if (!panel.current || !box) return;
    const { style } = panel.current;
    if (box.left < EDGE) style.transform = `translateX(${EDGE - box.left}px)`;
    if (box.bottom > innerHeight) style.maxHeight = `${innerHeight - box.top - EDGE}px`;
  }, [open]);
  return (
    <span
      class="lv-popover"
      ref={root}
      onFocusOut={({ relatedTarget }) => {
        if (relatedTarget instanceof Node && !root.current?.contains(relatedTarget)) setOpen(false);
      }}
      onKeyDown={(event) => {
        if (event.key !== "Escape" || !open) return;
        event.stopPropagation();
        close();
      }}
    >
      <button
        ref={opener}
        type="button"
        class={`lv-popover-button ${buttonClass}`}
        data-testid={testid}
        title={open ? undefined : title}
        aria-expanded={open}
        aria-haspopup="dialog"
        onClick={() => setOpen(!open)}
      >
        {button}
      </button>
      {open && (
        <div
          ref={panel}
          class="lv-popover-panel"
          role="dialog"
          aria-label={label}
          data-testid={`${testid}-panel`}
        >
          {typeof children === "function" ? children(close) : children}
        </div>
      )}
    </span>
  );
}
