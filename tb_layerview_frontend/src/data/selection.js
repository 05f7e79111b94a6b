/** Which tensor and which kinds are selected, and what they are called. */

import { isEvaluationOf } from "./matching.js";

/** @typedef {import("./types.js").Kind} Kind */
/** @typedef {import("./types.js").Tensor} Tensor */
/** @typedef {import("./types.js").RunInfo} RunInfo */

/** @type {{kind: Kind, label: string, singular: string, plural: string}[]} in the order in which they are offered */
export const KINDS = [
  { kind: "activation", label: "Activations", singular: "activation", plural: "activations" },
  { kind: "weight", label: "Weights", singular: "weight", plural: "weights" },
  { kind: "gradient", label: "Gradients", singular: "gradient", plural: "gradients" },
  { kind: "update", label: "Updates", singular: "update", plural: "updates" },
  { kind: "optimizer", label: "Optimizer", singular: "optimizer", plural: "optimizer states" },
];

/**
 * Several tensors of a kind in words: "activations".
 * @param {Kind} kind
 */
export function pluralOf(kind) {
  return KINDS.find((known) => known.kind === kind)?.plural ?? `${kind}s`;
}

/**
 * Whether a kind is computed from the probe. Weights are what they are, whatever the batch.
 * @param {Kind} kind
 */
export function isOfProbe(kind) {
  return kind === "activation" || kind === "gradient";
}

/**
 * The weight that a tensor is of, or belongs to, by its name: `kernel` of `kernel` and of an optimizer's `kernel/momentum`.
 * @param {Pick<Tensor, "kind" | "name">} tensor
 */
function weightOf({ kind, name }) {
  return kind === "optimizer" && name.includes("/") ? name.slice(0, name.lastIndexOf("/")) : name;
}

/**
 * The kinds that a run has.
 * @param {Tensor[]} tensors
 * @returns {Kind[]}
 */
export function kindsOf(tensors) {
  const present = new Set(tensors.map((tensor) => tensor.kind));
  return KINDS.map(({ kind }) => kind).filter((kind) => present.has(kind));
}

/**
 * The kinds whose maps are shown: the chosen ones that the run has, else activations and, where there is room, gradients.
 * @param {Tensor[]} tensors
 * @param {string[]} chosen
 * @param {number} room for how many maps there is room
 * @returns {Kind[]}
 */
export function shownKinds(tensors, chosen, room) {
  const present = kindsOf(tensors);
  const wanted = present.filter((kind) => chosen.includes(kind));
  if (wanted.length) return wanted;
  const preferred = /** @type {Kind[]} */ ([
    "activation",
    "gradient",
    "weight",
    "update",
    "optimizer",
  ]);
  const byPreference = preferred.filter((kind) => present.includes(kind)).slice(0, room);
  return present.filter((kind) => byPreference.includes(kind));
}

/**
 * @param {RunInfo} info
 * @param {{layer: string, kind: string, name: string, call: number}} wanted
 * @returns {number} -1 if there is no such tensor
 */
export function findTensor({ layers, tensors }, wanted) {
  return tensors.findIndex(
    (tensor) =>
      layers[tensor.layer].path === wanted.layer &&
      tensor.kind === wanted.kind &&
      tensor.name === wanted.name &&
      tensor.call === wanted.call,
  );
}

/**
 * The tensor of a layer that is shown where no tensor of it is asked for by name: its first one of what is shown.
 * @param {RunInfo} info
 * @param {string} path
 * @param {string[]} kinds the most wanted first
 * @returns {number} -1 if there is no such layer, or it has no tensor
 */
export function firstOfLayer({ layers, tensors }, path, kinds) {
  const own = tensors.flatMap(({ layer }, index) => (layers[layer].path === path ? [index] : []));
  const kind = kinds.find((wanted) => own.some((index) => tensors[index].kind === wanted));
  return own.find((index) => tensors[index].kind === kind) ?? own[0] ?? -1;
}

/**
 * The activation that takes nothing from other layers: what went into the model, example by example.
 * @param {RunInfo} info
 * @returns {number} -1 if none is logged
 */
export function inputTensor({ layers, tensors }) {
  return tensors.findIndex(
    ({ kind, layer }) => kind === "activation" && !layers[layer].inputs.length,
  );
}

/**
 * The training that a replay belongs to.
 * @param {string} replay a run's name
 * @param {import("./types.js").RunSummary[]} runs
 * @returns {string | null} null if TensorBoard does not show it
 */
export function trainingOf(replay, runs) {
  const folder = replay.slice(0, Math.max(replay.lastIndexOf("/"), 0)) || ".";
  return runs.some(({ run }) => run === folder) ? folder : null;
}

/**
 * The run that is opened before anybody has chosen: the newest. But evaluations and replays are logged below their training,
 * after it and in fewer steps: then it is the training, which says more.
 * @param {import("./types.js").RunSummary[]} runs at least one
 */
export function openedRun(runs) {
  const newest = runs.reduce((best, run) => (run.wall_time > best.wall_time ? run : best));
  const folder = newest.run.slice(0, Math.max(newest.run.lastIndexOf("/"), 0)) || ".";
  const isPart = isEvaluationOf(folder, newest.run) || /(^|\/)replay$/.test(newest.run);
  // Of runs of other names only what is far shorter is taken for a part.
  const least = (isPart ? 1 : 10) * newest.steps;
  return (
    runs.find(({ run, steps }) => run === folder && run !== newest.run && steps > least) ?? newest
  );
}

/**
 * What is shown before anybody has chosen: the first feature maps, for they say most at a glance.
 * @param {RunInfo} info
 * @param {Kind[]} kinds that are shown
 * @returns {number}
 */
export function defaultTensor({ tensors }, kinds) {
  const kind = kinds[0] ?? tensors[0].kind;
  // Of the input there are pictures elsewhere; a first layer of one channel is one, too.
  const picture = tensors.findIndex(
    ({ kind: own, shape }) => own === kind && shape.length === 4 && shape[3] > 3,
  );
  if (picture >= 0) return picture;
  return Math.max(
    0,
    tensors.findIndex((tensor) => tensor.kind === kind),
  );
}

/**
 * The tensor that is selected: the one that is asked for, or what of its layer is there, or the default.
 * @param {RunInfo} info
 * @param {{layer: string, kind: string, name: string, call: number}} wanted
 * @param {Kind[]} kinds that are shown
 * @returns {number} -1 if the run has no tensor
 */
export function chosenIn(info, wanted, kinds) {
  if (!info.tensors.length) return -1;
  const found = findTensor(info, wanted);
  if (found >= 0) return found;
  const ofLayer = firstOfLayer(info, wanted.layer, [wanted.kind, ...kinds]);
  return ofLayer >= 0 ? ofLayer : defaultTensor(info, kinds);
}

/**
 * What to select when another kind is shown: a tensor of the same layer, or of the nearest one that has such.
 * @param {Tensor[]} tensors
 * @param {number} selected
 * @param {Kind} kind
 * @returns {number} -1 if there is none
 */
export function counterpart(tensors, selected, kind) {
  const from = tensors[selected];
  if (!from || from.kind === kind) return selected;
  let best = -1;
  const distance = (/** @type {number} */ index) => Math.abs(tensors[index].layer - from.layer);
  const isBeside = (/** @type {Tensor} */ tensor) => weightOf(tensor) === weightOf(from);
  tensors.forEach((tensor, index) => {
    if (tensor.kind !== kind) return;
    if (best < 0 || distance(index) < distance(best)) best = index;
    else if (tensor.layer === tensors[best].layer && isBeside(tensor) && !isBeside(tensors[best])) {
      best = index;
    }
  });
  return best;
}

/**
 * The tensor that a row stands for when it is chosen: of the kind, if possible of the name that is selected already.
 * @param {Tensor[]} tensors
 * @param {number[]} candidates
 * @param {Kind} kind
 * @param {number} selected
 * @returns {number} -1 if the row has none of the kind
 */
export function tensorForRow(tensors, candidates, kind, selected) {
  const ofKind = candidates.filter((index) => tensors[index].kind === kind);
  const from = tensors[selected];
  return (
    ofKind.find((index) => tensors[index].name === from?.name) ??
    ofKind.find((index) => from && weightOf(tensors[index]) === weightOf(from)) ??
    ofKind[0] ??
    -1
  );
}
