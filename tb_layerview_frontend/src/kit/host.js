/** What the tab knows of the page around it: TensorBoard's address, theme and reloads. */

import { signal } from "@preact/signals";

/** @typedef {import("./colour.js").Theme} Theme */

/**
 * TensorBoard's own window; this one where the page is opened by itself, or stands inside a page of another origin.
 * @returns {Window}
 */
function hostWindow() {
  try {
    // Touching a foreign origin's document throws.
    return window.parent.document ? window.parent : window;
  } catch {
    return window;
  }
}

const host = hostWindow();

/** @type {import("@preact/signals").Signal<Theme>} */
export const theme = signal("light");

/**
 * Keeps `theme` as TensorBoard has it, or as the system has it where there is no TensorBoard around.
 * @param {AbortSignal} end
 */
export function followTheme(end) {
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const read = () => {
    const dark =
      host === window ? system.matches : host.document.body.classList.contains("dark-mode");
    theme.value = dark ? "dark" : "light";
    document.documentElement.classList.toggle("lv-dark", dark);
  };
  read();
  system.addEventListener("change", read, { signal: end });
  if (host !== window) {
    const observer = new MutationObserver(read);
    observer.observe(host.document.body, { attributes: true, attributeFilter: ["class"] });
    end.addEventListener("abort", () => observer.disconnect());
  }
}

/** The hash of TensorBoard's address. */
export function readHash() {
  return host.location.hash;
}

let bringUpToDate = () => {};

/**
 * @param {() => void} write brings the address up to date, which it is a moment after each change only
 * @param {AbortSignal} end
 */
export function beforeAddressIsRead(write, end) {
  bringUpToDate = write;
  end.addEventListener("abort", () => {
    bringUpToDate = () => {};
  });
}

/** TensorBoard's whole address, with all that is chosen: in a notebook no address bar shows it. */
export function readAddress() {
  bringUpToDate();
  return host.location.href;
}

/**
 * Writes the hash of TensorBoard's address without a new entry in the browser's history.
 * @param {string} hash
 */
export function writeHash(hash) {
  const { pathname, search } = host.location;
  // The whole path: this page's <base> would lead a bare "#…" to another address.
  host.history.replaceState(host.history.state, "", `${pathname}${search}${hash}`);
}

/** Takes the keyboard, for arrow keys that walk through the steps at once, unless somebody types elsewhere. */
export function takeFocus() {
  if (host === window) return;
  const active = host.document.activeElement;
  if (isOwnHash() && (!active || active === host.document.body)) window.focus();
}

/** Whether the Layers tab is the one that is open, as far as the address tells. */
export function isOwnHash() {
  return host === window || /^(#(layerview(&|$)|$)|$)/.test(host.location.hash);
}

/**
 * @param {() => void} listener called when TensorBoard's address changes
 * @param {AbortSignal} end
 */
export function onHashChange(listener, end) {
  host.addEventListener("hashchange", listener, { signal: end });
}

/**
 * Tells when TensorBoard has reloaded its data, by the protocol it has for plugins in frames.
 * @param {() => void} listener
 * @param {AbortSignal} end
 */
export function onReload(listener, end) {
  if (host === window) return;
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = ({ data }) => {
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      // Not of the protocol that is known here; polling finds new steps all the same.
      return;
    }
    if (message.isReply) return;
    if (message.type === "experimental.DataReloaded") listener();
    port1.postMessage(
      JSON.stringify({
        type: message.type,
        id: message.id,
        payload: null,
        error: null,
        isReply: true,
      }),
    );
  };
  host.postMessage("experimental.bootstrap", window.location.origin, [port2]);
  end.addEventListener("abort", () => port1.close());
}
