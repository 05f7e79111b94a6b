import { batch } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";

import { Choice } from "../kit/Choice.jsx";
import { formatValue } from "../kit/format.js";
import { COLOUR_MAPS } from "./colours.js";
import { PLACES, planPicture, putAxis, writePlan } from "./plan.js";

/** @typedef {import("../kit/view.js").View} View */
/** @typedef {import("./use_picture.js").PictureModel} PictureModel */

/** Of a picture's units. */
const ORDERS = {
  index: "by index",
  activity: "by activity (rms)",
  change: "by change since the step before",
  growth: "by change since the first step",
};

/**
 * How the picture is sorted, coloured and laid out.
 * @param {{view: View, picture: PictureModel}} props
 */
export function PictureControls({ view, picture }) {
  const { names, unit, scale } = picture;
  const unitName = names[unit] ?? "unit";
  /** @param {string} chosen */
  const chooseRange = (chosen) =>
    batch(() => {
      if (chosen === "hand" && !view.low.value && !view.high.value) {
        view.low.value = plain(scale.low);
        view.high.value = plain(scale.high);
      }
      view.range.value = chosen;
    });
  return (
    <>
      {unit >= 0 && picture.counts[unit] > 1 && (
        <Choice
          className="lv-picture-select"
          testid="picture-sort"
          label={`Order of the ${unitName}s`}
          field={view.sort}
          options={ORDERS}
        />
      )}
      <Choice
        className="lv-picture-select"
        testid="picture-range"
        label="What the colours reach over"
        field={view.range}
        onChoose={chooseRange}
        options={{
          all: "all steps' range",
          step: "this step's range",
          channel: `each ${unitName}'s range`,
          hand: "range by hand",
        }}
      />
      {view.range.value === "hand" && (
        <span class="lv-range-hand" role="group" aria-label="The range by hand">
          {
            /** @type {const} */ ([
              ["low", "From"],
              ["high", "To"],
            ]).map(([end, label]) => (
              <input
                key={end}
                type="text"
                inputMode="decimal"
                data-testid={`picture-${end}`}
                aria-label={label}
                title={label}
                aria-invalid={picture.rangeProblem !== ""}
                value={view[end].value}
                onInput={(event) => (view[end].value = event.currentTarget.value)}
              />
            ))
          }
        </span>
      )}
      <ViewMenu view={view} picture={picture} />
    </>
  );
}

/** A number as a person would type it. @param {number} value */
const plain = (value) => String(Number(value.toPrecision(4)));

/**
 * What is rarely chosen: the colour map, and which axis lies where.
 * @param {{view: View, picture: PictureModel}} props
 */
function ViewMenu({ view, picture: { names, plan } }) {
  const [open, setOpen] = useState(false);
  const place = useRef(/** @type {HTMLSpanElement | null} */ (null));
  const { axes, colours } = view;
  useEffect(() => {
    if (!open) return undefined;
    /** @param {PointerEvent} event */
    const leave = (event) => {
      if (event.target instanceof Node && !place.current?.contains(event.target)) setOpen(false);
    };
    document.addEventListener("pointerdown", leave);
    return () => document.removeEventListener("pointerdown", leave);
  }, [open]);
  const usual = writePlan(planPicture(names), names);
  return (
    <span
      class="lv-view-menu"
      ref={place}
      onKeyDown={(event) => {
        if (event.key === "Escape" && open) {
          setOpen(false);
          event.stopPropagation();
          place.current?.querySelector("button")?.focus();
        }
      }}
    >
      <button
        type="button"
        class="lv-small-button"
        data-testid="picture-view"
        aria-expanded={open}
        title="Choose the colours, and which axis lies across, down, and in the grid"
        onClick={() => setOpen(!open)}
      >
        View ▾
      </button>
      {open && (
        <span class="lv-menu" role="group" aria-label="Colours and axes">
          <label>
            <span>colours</span>
            <select
              data-testid="picture-colours"
              value={colours.value}
              onChange={(event) => (colours.value = event.currentTarget.value)}
            >
              {Object.entries(COLOUR_MAPS).map(([name, { label, diverging }]) => (
                <option key={name} value={name}>
                  {label}
                  {diverging === null ? "" : diverging ? ", around 0" : ", low to high"}
                </option>
              ))}
            </select>
          </label>
          {names.length > 1 &&
            PLACES.map(([where, label]) => (
              <label key={where}>
                <span>{label}</span>
                <select
                  data-testid={`axis-${where}`}
                  value={plan[where] ?? ""}
                  onChange={({ currentTarget: { value } }) => {
                    const next = putAxis(plan, where, value === "" ? null : Number(value));
                    const text = writePlan(next, names);
                    axes.value = text === usual ? "" : text;
                  }}
                >
                  <option value="">none</option>
                  {names.map((name, axis) => (
                    <option key={name} value={axis}>
                      {name}
                    </option>
                  ))}
                </select>
              </label>
            ))}
          <button
            type="button"
            class="lv-small-button"
            disabled={!axes.value && colours.value === "auto"}
            onClick={() =>
              batch(() => {
                axes.value = "";
                colours.value = "auto";
              })
            }
          >
            As usual
          </button>
        </span>
      )}
    </span>
  );
}

/**
 * What the colours reach over, in words.
 * @param {Pick<PictureModel, "mode" | "scale" | "names" | "unit">} picture
 */
export function rangeInWords({ mode, scale, names, unit }) {
  const ends = `${formatValue(scale.low)} to ${formatValue(scale.high)}`;
  if (mode === "channel") return `colours over the range of each ${names[unit]} at this step`;
  if (mode === "hand") return `colours from ${ends}, chosen by hand`;
  if (mode === "step") return `colours from ${ends}, this step's range`;
  return `colours from ${ends}, the 1st to 99th percentile of all steps`;
}
