/** One unit of a layer: where its activation and its incoming weights lie. */

/** @typedef {import("../data/types.js").RunInfo} RunInfo */
/** @typedef {import("../data/payload.js").Values} Values */

/** Layers that hand each channel on to the channel of the same index. */
const ONE_TO_ONE = /Normalization|ReLU|ELU|GELU|Activation|Dropout|Pooling|Softmax|Sigmoid|Add$/;

const MOST_LAYERS_BACK = 4;

/**
 * The tensors of a unit: its layer's activation, and the weights that lead to it. A layer that has none (a ReLU, a
 * normalization) has those of the layer before it, as long as channels stay what they are on the way.
 * @param {RunInfo} info
 * @param {number} tensor index of a tensor whose last axis are the units
 * @returns {{activation: number, weight: number}} indices of tensors, -1 where there is none
 */
export function partsOf({ layers, tensors }, tensor) {
  const { layer, call, kind, shape } = tensors[tensor];
  const units = shape.at(-1);
  /** @param {number} of @param {import("../data/types.js").Kind} wanted */
  const candidates = (of, wanted) =>
    tensors.flatMap((one, index) =>
      one.layer === of && one.kind === wanted && one.shape.at(-1) === units ? [index] : [],
    );
  const own = candidates(layer, "activation");
  const activation =
    kind === "activation"
      ? tensor
      : (own.find((index) => tensors[index].call === call) ?? own[0] ?? -1);
  if (kind === "weight" && shape.length > 1) return { activation, weight: tensor };
  let at = layer;
  for (let back = 0; back <= MOST_LAYERS_BACK; back++) {
    const weights = candidates(at, "weight").filter((index) => tensors[index].shape.length > 1);
    if (weights.length) {
      const kernel = weights.find((index) => tensors[index].name === "kernel");
      return { activation, weight: kernel ?? weights[0] };
    }
    const { class_name: name, inputs } = layers[at];
    if (inputs.length !== 1 || !ONE_TO_ONE.test(name) || name.endsWith("Add")) break;
    at = inputs[0];
  }
  return { activation, weight: -1 };
}

/**
 * One index of the last axis of what is kept of a tensor.
 * @param {Values} values
 * @param {number} unit index in the whole tensor
 * @returns {Values | null} without the last axis; null where that unit is not kept
 */
export function sliceUnit({ axes, data, precision }, unit) {
  const axis = axes.at(-1);
  if (!axis) return null;
  const place = (unit - axis.start) / axis.step;
  if (!Number.isInteger(place) || place < 0 || place >= axis.count) return null;
  const count = data.length / axis.count;
  const slice = new /** @type {any} */ (data.constructor)(count);
  for (let i = 0; i < count; i++) slice[i] = data[i * axis.count + place];
  return { axes: axes.slice(0, -1), data: slice, precision };
}

/**
 * How a unit's slice is laid out: like the picture, but with all kept examples beside each other.
 * @param {string[]} names of the slice's axes
 * @param {import("../picture/plan.js").Plan} plan from `planPicture`
 * @returns {import("../picture/plan.js").Plan}
 */
export function planUnit(names, plan) {
  const example = plan.choosers.find((axis) => names[axis] === "example");
  if (example === undefined || plan.panelColumn !== null) return plan;
  return {
    ...plan,
    panelColumn: example,
    choosers: plan.choosers.filter((axis) => axis !== example),
  };
}
