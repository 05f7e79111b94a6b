import { useEffect, useRef } from "preact/hooks";

import { formatCount } from "../kit/format.js";
import { isEditing } from "../kit/hooks.js";
import { classesOf, classOf, withClass } from "./filter.js";

const HELP = [
  "conv              anywhere in the path, the class or the tensor's name",
  "encoder/*  *Norm  patterns as in Select: the whole path or the whole class",
  "conv,dense        one or the other",
  "conv bias         both",
  "-norm             without",
  "class:conv        only layers whose class has that in its name",
  "class:Conv2D      a whole name: only that class",
  "kind:gradient     only layers that have gradients",
].join("\n");

/**
 * Where layers are searched for, by what is typed or by their class.
 * @param {object} props
 * @param {import("@preact/signals").Signal<string>} props.filter what is typed
 * @param {import("../data/run.js").Run} props.run
 * @param {{layers: number, of: number}} props.matches how many layers are found, and of how many
 */
export function FilterBox({ filter, run, matches }) {
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  useSlash(input);
  const active = filter.value.trim() !== "";
  const count = `${formatCount(matches.layers)} of ${formatCount(matches.of)}`;
  const classes = classesOf(run.info.layers);
  return (
    <div class="lv-filter" role="search">
      <input
        ref={input}
        type="text"
        data-testid="filter"
        placeholder="Filter layers  ( / )"
        aria-label="Filter layers by path, class, tensor or kind; patterns as in Select"
        aria-keyshortcuts="/"
        autocomplete="off"
        spellcheck={false}
        title={HELP}
        value={filter.value}
        onInput={(event) => {
          filter.value = event.currentTarget.value;
        }}
        onKeyDown={(event) => {
          if (event.key !== "Escape") return;
          if (filter.value) filter.value = "";
          else event.currentTarget.blur();
        }}
      />
      <span
        class="lv-filter-count"
        data-testid="filter-count"
        role="status"
        aria-label={active ? `${count} layers match` : ""}
      >
        {active && count}
      </span>
      {classes.length > 1 && (
        <span class="lv-filter-class" title="Only layers of one class">
          <select
            data-testid="filter-class"
            aria-label="Only layers of one class"
            value={
              classes.some(({ name }) => name === classOf(filter.value))
                ? classOf(filter.value)
                : ""
            }
            onChange={(event) => {
              filter.value = withClass(filter.value, event.currentTarget.value);
            }}
          >
            <option value="">All classes</option>
            {classes.map(({ name, count: layers }) => (
              <option key={name} value={name}>
                {name} ({formatCount(layers)})
              </option>
            ))}
          </select>
        </span>
      )}
    </div>
  );
}

/**
 * A slash leads to the field, as in many places where things are searched for.
 * @param {import("preact").RefObject<HTMLInputElement | null>} input
 */
function useSlash(input) {
  useEffect(() => {
    const end = new AbortController();
    document.addEventListener(
      "keydown",
      (event) => {
        if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
        if (event.defaultPrevented || isEditing(event.target)) return;
        event.preventDefault();
        input.current?.focus();
        input.current?.select();
      },
      { signal: end.signal },
    );
    return () => end.abort();
  }, []);
}
