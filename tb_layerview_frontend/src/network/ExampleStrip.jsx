import { useMemo } from "preact/hooks";

import { axisNames } from "../data/axes.js";
import { useCanvas, useSize } from "../kit/hooks.js";
import { theme } from "../kit/host.js";
import { drawExample, picturesIn } from "./draw_pictures.js";
import { predictions } from "./predictions.js";

/** @typedef {import("../data/run.js").Run} Run */

const SIDE = 36;
const APART = 42;

/**
 * The examples, a picture each: which one is shown, what the model says of each, and which hold NaN.
 * @param {object} props
 * @param {import("./network_data.js").Network} props.network
 * @param {Run} props.run
 */
export function ExampleStrip({ network, run }) {
  const [ref, { width }] = /** @type {ReturnType<typeof useSize<HTMLDivElement>>} */ (useSize());
  const examples = network.examples.value;
  const { shown, example, outputs } = network;
  const count = examples ? picturesIn(examples) : 0;
  const fitting = Math.min(count, Math.max(0, Math.floor(width / APART)));
  // The chosen one is always among those that are seen.
  const from = Math.max(0, Math.min(count - fitting, example.value - fitting + 2));
  const said = useMemo(() => saidOf(run, outputs.value), [run, outputs.value]);
  const canvas = useCanvas(
    fitting * APART,
    SIDE,
    (context, ratio) => {
      if (!examples?.levels.length) return;
      for (let i = 0; i < fitting; i++) {
        const place = {
          x: (i * APART + 3) * ratio,
          y: 0,
          width: SIDE * ratio,
          height: SIDE * ratio,
        };
        drawExample(context, examples, from + i, place, theme.value);
      }
    },
    [examples, fitting, from, theme.value],
  );
  const bad = shown.value?.run === run.name ? shown.value.bad : NONE;
  return (
    <div class="lv-examples">
      <span class="lv-caption lv-examples-name">{keptInWords(run, count)}</span>
      <div class="lv-examples-place" ref={ref}>
        {fitting > 0 && (
          <div
            class="lv-examples-row"
            role="radiogroup"
            aria-label="Example"
            style={{ width: `${fitting * APART}px` }}
          >
            <canvas ref={canvas} data-testid="examples-canvas" style={{ height: `${SIDE}px` }} />
            {Array.from({ length: fitting }, (_, i) => from + i).map((index) => (
              <button
                key={index}
                type="button"
                role="radio"
                class={`lv-example-one${bad.has(index) ? " lv-example-bad" : ""}`}
                data-testid={`example-${index}`}
                aria-checked={index === example.value}
                aria-label={labelOf(index, said[index], bad.has(index))}
                title={labelOf(index, said[index], bad.has(index))}
                style={{ left: `${(index - from) * APART}px`, width: `${APART}px` }}
                onClick={() => network.selectExample(index)}
              >
                {bad.has(index) ? "× NaN" : (said[index]?.unit ?? " ")}
              </button>
            ))}
          </div>
        )}
      </div>
    </div>
  );
}

/**
 * @param {Run} run
 * @param {number} kept how many examples there are pictures of
 */
function keptInWords({ info: { probe } }, kept) {
  if (!probe) return "examples of this step's batch";
  const some = kept && kept < probe.examples ? `${kept} of ` : "";
  return `${some}${probe.examples} fixed examples`;
}

/** @type {Set<number>} */
const NONE = new Set();

/**
 * @param {Run} run
 * @param {import("./network_data.js").Network["outputs"]["value"]} output
 */
function saidOf(run, output) {
  const tensor = run.info.tensors[output?.tensor ?? -1];
  if (!output?.values || !tensor) return [];
  const names = axisNames(tensor.axes, output.values.axes.length, tensor.kind);
  return predictions(output.values, names);
}

/**
 * @param {number} index
 * @param {import("./predictions.js").Prediction | null | undefined} said
 * @param {boolean} isBad
 */
function labelOf(index, said, isBad) {
  const words = [`Example ${index}`];
  if (said) words.push(`the model says class ${said.unit}`);
  if (isBad) words.push("it holds NaN or inf in some layer at this step");
  return words.join(", ");
}
