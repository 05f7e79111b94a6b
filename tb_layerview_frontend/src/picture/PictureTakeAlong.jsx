import { CopyButton, TakeAlong } from "../kit/TakeAlong.jsx";
import { encodeNpy, losslessPrecision } from "../kit/array_files.js";
import { drawScale } from "../kit/figure.js";
import { formatCount } from "../kit/format.js";
import { rangeInWords } from "./PictureControls.jsx";
import { marksInWords } from "./paint.js";
import { describeKept, describeLayout, trueIndex } from "./plan.js";
import { pythonLines } from "./python_lines.js";

/** @typedef {import("./use_picture.js").PictureModel} PictureModel */

/**
 * The picture as a file, its values as files, and the Python lines that read them.
 * @param {object} props
 * @param {import("../data/run.js").Run} props.run
 * @param {import("../data/types.js").Tensor} props.tensor
 * @param {number} props.step at which the values are kept
 * @param {PictureModel} props.picture
 * @param {{current: HTMLCanvasElement | null}} props.canvas
 */
export function PictureTakeAlong({ run, tensor, step, picture, canvas }) {
  const { path } = run.info.layers[tensor.layer];
  const { values, names, chosen, scale, palette, perUnit } = picture;
  const call = tensor.call > 0 ? `call ${tensor.call}` : "";
  const slices = Object.keys(chosen)
    .map(Number)
    .map((axis) => `${names[axis]} ${trueIndex(values.axes, picture.base)[axis]}`);
  const facts = [
    run.name === "." ? "" : run.name,
    path,
    tensor.kind,
    tensor.name,
    call,
    ...slices,
    `step ${step}`,
    perUnit
      ? `range of each ${names[picture.unit]}`
      : `range ${scale.low.toPrecision(3)} to ${scale.high.toPrecision(3)}`,
  ];
  const file = () => {
    if (!canvas.current) throw new Error("There is no picture on the screen.");
    const ends = perUnit ? [`lowest of each ${names[picture.unit]}`, "highest"] : undefined;
    return {
      title: [
        `${run.name} · ${path} · ${tensor.kind} ${tensor.name}`,
        call,
        ...slices,
        `step ${formatCount(step)}`,
      ]
        .filter(Boolean)
        .join(" · "),
      lines: [
        `${describeLayout(picture.plan, names)}; ${rangeInWords(picture)}`,
        `kept: ${describeKept(values.axes, names)}, ${values.precision}`,
        ...marksInWords(picture.marks),
      ],
      canvases: [canvas.current, drawScale({ scale, palette, ends })],
    };
  };
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
            folder: run.info.folder,
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
      <TakeAlong what="the picture" panels={[{ facts, picture: file, table, array }]} />
    </span>
  );
}
