import { useMemo } from "preact/hooks";

import { axisNames } from "../data/axes.js";
import { formatValue } from "../kit/format.js";
import { useCanvas } from "../kit/hooks.js";
import { theme } from "../kit/host.js";
import { picturePalette } from "./colours.js";
import { prediction } from "./companions.js";
import { exampleIn } from "./example.js";
import { drawExample, exampleSize } from "./example_canvas.js";
import { patchStyle } from "./receptive_field.js";

/** @typedef {import("../data/run.js").Run} Run */
/** @typedef {import("./companions.js").Companion} Companion */

/**
 * What went into the model for the example that is shown, and what came out.
 * @param {object} props
 * @param {Run} props.run
 * @param {Companion | null} props.input
 * @param {Companion | null} props.output
 * @param {number} props.example index in the whole tensor
 * @param {string} props.shown key of the detail that the picture shows
 * @param {import("./receptive_field.js").Patch | null} [props.seen] by the element that is pointed at: it is outlined
 */
export function ExampleBeside({ run, input, output, example, shown, seen }) {
  const found = useMemo(() => ofTensor(run, input, example), [run, input, example]);
  const guess = useMemo(() => {
    const tensor = output && run.info.tensors[output.tensor];
    if (!tensor || !output.values) return null;
    const names = axisNames(tensor.axes, output.values.axes.length, tensor.kind);
    return prediction(output.values, names, example);
  }, [run, output, example]);
  if (!found && !guess) return null;
  const axes = run.info.tensors[input?.tensor ?? -1]?.layer === seen?.layer && input?.values?.axes;
  const frame = seen && axes ? patchStyle(seen, axes) : null;
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
      {found?.kind === "picture" && <ExamplePicture example={found} frame={frame} />}
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
 * An example of what went into the model; null where nothing is known of it.
 * @param {Run} run
 * @param {Companion | null} input
 * @param {number} example index in the whole tensor
 */
export function ofTensor(run, input, example) {
  const tensor = input && run.info.tensors[input.tensor];
  if (!tensor) return null;
  if (!input.values)
    return input.problem ? { kind: /** @type {const} */ ("missing"), words: input.problem } : null;
  const names = axisNames(tensor.axes, input.values.axes.length, tensor.kind);
  return exampleIn(input.values, names, example);
}

/**
 * @param {object} props
 * @param {import("./example_canvas.js").ExamplePicture} props.example
 * @param {ReturnType<typeof patchStyle> | null} props.frame around what is seen
 */
function ExamplePicture({ example, frame }) {
  const { width, height } = exampleSize(example);
  const canvas = useCanvas(
    width,
    height,
    (context) => drawExample(context, example, picturePalette("grey", theme.value, false)),
    [example.colours, example.values, width, height, theme.value],
  );
  return (
    <div
      class="lv-example-picture"
      role="img"
      aria-label={example.words}
      title={example.words}
      style={{ width: `${width}px`, height: `${height}px` }}
    >
      <canvas ref={canvas} data-testid="example-picture" />
      {frame && <i class="lv-seen" style={frame} />}
    </div>
  );
}
