import { useMemo } from "preact/hooks";

import { axisNames } from "../data/axes.js";
import { LEVELS } from "../kit/colour.js";
import { formatValue } from "../kit/format.js";
import { useCanvas } from "../kit/hooks.js";
import { theme } from "../kit/host.js";
import { picturePalette } from "./colours.js";
import { prediction } from "./companions.js";
import { exampleIn } from "./example.js";

/** @typedef {import("../data/run.js").Run} Run */
/** @typedef {import("./companions.js").Companion} Companion */

const SIDE = 88;

/**
 * What went into the model for the example that is shown, and what came out.
 * @param {object} props
 * @param {Run} props.run
 * @param {Companion | null} props.input
 * @param {Companion | null} props.output
 * @param {number} props.example index in the whole tensor
 * @param {string} props.shown key of the detail that the picture shows
 */
export function ExampleBeside({ run, input, output, example, shown }) {
  const found = useMemo(() => ofTensor(run, input, example), [run, input, example]);
  const guess = useMemo(() => {
    const tensor = output && run.info.tensors[output.tensor];
    if (!tensor || !output.values) return null;
    const names = axisNames(tensor.axes, output.values.axes.length, tensor.kind);
    return prediction(output.values, names, example);
  }, [run, output, example]);
  if (!found && !guess) return null;
  return (
    <aside tabIndex={0} class="lv-example" aria-label={`Example ${example}`} data-testid="example">
      <p class="lv-caption">
        {found ? (
          <>
            input, example <b>{example}</b>
          </>
        ) : (
          <>
            example <b>{example}</b>
          </>
        )}
      </p>
      {found?.kind === "picture" && <ExamplePicture {...found} />}
      {found?.kind === "numbers" && (
        <p
          class="lv-example-numbers"
          data-testid="example-numbers"
          tabIndex={0}
          aria-label={found.words}
        >
          {found.texts.join(" ")}
          {found.more > 0 && ` … ${found.more} more`}
        </p>
      )}
      {found?.kind === "missing" && <p class="lv-caption">{found.words}</p>}
      {guess && (
        <p
          class={`lv-prediction${output?.of === shown ? "" : " lv-pending"}`}
          data-testid="prediction"
          data-class={guess.unit}
          data-score={guess.score}
          title={`The largest of the model's outputs at step ${output?.step}`}
        >
          <span class="lv-caption">output: class </span>
          <b>{guess.unit}</b>
          <span class="lv-caption">
            {guess.probability ? " probability " : " score "}
            {formatValue(guess.score)}
          </span>
        </p>
      )}
    </aside>
  );
}

/**
 * @param {Run} run
 * @param {Companion | null} input
 * @param {number} example
 */
function ofTensor(run, input, example) {
  const tensor = input && run.info.tensors[input.tensor];
  if (!tensor) return null;
  if (!input.values)
    return input.problem ? { kind: /** @type {const} */ ("missing"), words: input.problem } : null;
  const names = axisNames(tensor.axes, input.values.axes.length, tensor.kind);
  return exampleIn(input.values, names, example);
}

/** @param {Extract<import("./example.js").Example, {kind: "picture"}>} props */
function ExamplePicture({ rows, columns, colours, values, words }) {
  const scale = Math.min(SIDE / columns, SIDE / rows);
  const width = Math.max(1, Math.round(columns * scale));
  const height = Math.max(1, Math.round(rows * scale));
  const canvas = useCanvas(
    width,
    height,
    (context) => {
      const { width: across, height: down } = context.canvas;
      const grey = picturePalette("grey", theme.value, false);
      const image = new ImageData(across, down);
      const pixels = new Uint32Array(image.data.buffer);
      for (let y = 0; y < down; y++) {
        for (let x = 0; x < across; x++) {
          const at = Math.floor((y * rows) / down) * columns + Math.floor((x * columns) / across);
          pixels[y * across + x] = colours
            ? colours[at]
            : grey[Math.round(values[at] * (LEVELS - 1))];
        }
      }
      context.putImageData(image, 0, 0);
    },
    [colours, values, rows, columns, theme.value],
  );
  return (
    <div
      class="lv-example-picture"
      role="img"
      aria-label={words}
      title={words}
      style={{ width: `${width}px`, height: `${height}px` }}
    >
      <canvas ref={canvas} data-testid="example-picture" />
    </div>
  );
}
