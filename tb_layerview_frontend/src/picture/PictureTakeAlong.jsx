import { CopyButton, TakeAlong } from "../kit/TakeAlong.jsx";
import { encodeNpy, losslessPrecision } from "../kit/array_files.js";
import { formatCount, formatValue } from "../kit/format.js";
import { scaleSheet, SHARPNESS } from "../kit/sheet.js";
import { rangeInWords } from "./PictureControls.jsx";
import { filmOfPicture } from "./film.js";
import { marksInWords } from "./paint.js";
import { besideItsInput } from "./picture_sheet.js";
import { describeKept, describeLayout, trueIndex } from "./plan.js";
import { pythonLines } from "./python_lines.js";

/** @typedef {import("./use_picture.js").FoundPicture} FoundPicture */

/**
 * The picture as a file, a film of it over the steps, its values as files, and the Python lines that read them.
 * @param {object} props
 * @param {import("../kit/core.js").Core} props.core
 * @param {import("../data/run.js").Run} props.run
 * @param {import("../data/types.js").Tensor} props.tensor
 * @param {number} props.index of the tensor
 * @param {number} props.step at which the values are kept
 * @param {FoundPicture} props.picture
 * @param {{current: import("./use_screen.js").Screen | null}} props.screen how it lies on the screen
 * @param {{example: import("./example_canvas.js").ExamplePicture, index: number} | null} props.input what went into the model
 */
export function PictureTakeAlong({ core, run, tensor, index, step, picture, screen, input }) {
  const { path } = run.info.layers[tensor.layer];
  const { values, names, chosen, scale, palette, perUnit } = picture;
  const call = tensor.call > 0 ? `call ${tensor.call}` : "";
  const slices = Object.keys(chosen)
    .map(Number)
    .map((axis) => `${names[axis]} ${trueIndex(values.axes, picture.base)[axis]}`);
  const named = [run.name === "." ? "" : run.name, path, tensor.kind, tensor.name, call, ...slices];
  const facts = [
    ...named,
    `step ${step}`,
    perUnit
      ? `range of each ${names[picture.unit]}`
      : `range ${scale.low.toPrecision(3)} to ${scale.high.toPrecision(3)}`,
  ];
  // It has neither one step nor the range of one.
  const filmFacts = [...named, "all steps"];
  const title = [named[0], path, `${tensor.kind} ${tensor.name}`, call, ...slices]
    .filter(Boolean)
    .join(" · ");
  const layout = describeLayout(picture.plan, names);
  const kept = `kept: ${describeKept(values.axes, names)}, ${values.precision}`;
  const onScreen = () => {
    if (!screen.current) throw new Error("There is no picture on the screen.");
    return screen.current;
  };
  const sheet = () => {
    const ends = perUnit ? [`lowest of each ${names[picture.unit]}`, "highest"] : undefined;
    return {
      title: `${title} · step ${formatCount(step)}`,
      lines: [`${layout}; ${rangeInWords(picture)}`, kept, ...marksInWords(picture.marks)],
      sheets: [
        besideItsInput(picture, onScreen(), input, SHARPNESS),
        scaleSheet({ scale, palette, ends, mark: picture.even }),
      ],
    };
  };
  /** @type {NonNullable<import("../kit/TakeAlong.jsx").Panel["film"]>} */
  const film = (format, signal) =>
    filmOfPicture({
      kept: core.selected.keptOf(index),
      picture,
      screen: onScreen(),
      input,
      map: core.view.colours.value,
      title,
      lines: ({ low, high }) => [
        `${layout}; colours from ${formatValue(low)} to ${formatValue(high)} at all steps`,
        kept,
      ],
      // A GIF has no need of more pixels than the screen, and grows with each of them.
      sharpness: format === "gif" ? 1 : SHARPNESS,
      signal,
    });
  const table = () => {
    const { offsets } = picture.shown;
    /** @returns {Generator<number[]>} */
    function* rows() {
      for (const offset of offsets) yield [...trueIndex(values.axes, offset), values.data[offset]];
    }
    return { head: [...names, "value"], rows: rows() };
  };
  const array = () => {
    const { offsets, shape } = picture.shown;
    const data = Float64Array.from(offsets, (offset) => values.data[offset]);
    return encodeNpy(data, shape, losslessPrecision(data, values.precision));
  };
  return (
    <span class="lv-picture-take">
      <CopyButton
        label="Copy Python"
        title="Copy the lines that read these values with LayerReader"
        testid="copy-python"
        text={() =>
          pythonLines({
            folder: run.info.folder ?? "",
            run: run.name,
            layer: path,
            tensor,
            step,
            values,
            names,
            chosen,
          })
        }
      />
      <TakeAlong what="the picture" panels={[{ facts, sheet, film, filmFacts, table, array }]} />
    </span>
  );
}
