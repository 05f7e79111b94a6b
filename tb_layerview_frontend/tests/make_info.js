/** What a run logs, for tests. */

/**
 * A tensor that a run logs.
 * @param {number} layer
 * @param {string} kind
 * @param {string} name
 * @param {number[]} shape
 * @param {number} call
 * @returns {import("../src/data/types.js").Tensor}
 */
export const makeTensor = (layer, kind, name, shape = [1], call = 0) => ({
  layer,
  call,
  kind: /** @type {import("../src/data/types.js").Kind} */ (kind),
  name,
  shape,
  dtype: "float32",
  axes: [],
});

/**
 * @param {Record<string, [string, string, number[], number?][]>} layers by path, the kind, name, shape and call of each tensor
 * @returns {import("../src/data/types.js").RunInfo}
 */
export function makeInfo(layers) {
  const paths = Object.keys(layers);
  return {
    run: "run",
    layers: paths.map((path) => ({ path, class_name: "", inputs: [] })),
    tensors: paths.flatMap((path, layer) =>
      layers[path].map(([kind, name, shape, call]) => makeTensor(layer, kind, name, shape, call)),
    ),
    probe: null,
    notes: [],
    schedule: "",
    software: "",
    folder: "",
    hidden: "",
    cost: null,
  };
}
