import { useMemo } from "preact/hooks";

import { axisNames } from "../data/axes.js";
import { formatCount } from "../kit/format.js";
import { useCanvas, useSize } from "../kit/hooks.js";
import { theme } from "../kit/host.js";
import { drawExample, picturesIn } from "./draw_pictures.js";
import { APART, seenOf } from "./example_strip.js";
import { classesOf, predictions } from "./predictions.js";

/** @typedef {import("../data/run.js").Run} Run */

const SIDE = 36;

/**
 * The examples, a picture each: which one is shown, what the model says of each, and which hold NaN. Below them those of the
 * batch that broke the training.
 * @param {object} props
 * @param {import("./network_data.js").Network} props.network
 * @param {import("../findings/state.js").Findings} props.findings
 * @param {Run} props.run
 * @param {import("preact").ComponentChildren} props.children what stands at the end of the line
 */
export function ExampleStrip({ network, findings, run, children }) {
  const { shown, example, outputs, examples } = network;
  const said = useMemo(() => saidOf(run, outputs.value), [run, outputs.value]);
  const bad = shown.value?.bad ?? NONE;
  const batch = findings.brokenBatch.value;
  return (
    <>
      <Strip
        name={keptInWords(run, examples.value ? picturesIn(examples.value) : 0)}
        right={rightInWords(said)}
        pictures={examples.value}
        chosen={example.value}
        bad={bad}
        said={said}
        testid="example"
        onChoose={network.selectExample}
      >
        {children}
      </Strip>
      {batch?.pictures && (
        <Strip
          name={`batch of step ${formatCount(batch.step)}, which broke it`}
          pictures={batch.pictures}
          chosen={-1}
          bad={new Set(batch.bad)}
          said={[]}
          testid="batch-example"
          onChoose={(index) => findings.showReplay(batch.finding, index)}
        />
      )}
    </>
  );
}

/**
 * @param {object} props
 * @param {string} props.name
 * @param {string} [props.right] how many of them the model tells right
 * @param {import("../data/framed.js").Thumbnails | null} props.pictures one an example; null for none
 * @param {number} props.chosen -1 for none: then each leads elsewhere
 * @param {Set<number>} props.bad examples that hold NaN or inf
 * @param {(import("./predictions.js").Prediction | null)[]} props.said by example
 * @param {string} props.testid
 * @param {(index: number) => void} props.onChoose
 * @param {import("preact").ComponentChildren} [props.children] what stands at the end of the line
 */
function Strip({ name, right, pictures, chosen, bad, said, testid, onChoose, children }) {
  const [ref, { width }] = /** @type {ReturnType<typeof useSize<HTMLDivElement>>} */ (useSize());
  const count = pictures ? picturesIn(pictures) : 0;
  const { from, fitting } = seenOf({ count, width, chosen, bad });
  const hidden = count - fitting;
  const hiddenBad = [...bad].filter((index) => index < from || index >= from + fitting);
  const canvas = useCanvas(
    fitting * APART,
    SIDE,
    (context, ratio) => {
      if (!pictures?.levels.length) return;
      for (let i = 0; i < fitting; i++) {
        const place = {
          x: (i * APART + 3) * ratio,
          y: 0,
          width: SIDE * ratio,
          height: SIDE * ratio,
        };
        drawExample(context, pictures, from + i, place, theme.value);
      }
    },
    [pictures, fitting, from, theme.value],
  );
  const isChoice = chosen >= 0;
  return (
    <div class="lv-examples">
      <span class="lv-caption lv-examples-name">
        {name}
        {right && <b data-testid="examples-right">{right}</b>}
      </span>
      <div class="lv-examples-place" ref={ref}>
        {fitting > 0 && (
          <div
            class="lv-examples-row"
            role={isChoice ? "radiogroup" : "group"}
            aria-label={isChoice ? "Example" : name}
            style={{ width: `${fitting * APART}px` }}
          >
            <canvas
              ref={canvas}
              data-testid={`${testid}s-canvas`}
              style={{ height: `${SIDE}px` }}
            />
            {Array.from({ length: fitting }, (_, i) => from + i).map((index) => (
              <button
                key={index}
                type="button"
                role={isChoice ? "radio" : undefined}
                class={`lv-example-one${bad.has(index) ? " lv-example-bad" : ""}`}
                data-testid={`${testid}-${index}`}
                aria-checked={isChoice ? index === chosen : undefined}
                aria-label={labelOf(index, said[index], bad.has(index))}
                title={labelOf(index, said[index], bad.has(index))}
                style={{ left: `${(index - from) * APART}px`, width: `${APART}px` }}
                onClick={() => onChoose(index)}
              >
                {bad.has(index)
                  ? "× NaN"
                  : isWrong(said[index])
                    ? `${said[index]?.unit} ≠ ${said[index]?.target}`
                    : (said[index]?.unit ?? (isChoice ? "\u00a0" : index))}
              </button>
            ))}
          </div>
        )}
        {hidden > 0 && (
          <button
            type="button"
            class={`lv-link lv-examples-more${hiddenBad.length ? " lv-example-bad" : ""}`}
            data-testid={`${testid}s-more`}
            title={`${formatCount(hidden)} more examples are kept. To ${hiddenBad.length ? "the first that holds NaN or inf" : "the next"} of them.`}
            onClick={() => onChoose(hiddenBad[0] ?? (from + fitting) % count)}
          >
            {hiddenBad.length ? `× ${hiddenBad.length} more` : `${formatCount(hidden)} more`}
          </button>
        )}
      </div>
      {children}
    </div>
  );
}

/**
 * @param {Run} run
 * @param {number} kept how many examples there are pictures of
 */
function keptInWords({ info: { probe }, history }, kept) {
  if (!probe) return "examples of this step's batch";
  const some = kept && kept < probe.examples ? `${kept} of ` : "";
  if (history.modes.every((mode) => mode === "replay")) {
    return `${some}${probe.examples} examples of the batch of step ${formatCount(history.steps[0])}`;
  }
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
  const path = run.info.layers[tensor.layer].path;
  const targets = classesOf(run.info.probe?.targets ?? [], path, tensor.shape.at(-1) ?? 0);
  // What is trained to give numbers tells no classes.
  if (!targets) return [];
  return predictions(output.values, names).map(
    (said, index) => said && { ...said, target: targets[index] },
  );
}

/** @param {import("./predictions.js").Prediction | null | undefined} said */
const isWrong = (said) => said?.target !== undefined && said.target !== said.unit;

/** @param {(import("./predictions.js").Prediction | null)[]} said by example */
function rightInWords(said) {
  if (!said.some((one) => one?.target !== undefined)) return "";
  // What is no number is not right.
  const all = said.filter((one) => one === null || one.target !== undefined);
  const right = all.filter((one) => one && !isWrong(one)).length;
  return `${formatCount(right)} of ${formatCount(all.length)} right`;
}

/**
 * @param {number} index
 * @param {import("./predictions.js").Prediction | null | undefined} said
 * @param {boolean} isBad
 */
function labelOf(index, said, isBad) {
  const words = [`Example ${index}`];
  if (said) words.push(`the model says class ${said.unit}`);
  if (isWrong(said)) words.push(`which is wrong: it is ${said?.target}`);
  if (isBad) words.push("it holds NaN or inf in some layer at this step");
  return words.join(", ");
}
