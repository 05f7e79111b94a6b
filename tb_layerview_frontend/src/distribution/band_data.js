/** Quantiles of the selected tensor over the steps, from the server's columns. */

import { signal } from "@preact/signals";

import { Columns } from "../data/columns.js";
import { splitColumns } from "../data/payload.js";
import { isOther } from "../data/requests.js";
import { fetchStatistics } from "../data/routes.js";
import { failIn, makeTensorTasks } from "../data/tensor_tasks.js";
import { BAND_STATISTICS } from "./bands.js";

/** @typedef {import("../data/types.js").Kind} Kind */

/**
 * @template T
 * @typedef {import("../data/run.js").Loadable<T>} Loadable
 */

/**
 * Columns come for all tensors of a kind at once. Of a model so large, and a run so long, that they take more than this
 * the histograms of the one tensor are less.
 */
const MOST_BYTES = 32e6;

/**
 * Quantiles of a tensor by step; null where they are to be had from its histograms.
 * @typedef {{tensor: number, bands: import("./bands.js").Bands | null}} TensorBands
 */

/** @typedef {import("@preact/signals").ReadonlySignal<Loadable<TensorBands>>} BandState */

/**
 * @param {import("../kit/core.js").Core} core
 * @param {import("../data/tasks.js").Asks} asks
 */
export function createBands(core, asks) {
  const { view, current, steps } = core;
  /** @type {import("@preact/signals").Signal<Loadable<TensorBands>>} */
  const bands = signal({ status: "loading" });
  /** @type {{of: string, byKind: Map<Kind, Columns>}} of one run alone */
  let known = { of: "", byKind: new Map() };

  const onTensor = makeTensorTasks(core, asks, () => view.history.value === "bands");

  onTensor(
    () => ({ count: steps.value.length }),
    async ({ name, generation: of, tensor: index, count }, abort) => {
      const info = current.value?.info;
      const kind = info?.tensors[index]?.kind;
      if (!info || kind === undefined) return;
      const key = `${name}\n${of}`;
      if (known.of !== key) known = { of: key, byKind: new Map() };
      const columns = known.byKind.get(kind) ?? new Columns(kind, info.tensors);
      if (4 * BAND_STATISTICS.length * columns.tensors.length * count > MOST_BYTES) {
        bands.value = { status: "ready", value: { tensor: index, bands: null } };
        return;
      }
      if (columns.steps < count || !columns.has("p50")) {
        const shown = bands.value;
        if (shown.status !== "ready" || shown.value.tensor !== index) {
          bands.value = { status: "loading" };
        }
        const names = [...BAND_STATISTICS];
        const sent = await fetchStatistics(name, kind, names, columns.steps, abort);
        if (isOther(sent, of)) {
          await core.load(name, abort);
          return;
        }
        const split = splitColumns(sent.buffer, names.length, columns.tensors.length);
        if (columns.has("p50")) columns.append(new Map(names.map((one, i) => [one, split[i]])));
        else names.forEach((one, i) => columns.add(one, split[i]));
        known.byKind.set(kind, columns);
      }
      const own = /** @type {import("./bands.js").Bands} */ (
        Object.fromEntries(BAND_STATISTICS.map((one) => [one, columns.of(one, [index])[0]]))
      );
      bands.value = { status: "ready", value: { tensor: index, bands: own } };
    },
    failIn(bands),
  );
  return bands;
}
