import { expect, test } from "vitest";

import {
  counterpart,
  defaultTensor,
  findTensor,
  firstOfLayer,
  isOfProbe,
  KINDS,
  kindsOf,
  openedRun,
  pluralOf,
  shownKinds,
  tensorForRow,
} from "../../src/data/selection.js";
import { makeTensor as tensor } from "../make_info.js";

const tensors = [
  tensor(0, "activation", "output", [32, 8, 8, 1]),
  tensor(1, "activation", "output", [32, 8, 8, 16]),
  tensor(1, "weight", "kernel", [3, 3, 1, 16]),
  tensor(1, "weight", "bias", [16]),
  tensor(1, "gradient", "kernel", [3, 3, 1, 16]),
];
const info = /** @type {import("../../src/data/types.js").RunInfo} */ ({
  layers: [
    { path: "input", class_name: "", inputs: [] },
    { path: "conv", class_name: "", inputs: [0] },
  ],
  tensors,
});

test("of a layer without a tensor's name the first one of what is shown is chosen", () => {
  expect(firstOfLayer(info, "conv", ["activation"])).toBe(1);
  expect(firstOfLayer(info, "conv", ["gradient", "activation"])).toBe(4);
  expect(firstOfLayer(info, "conv", ["", "update"])).toBe(1);
  expect(firstOfLayer(info, "input", ["weight"])).toBe(0);
  expect(firstOfLayer(info, "dense", ["activation"])).toBe(-1);
});

test("a tensor is found by layer, kind, name and call", () => {
  const wanted = { layer: "conv", kind: "weight", name: "bias", call: 0 };
  expect(findTensor(info, wanted)).toBe(3);
  expect(findTensor(info, { ...wanted, call: 1 })).toBe(-1);
});

test("what is shown first are the first feature maps, not the input", () => {
  expect(defaultTensor(info, ["activation"])).toBe(1);
  expect(defaultTensor({ ...info, tensors: [tensors[0]] }, ["activation"])).toBe(0);
});

test("another kind is shown of the same layer and name, else of the nearest layer", () => {
  expect(counterpart(tensors, 4, "weight")).toBe(2);
  expect(counterpart(tensors, 1, "gradient")).toBe(4);
  expect(counterpart(tensors, 0, "weight")).toBe(2);
  expect(counterpart(tensors, 3, "weight")).toBe(3);
  expect(counterpart(tensors, 3, "update")).toBe(-1);
});

test("kinds that the run lacks are never shown", () => {
  expect(kindsOf(tensors)).toEqual(["activation", "weight", "gradient"]);
  expect(shownKinds(tensors, ["update", "weight"], 1)).toEqual(["weight"]);
  expect(shownKinds(tensors, ["update"], 1)).toEqual(["activation"]);
  expect(shownKinds(tensors, [], 2)).toEqual(["activation", "gradient"]);
  expect(shownKinds([tensors[3]], [], 2)).toEqual(["weight"]);
});

test("a row stands for its tensor of the name that is selected", () => {
  expect(tensorForRow(tensors, [1, 2, 3, 4], "weight", 4)).toBe(2);
  expect(tensorForRow(tensors, [1, 2, 3, 4], "weight", 3)).toBe(3);
  expect(tensorForRow(tensors, [1, 2, 3, 4], "weight", 0)).toBe(2);
  expect(tensorForRow(tensors, [1], "weight", 0)).toBe(-1);
});

const kept = [
  ...tensors,
  tensor(1, "optimizer", "kernel/momentum", [3, 3, 1, 16]),
  tensor(1, "optimizer", "kernel/velocity", [3, 3, 1, 16]),
  tensor(1, "optimizer", "bias/momentum", [16]),
  tensor(1, "optimizer", "bias/velocity", [16]),
];

test("what an optimizer keeps is shown where it is asked for, or where there is nothing else", () => {
  expect(kindsOf(kept)).toEqual(["activation", "weight", "gradient", "optimizer"]);
  expect(shownKinds(kept, [], 2)).toEqual(["activation", "gradient"]);
  expect(shownKinds(kept, ["optimizer"], 2)).toEqual(["optimizer"]);
  expect(shownKinds(kept.slice(5), [], 2)).toEqual(["optimizer"]);
});

test("what an optimizer keeps of a weight is beside that weight, and the other way round", () => {
  expect(counterpart(kept, 2, "optimizer")).toBe(5);
  expect(counterpart(kept, 3, "optimizer")).toBe(7);
  expect(counterpart(kept, 8, "weight")).toBe(3);
  expect(counterpart(kept, 6, "gradient")).toBe(4);
  expect(tensorForRow(kept, [1, 2, 3, 4, 5, 6, 7, 8], "optimizer", 3)).toBe(7);
  expect(tensorForRow(kept, [1, 2, 3, 4, 5, 6, 7, 8], "optimizer", 6)).toBe(6);
  expect(tensorForRow(kept, [1, 2, 3, 4, 5, 6, 7, 8], "weight", 8)).toBe(3);
});

test("every kind has its words, and activations and gradients alone are of the probe", () => {
  expect(KINDS.map(({ kind }) => pluralOf(kind))).toEqual([
    "activations",
    "weights",
    "gradients",
    "updates",
    "optimizer states",
  ]);
  expect(KINDS.filter(({ kind }) => isOfProbe(kind)).map(({ kind }) => kind)).toEqual([
    "activation",
    "gradient",
  ]);
});

/** @param {string} run @param {number} steps @param {number} wall_time */
const summary = (run, steps, wall_time) => ({
  run,
  steps,
  wall_time,
  last_step: steps,
  tensors: 1,
  notes: 0,
});

test("the newest run is opened, but for an evaluation its training", () => {
  expect(openedRun([summary("a", 50, 1), summary("b", 60, 2)]).run).toBe("b");
  expect(openedRun([summary("b", 60, 2), summary("b/eval", 1, 3)]).run).toBe("b");
  expect(openedRun([summary(".", 60, 2), summary("eval", 1, 3)]).run).toBe(".");
  expect(openedRun([summary(".", 60, 2), summary("later", 40, 3)]).run).toBe("later");
  expect(openedRun([summary("a", 60, 2), summary("b/eval", 1, 3)]).run).toBe("b/eval");
  expect(openedRun([summary("a", 68, 2), summary("a/evaluate", 24, 3)]).run).toBe("a");
  expect(openedRun([summary(".", 41, 2), summary("replay", 1, 3)]).run).toBe(".");
  expect(openedRun([summary("a", 68, 2), summary("a/again", 24, 3)]).run).toBe("a/again");
});
