/** The plugin's entry point: TensorBoard imports this module into a frame of its own and calls `render()`. */

import { batch, effect } from "@preact/signals";
import { render as mount } from "preact";

import "./page/styles.css";
import {
  beforeAddressIsRead,
  followTheme,
  isOwnHash,
  onHashChange,
  onReload,
  readHash,
  writeHash,
  takeFocus,
} from "./kit/host.js";
import { App } from "./page/App.jsx";
import { createStore } from "./page/store.js";
import { FIELDS, ownPart, readViewState, writeViewState } from "./page/view_state.js";

/** Waiting for the last of many quick changes (a slider that is dragged) before the address is written. */
const WRITE_DELAY_MILLISECONDS = 150;

/** Builds the page. */
export async function render() {
  const end = new AbortController();
  window.addEventListener(
    "pagehide",
    // A page that the browser keeps for the back button goes on when it is shown again.
    (event) => event.persisted || end.abort(),
    { signal: end.signal },
  );
  await loadStyles();
  followTheme(end.signal);
  const store = createStore(readViewState(readHash()), end.signal);
  keepAddress(store, end.signal);
  onReload(() => void store.poll(), end.signal);
  document.addEventListener("visibilitychange", () => !document.hidden && void store.poll(), {
    signal: end.signal,
  });
  document.title = "Layers";
  document.documentElement.lang = "en";
  const root = document.createElement("div");
  root.id = "lv-root";
  document.body.append(root);
  mount(<App store={store} />, root);
  takeFocus();
}

/** The style sheet lies beside this module; nothing else links it. */
function loadStyles() {
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = "index.css";
  return new Promise((resolve) => {
    link.addEventListener("load", resolve);
    // A page without its style is still a page; the browser's console names the file.
    link.addEventListener("error", resolve);
    document.head.append(link);
  });
}

/**
 * Writes what is chosen into TensorBoard's address, and takes it from there when somebody changes it.
 * @param {import("./page/store.js").Store} store
 * @param {AbortSignal} end
 */
function keepAddress(store, end) {
  const names = /** @type {(keyof typeof FIELDS)[]} */ (Object.keys(FIELDS));
  const state = () =>
    /** @type {import("./kit/view.js").ViewState} */ (
      Object.fromEntries(names.map((name) => [name, store.core.view[name].value]))
    );
  /** Our part of the address as it was last read or written. Where it is another one, somebody else has been there. */
  let known = ownPart(readHash());
  const write = () => {
    const hash = writeViewState(readHash(), state());
    known = ownPart(hash);
    writeHash(hash);
  };
  const read = () => {
    known = ownPart(readHash());
    const found = readViewState(readHash());
    batch(() => {
      for (const name of names) {
        const field = FIELDS[name];
        const same =
          field.write(/** @type {never} */ (found[name])) ===
          field.write(/** @type {never} */ (store.core.view[name].peek()));
        if (!same) store.core.view[name].value = /** @type {never} */ (found[name]);
      }
    });
  };
  const reconcile = () => {
    // Another tab may be open by now: its address is not ours to write.
    if (!isOwnHash()) return;
    const there = ownPart(readHash());
    // An address that somebody went to wins, also when the browser has not told of it yet.
    if (there && there !== known) read();
    else write();
  };
  let timer = 0;
  const stop = effect(() => {
    state();
    clearTimeout(timer);
    timer = window.setTimeout(reconcile, WRITE_DELAY_MILLISECONDS);
  });
  end.addEventListener("abort", () => {
    stop();
    clearTimeout(timer);
  });
  onHashChange(reconcile, end);
  beforeAddressIsRead(reconcile, end);
}
