import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { valueAt } from "../../src/network/loss.js";
import { predictions } from "../../src/network/predictions.js";
import { createStore } from "../../src/page/store.js";
import { readViewState } from "../../src/page/view_state.js";
import { makeServer } from "../server.js";

/** @type {AbortController} */
let end;
/** @type {ReturnType<typeof makeServer>} */
let server;

beforeEach(() => {
  end = new AbortController();
  server = makeServer();
});
afterEach(() => {
  end.abort();
  vi.unstubAllGlobals();
});

/** @param {() => void} assertion */
const eventually = (assertion) => vi.waitFor(assertion, { timeout: 60_000 });
const never = /** @type {Promise<void>} */ (new Promise(() => {}));
const damaged = () => new Response(JSON.stringify({ error: "It is damaged." }), { status: 410 });

/** The network of a run, with its pictures. */
async function opened() {
  const store = createStore(readViewState("#p.layerview.run=new"), end.signal);
  await eventually(() => expect(store.core.current.value).not.toBe(null));
  store.network.wanted.value = [0];
  await eventually(() => expect(store.network.shown.value?.step).toBe(20));
  await eventually(() => expect(store.network.ridges.value.size).toBe(1));
  await eventually(() => expect(store.network.outputs.value).not.toBe(null));
  return store;
}

test("nothing of another run stands beside this one's names", async () => {
  const { core, network } = await opened();
  const late = ["/thumbnails", "/ridges", "/tensor", "/payload"];
  server.hold = ({ pathname, searchParams }) =>
    late.includes(pathname) && searchParams.get("run") === "old" ? never : undefined;
  core.selectRun("old");
  await eventually(() => expect(core.current.value?.name).toBe("old"));
  expect([network.shown.value, network.outputs.value, network.examples.value]).toEqual([
    null,
    null,
    null,
  ]);
  expect(network.ridges.value.size).toBe(0);
});

test("nothing of a log stands there once it is written anew", async () => {
  const { core, network, poll } = await opened();
  server.hold = ({ pathname }) =>
    ["/thumbnails", "/ridges"].includes(pathname) ? never : undefined;
  server.generation = "two";
  server.steps = [0, 10, 20, 30];
  await poll();
  await eventually(() => expect(core.generation.value).toBe("two"));
  expect(network.shown.value).toBe(null);
  expect(network.ridges.value.size).toBe(0);
});

test("what nobody looks at any more is not waited for, so that play goes on", async () => {
  const { core, network } = await opened();
  server.hold = ({ pathname }) =>
    ["/thumbnails", "/tensor"].includes(pathname) ? never : undefined;
  network.selectExample(2);
  await eventually(() => expect(network.pending.value).toBe(true));
  core.view.detail.value = true;
  core.selectStep(0);
  await eventually(() => expect(core.selected.detailPending.value).toBe(true));
  core.view.detail.value = false;
  expect(core.selected.detailPending.value).toBe(false);
  core.view.screen.value = "map";
  await eventually(() => expect(network.pending.value).toBe(false));
});

test("why distributions are missing is said until they are there, and not as a problem of pictures", async () => {
  const { core, network } = await opened();
  server.fail = ({ pathname }) => (pathname === "/ridges" ? damaged() : undefined);
  core.selectRun("old");
  await eventually(() => expect(network.ridgesProblem.value).toContain("It is damaged."));
  await eventually(() => expect(network.shown.value).not.toBe(null));
  expect(network.problem.value).toBe("");
  expect(network.ridgesProblem.value).toContain("It is damaged.");
});

test("a step beside the shown one that cannot be read is no problem of the shown one", async () => {
  server.fail = ({ pathname, searchParams }) =>
    pathname === "/thumbnails" && searchParams.get("step") === "10" ? damaged() : undefined;
  const { core, network } = await opened();
  await eventually(() =>
    expect(
      server.asked.some((url) => url.startsWith("/thumbnails") && url.includes("step=10")),
    ).toBe(true),
  );
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(network.problem.value).toBe("");
  core.selectStep(1);
  await eventually(() => expect(network.problem.value).toContain("It is damaged."));
  // What could be read stays, and says of which step it is.
  expect(network.shown.value?.step).toBe(20);
});

test("pictures of a run that has grown are asked for again", async () => {
  const { core, network, poll } = await opened();
  const count = () =>
    server.asked.filter((url) => url.startsWith("/thumbnails") && url.includes("step=20&")).length;
  const before = count();
  server.steps = Array.from({ length: 40 }, (_, i) => 10 * i);
  await poll();
  await eventually(() => expect(core.steps.value.length).toBe(40));
  await eventually(() => expect(count()).toBeGreaterThan(before));
  expect(network.shown.value?.step).toBe(20);
});

test("a step without a loss has none, and one of NaN has that", () => {
  const loss = /** @type {NonNullable<Parameters<typeof valueAt>[0]>} */ (
    /** @type {unknown} */ ({ curve: { values: [1, NaN, NaN], absent: [0, 1, 0] } })
  );
  expect([0, 1, 2].map((index) => valueAt(loss, index))).toEqual([1, undefined, NaN]);
  expect(valueAt(null, 0)).toBe(undefined);
});

test("a model of very many classes says which one", () => {
  const size = 200_000;
  const data = new Float32Array(size).fill(0.5);
  data[123_456] = 2;
  const axes = [1, size].map((count) => ({ size: count, start: 0, step: 1, count }));
  const values = /** @type {import("../../src/data/payload.js").Values} */ (
    /** @type {unknown} */ ({ axes, data })
  );
  expect(predictions(values, ["example", "unit"])).toEqual([{ unit: 123_456, score: 2 }]);
});
