import { worstInWords } from "../data/statistics.js";
import { StepAxis } from "../findings/StepAxis.jsx";
import { BeyondMark, ColourBar, HatchedMark } from "../kit/ColourBar.jsx";
import { HoleMark } from "../kit/HoleMark.jsx";
import { whyLeftOut } from "../kit/holes.js";
import { FoundLegend } from "./FoundLegend.jsx";
import { ProfileAxis } from "./Profile.jsx";
import { layerLabel } from "./layer.js";

/** With the colours' legend, and of the steps alone. */
export const [FOOT_HEIGHT, STEPS_HEIGHT] = [74, 18];

/**
 * The steps, the colours and the marks below each map.
 * @param {object} props
 * @param {number} props.height CSS pixels
 * @param {import("./layer.js").MapLayer[]} props.layers
 * @param {import("../data/run.js").Run} props.run
 * @param {import("../kit/axis.js").StepAxis} props.axis
 * @param {number} props.width of a map, CSS pixels
 * @param {number | undefined} props.step that is selected
 * @param {import("../data/statistics.js").Statistic | null} props.ranking of which the worst rows stand first
 * @param {import("../findings/findings.js").Finding[]} props.marks what is found, marked where it begins
 * @param {Map<number, import("../findings/findings.js").Finding[]>} props.found what the maps mark, by tensor
 */
export function MapFoot({ height, layers, run, axis, width, step, ranking, marks, found }) {
  const [shared, ...others] = new Set(layers.map(({ shows }) => shows?.what));
  const isShared = shared && !others.length;
  return (
    <div class="lv-map-foot" style={{ height: `${height}px` }}>
      <div class="lv-axis-name">
        step
        {isShared && <p class="lv-shared">{shared}</p>}
        {ranking && (
          <p class="lv-order" data-testid="order-words">
            Worst first: NaN or inf, then {worstInWords(ranking)}
            {layers.length > 1 && " of the left map"}
          </p>
        )}
      </div>
      <div class="lv-maps">
        {layers.map((layer) => (
          <div key={layer.kind} class="lv-map-legend">
            <StepAxis axis={axis} width={width} marks={marks} />
            <ProfileAxis layer={layer.level ?? layer} step={step} />
            <ColourBar
              scale={layer.scale}
              label={layerLabel(isShared ? { ...layer, ...layer.shows } : layer)}
              whole={layerLabel(layer)}
              format={layer.format}
              ends={layer.rowScales ? ["low", "high of each row"] : undefined}
            />
          </div>
        ))}
      </div>
      <p class="lv-map-marks">
        {layers.some(({ anyTrouble }) => anyTrouble) && <HatchedMark />}
        <FoundLegend
          found={found}
          tensors={run.info.tensors}
          kinds={layers.map(({ kind }) => kind)}
        />
        <HoleMark axis={axis} why={whyLeftOut(run.info, run.history)} />
        {layers.map(({ kind, beyond, level, format }) => (
          <BeyondMark
            key={kind}
            value={beyond?.value}
            of={beyond ? nameOf(beyond.tensor, run.info) : ""}
            others={beyond?.others}
            format={level?.format ?? format}
          />
        ))}
      </p>
    </div>
  );
}

/**
 * What the layer of a tensor is called, without what it lies in.
 * @param {number} tensor
 * @param {import("../data/types.js").RunInfo} info
 */
function nameOf(tensor, { layers, tensors }) {
  const { path } = layers[tensors[tensor].layer];
  return path.slice(path.lastIndexOf("/") + 1);
}
