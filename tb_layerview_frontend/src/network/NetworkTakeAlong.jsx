import { TakeAlong } from "../kit/TakeAlong.jsx";
import { makeStepAxis } from "../kit/axis.js";
import { paceOf, someOf } from "../kit/film.js";
import { SHARPNESS, captioned, sheetCanvas } from "../kit/sheet.js";
import { lossOf } from "./loss.js";
import { networkSheet, timelineSheet } from "./network_sheet.js";

/** @typedef {import("./draw_network.js").Scene} Scene */

/** A network that is higher than this is taken along as far as it is seen, CSS pixels. */
const MOST_HEIGHT = 2400;
/** A film has no more frames than this: a long training goes by in leaps. */
const MOST_FRAMES = 240;
/** Of a frame. */
const MOST_PIXELS = 8e6;

/**
 * The network as a picture, and as a film of the training.
 * @param {object} props
 * @param {import("../kit/core.js").Core} props.core
 * @param {import("./network_data.js").Network} props.network
 * @param {import("../data/run.js").Run} props.run
 * @param {Scene} props.scene
 * @param {(index: number, pictures: Scene["pictures"]) => Scene} props.sceneAt
 * @param {{top: number, height: number}} props.seen the part of the lanes that is seen, CSS pixels
 * @param {number} props.total the height of all of them
 */
export function NetworkTakeAlong({ core, network, run, scene, sceneAt, seen, total }) {
  const part = total > MOST_HEIGHT ? seen : { top: 0, height: total };
  const example = network.example.value;
  const { steps } = run.history;
  // The folder is not known where it is not on this machine.
  const folder = run.info.folder?.split(/[/\\]/).at(-1) || "(log folder)";
  const title = `${run.name === "." ? folder : run.name}, example ${example}`;
  const named = [run.name === "." ? "" : run.name, "network", `example ${example}`];
  const lines = total > MOST_HEIGHT ? ["The part of the network that is seen."] : [];
  const shown = network.shown.value;
  const late = shown && (shown.step !== scene.step || shown.example !== example);
  /** @param {Scene} at @param {number} index of the step @param {number} ratio */
  const sheetOf = (at, index, ratio) => ({
    title,
    lines,
    sheets: [
      networkSheet(at, { run, part, example, ratio }),
      timelineSheet({
        width: at.layout.width,
        run,
        index,
        axis: makeStepAxis(steps, core.spacing.value),
        loss: lossOf(run.history),
        ratio,
      }),
    ],
  });
  const ratio = window.devicePixelRatio || 1;
  /** @type {NonNullable<import("../kit/TakeAlong.jsx").Panel["film"]>} */
  const film = async (format) => {
    const most = Math.sqrt(MOST_PIXELS / (scene.layout.width * (part.height + 120)));
    const sharp = Math.min(format === "gif" ? 1 : ratio * SHARPNESS, Math.max(most, 0.5));
    const indices = someOf(steps.length, MOST_FRAMES);
    const asked = {
      name: run.name,
      of: run.history.generation,
      grown: network.grown.value,
      example,
      tensors: network.wanted.value,
    };
    return {
      frames: indices.length,
      framesPerSecond: paceOf(indices.length),
      draw: async (at) => {
        const index = indices[at];
        const { lanes } = await network.picturesAt(asked, steps[index]);
        const pictures = new Map(lanes.map((lane) => [lane.tensor, lane]));
        return sheetCanvas(captioned(sheetOf(sceneAt(index, pictures), index, sharp)), sharp);
      },
    };
  };
  return (
    <TakeAlong
      what="the network"
      panels={[
        {
          facts: [...named, `step ${scene.step}`],
          sheet: () => {
            const made = sheetOf(scene, core.stepIndex.value, ratio * SHARPNESS);
            const words = `The pictures are of example ${shown?.example}, step ${shown?.step}.`;
            return late ? { ...made, lines: [...made.lines, words] } : made;
          },
          film,
          filmFacts: [...named, `${steps.length} steps`],
        },
      ]}
    />
  );
}
