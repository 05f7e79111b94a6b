import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { createStore } from "../../src/page/store.js";
import { readViewState } from "../../src/page/view_state.js";
import { makeServer } from "../server.js";

/**
 * Waits until an assertion holds, for as long as a busy machine may take.
 * @param {() => void} assertion
 */
const eventually = (assertion) => vi.waitFor(assertion, { timeout: 60_000 });

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

/** @param {string} [hash] */
async function open(hash = "") {
  const store = createStore(readViewState(`${hash}&p.layerview.screen=map`), end.signal);
  await eventually(() => expect(store.core.selected.detail.value.status).not.toBe("loading"));
  return store;
}

/** @param {Awaited<ReturnType<typeof open>>} store */
const shownStep = (store) =>
  store.core.selected.detail.value.status === "ready"
    ? store.core.selected.detail.value.value.step
    : null;

test("a run, a layer and a step are selected at once: the newest run, its last step", async () => {
  const store = await open();
  expect(store.core.view.run.value).toBe("new");
  expect(store.core.view.layer.value).toBe("dense");
  expect(store.core.view.step.value).toBe(20);
  expect(shownStep(store)).toBe(20);
});

test("what the address says is selected, the nearest step where it names none that is logged", async () => {
  const store = await open(
    "#layerview&p.layerview.run=old&p.layerview.step=12&p.layerview.kind=weight",
  );
  expect(store.core.view.run.value).toBe("old");
  expect(shownStep(store)).toBe(10);
});

test("a late reply for a step that is no longer asked for is dropped", async () => {
  const store = await open("#p.layerview.step=20");
  /** @type {() => void} */
  let letGo = () => {};
  const held = new Promise((resolve) => {
    letGo = () => resolve(undefined);
  });
  // Step 10 is a neighbour and may be here already: forget it by another generation of the log.
  server.generation = "two";
  server.steps = [0, 10, 20, 30];
  server.hold = (url) =>
    url.pathname === "/tensor" && url.searchParams.get("step") === "0" ? held : undefined;
  await store.poll();
  store.core.selectStep(0);
  await eventually(() => expect(store.core.selected.detailPending.value).toBe(true));
  store.core.selectStep(3);
  await eventually(() => expect(shownStep(store)).toBe(30));
  letGo();
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(shownStep(store)).toBe(30);
});

test("new steps come in, and nothing that was chosen moves", async () => {
  const store = await open("#p.layerview.step=10");
  await eventually(() =>
    expect(store.core.current.value?.columns.get("activation")?.steps).toBe(3),
  );
  server.asked = [];
  server.steps = [0, 10, 20, 30, 40];
  await store.poll();
  expect(store.core.steps.value).toEqual([0, 10, 20, 30, 40]);
  expect(store.core.view.step.value).toBe(10);
  expect(store.core.stepIndex.value).toBe(1);
  // Only the new steps were asked for.
  expect(server.asked).toContainEqual(expect.stringMatching(/statistics.*since=3/));
  const columns = store.core.current.value?.columns.get("activation");
  expect(columns?.of("rms", [0]).map((column) => [...column])).toEqual([[0, 10, 20, 30, 40]]);
});

test("what turns out to be damaged is told of, though no step is new", async () => {
  const store = await open("#p.layerview.step=10");
  server.notes = ["its file is damaged"];
  await store.poll();
  expect(store.core.current.value?.history.notes).toEqual(["its file is damaged"]);
  expect(store.core.view.step.value).toBe(10);
});

test("runs that cannot be read are told of, whether there are others or not", async () => {
  const store = await open("#p.layerview.step=10");
  expect(store.unreadable.value).toEqual([]);
  server.unreadable = [{ run: "broken", problems: ["its file is damaged"] }];
  await store.poll();
  const found = store.unreadable.value;
  expect(found).toEqual([{ run: "broken", problems: ["its file is damaged"] }]);
  await store.poll();
  expect(store.unreadable.value).toBe(found); // nothing is drawn anew
  server.unreadable = [];
  await store.poll();
  expect(store.unreadable.value).toEqual([]);
  expect(store.core.view.run.value).toBe("new");
});

test("runs without steps are told of with the reason, until they have some", async () => {
  const store = await open("#p.layerview.step=10");
  expect(store.withoutSteps.value).toEqual([]);
  server.withoutSteps = [{ run: "nothing", notes: ["0 steps logged: the probe"] }];
  await store.poll();
  const found = store.withoutSteps.value;
  expect(found).toEqual([{ run: "nothing", notes: ["0 steps logged: the probe"] }]);
  await store.poll();
  expect(store.withoutSteps.value).toBe(found); // nothing is drawn anew
  server.withoutSteps = [];
  await store.poll();
  expect(store.withoutSteps.value).toEqual([]);
});

test("the newest step is shown as it comes when that is wanted", async () => {
  const store = await open("#p.layerview.step=20&p.layerview.follow=1");
  server.steps = [0, 10, 20, 30];
  await store.poll();
  expect(store.core.view.step.value).toBe(30);
  store.core.selectStep(0);
  expect(store.core.view.follow.value).toBe(false);
});

test("another history of the same run replaces all that is known of it", async () => {
  const store = await open();
  await eventually(() =>
    expect(store.core.current.value?.columns.get("activation")?.steps).toBe(3),
  );
  server.generation = "two";
  server.steps = [0, 5];
  await store.poll();
  await eventually(() =>
    expect(store.core.current.value?.columns.get("activation")?.steps).toBe(2),
  );
  expect(store.core.steps.value).toEqual([0, 5]);
});

test("steps and statistics of two histories are never mixed", async () => {
  const store = await open();
  await eventually(() =>
    expect(store.core.current.value?.columns.get("activation")?.steps).toBe(3),
  );
  server.steps = [0, 10, 20, 30];
  server.hold = (url) => {
    // Between the list of steps and their statistics the run is logged anew.
    if (url.pathname === "/statistics" && server.generation === "one") {
      server.generation = "two";
      server.steps = [0, 1, 2, 3, 4];
    }
    return undefined;
  };
  await store.poll();
  await eventually(() =>
    expect(store.core.current.value?.columns.get("activation")?.steps).toBe(5),
  );
  expect(store.core.steps.value).toEqual([0, 1, 2, 3, 4]);
  const columns = store.core.current.value?.columns.get("activation");
  expect(columns?.of("rms", [0]).map((column) => [...column])).toEqual([[0, 1, 2, 3, 4]]);
});

test("when the server is gone what is known stays, and all goes on when it is back", async () => {
  const store = await open("#p.layerview.step=20");
  server.down = true;
  await store.poll();
  expect(store.connection.value.status).toBe("lost");
  expect(store.core.steps.value).toEqual([0, 10, 20]);
  expect(shownStep(store)).toBe(20);
  server.down = false;
  server.steps = [0, 10, 20, 30];
  await store.poll();
  expect(store.connection.value.status).toBe("live");
  expect(store.core.steps.value).toEqual([0, 10, 20, 30]);
});

test("an error is said in the server's words, and is not an empty answer", async () => {
  server.fail = (url) =>
    url.pathname === "/tensor"
      ? new Response(JSON.stringify({ error: "The log is on fire." }), { status: 500 })
      : undefined;
  const store = await open();
  expect(store.core.selected.detail.value).toEqual({
    status: "error",
    message: "The log is on fire.",
  });
});

test("a run with trouble opens at its first step, unless another one is asked for", async () => {
  server.brokenFrom = 10;
  expect((await open()).core.view.step.value).toBe(10);
  expect((await open("#p.layerview.step=20")).core.view.step.value).toBe(20);
});

test("a tensor that was not logged at a step is that, not an error", async () => {
  server.fail = (url) =>
    url.pathname === "/tensor"
      ? new Response('{"error": "not logged"}', { status: 404 })
      : undefined;
  const store = await open();
  expect(store.core.selected.detail.value).toMatchObject({
    status: "ready",
    value: { step: 20, record: null },
  });
});

test("a damaged payload leaves the statistics, and says what is wrong", async () => {
  server.fail = (url) =>
    url.searchParams.get("section") === "values"
      ? new Response('{"error": "The payload is cut off."}', { status: 410 })
      : undefined;
  const store = await open();
  expect(store.core.selected.detail.value).toMatchObject({
    status: "ready",
    value: { valuesProblem: "The payload is cut off.", record: { size: 24 } },
  });
});

test("scalars tell a value that is missing from one that is not a number", async () => {
  const store = await open();
  const history = store.core.current.value?.history;
  expect([...(history?.scalars.loss ?? [])]).toEqual([1, NaN, NaN]);
  expect([...(history?.absent.loss ?? [])]).toEqual([0, 1, 0]);
});

test("the extremes of the selected tensor are those of all its steps, and of later ones", async () => {
  const store = await open("");
  const extremes = () => {
    const { value } = store.core.selected.histograms;
    return value.status === "ready" ? value.value.extremes : null;
  };
  // The server's smallest and largest element at a step are the step's number.
  await eventually(() => expect(extremes()).toEqual([server.steps[0], server.steps.at(-1)]));
  server.steps = [...server.steps, 1000];
  await store.poll();
  await eventually(() => expect(extremes()).toEqual([server.steps[0], 1000]));
  expect(server.asked.some((url) => url.includes("tensor=") && !url.includes("since=0"))).toBe(
    true,
  );
});

test("neighbouring steps are fetched ahead", async () => {
  await open("#p.layerview.step=10");
  await eventually(() => {
    for (const step of [0, 10, 20]) {
      expect(server.asked).toContainEqual(
        expect.stringMatching(`^/payload.*step=${step}&section=values`),
      );
    }
  });
});

describe("units", () => {
  /** @param {Awaited<ReturnType<typeof open>>} store */
  const units = (store) =>
    store.units.history.value.status === "ready" ? store.units.history.value.value : null;

  test("are asked for where they are looked at, beside their peaks, and new steps alone later", async () => {
    const store = await open();
    expect(server.asked.some((url) => url.startsWith("/units"))).toBe(false);
    store.core.view.panel.value = "units";
    await eventually(() => expect(units(store)).not.toBeNull());
    expect([...(units(store)?.column.indices ?? [])]).toEqual([1, 2]);
    expect([...(units(store)?.column.values ?? [])]).toEqual([10, 7, 20, 7]);
    expect([...(units(store)?.peaks ?? [])]).toEqual([10, 0, 20, 0]);
    server.asked = [];
    server.steps = [0, 10, 20, 30];
    await store.poll();
    await eventually(() => expect(units(store)?.column.indices.length).toBe(3));
    expect([...(units(store)?.column.values ?? [])]).toEqual([10, 7, 20, 7, 30, 7]);
    const asked = server.asked.filter((url) => url.startsWith("/units"));
    expect(asked.length).toBe(2);
    for (const url of asked) expect(url).toContain("since=3");
  });

  test("of another history are asked for anew", async () => {
    const store = await open("#p.layerview.panel=units");
    await eventually(() => expect(units(store)).not.toBeNull());
    server.generation = "two";
    server.steps = [0, 5];
    await store.poll();
    await eventually(() => expect([...(units(store)?.column.values ?? [])]).toEqual([5, 7]));
  });

  test("say why they are not there", async () => {
    server.fail = (url) =>
      url.pathname === "/units"
        ? new Response(JSON.stringify({ error: "The file is gone." }), { status: 410 })
        : undefined;
    const store = await open("#p.layerview.panel=units");
    await eventually(() =>
      expect(store.units.history.value).toEqual({ status: "error", message: "The file is gone." }),
    );
  });
});

test("quantiles are asked for where they are looked at, and new steps alone later", async () => {
  const store = await open();
  const bands = () => (store.bands.value.status === "ready" ? store.bands.value.value.bands : null);
  expect(server.asked.some((url) => url.includes("p50"))).toBe(false);
  store.core.view.history.value = "bands";
  await eventually(() => expect([...(bands()?.p50 ?? [])]).toEqual([0, 10, 20]));
  server.asked = [];
  server.steps = [0, 10, 20, 30];
  await store.poll();
  await eventually(() => expect([...(bands()?.p50 ?? [])]).toEqual([0, 10, 20, 30]));
  expect(server.asked).toContainEqual(expect.stringMatching(/statistic=p50.*since=3/));
});

test("the numbers of the first and of the previous step stand beside the selected one's", async () => {
  const store = await open("#p.layerview.step=20&p.layerview.panel=numbers");
  const others = () => (store.numbers.value.status === "ready" ? store.numbers.value.value : null);
  await eventually(() => expect(others()?.step).toBe(20));
  expect([others()?.first?.step, others()?.previous?.step]).toEqual([0, 10]);
  store.core.selectStep(0);
  await eventually(() => expect(others()?.step).toBe(0));
  expect(others()?.previous).toBeUndefined();
});

test("a unit stays chosen for the other tensors of its layer", async () => {
  const store = await open(
    "#p.layerview.layer=dense&p.layerview.kind=activation&p.layerview.name=output&p.layerview.unit=3",
  );
  store.core.selectTensor(1);
  expect(store.core.view.kind.value).toBe("weight");
  expect(store.core.view.unit.value).toBe(3);
});

test("findings are known when the run appears, and again when it grows or a threshold moves", async () => {
  server.brokenFrom = 10;
  const store = await open("#p.layerview.step=0");
  const asked = () => server.asked.filter((url) => url.startsWith("/findings"));
  const found = () =>
    store.findings.found.value.findings.map(({ first, tensor }) => [first, tensor]);
  expect(found()).toEqual([
    [10, 0],
    [10, 1],
  ]);
  expect(asked()).toEqual(["/findings?run=new"]);
  store.findings.showNext();
  expect([store.core.view.step.value, store.core.view.kind.value]).toEqual([10, "activation"]);
  store.core.view.thresholds.value = ["non_finite.patience:2"];
  await eventually(() => expect(asked().length).toBe(2));
  expect(asked()[1]).toBe("/findings?run=new&threshold=non_finite.patience%3A2");
  // What is found with the usual ones is known already, and told beside it.
  await eventually(() => expect(store.findings.found.value.usual?.length).toBe(2));
  server.steps = [0, 10, 20, 30];
  await store.poll();
  await eventually(() => expect(asked().length).toBe(4));
  expect(asked()[3]).toBe("/findings?run=new");
});

test("a threshold that the server does not take leaves what was found, and says why", async () => {
  server.brokenFrom = 10;
  const store = await open("#p.layerview.step=0");
  server.fail = (url) =>
    url.searchParams.has("threshold")
      ? new Response('{"error": "It must be a whole number."}', { status: 400 })
      : undefined;
  store.core.view.thresholds.value = ["non_finite.patience:1.5"];
  await eventually(() =>
    expect(store.findings.found.value.problem).toBe("It must be a whole number."),
  );
  expect(store.findings.found.value.findings.length).toBe(2);
  store.core.view.thresholds.value = [];
  await eventually(() => expect(store.findings.found.value.problem).toBe(""));
});

test("a finding is shown where it is, with its course, and its replay is another run", async () => {
  server.brokenFrom = 10;
  const store = await open("#p.layerview.step=0&p.layerview.why=lead");
  await eventually(() => expect(store.findings.course.value.status).toBe("ready"));
  expect(server.asked).toContain("/course?run=new&rule=non_finite&tensor=0");
  const [, second] = store.findings.found.value.findings;
  store.findings.show(second);
  expect(store.core.view.why.value).toBe("non_finite:1");
  expect(store.core.view.panel.value).toBe("distribution");
  expect(store.core.kinds.value).toContain(store.core.current.value?.info.tensors[1].kind);
  await eventually(() =>
    expect(server.asked).toContain("/course?run=new&rule=non_finite&tensor=1"),
  );
  const { layer, kind } = store.core.view;
  const was = [layer.value, kind.value];
  await store.findings.showReplay({ ...second, replay: { run: "new/replay", step: 7 } });
  expect([store.core.view.run.value, store.core.view.step.value]).toEqual(["new/replay", 7]);
  expect([layer.value, kind.value]).toEqual(was);
});

test("findings that cannot be read leave the rest as it is", async () => {
  server.fail = (url) =>
    url.pathname === "/findings"
      ? new Response('{"error": "The rules are on fire."}', { status: 500 })
      : undefined;
  const store = await open();
  expect(store.findings.found.value).toMatchObject({
    status: "error",
    problem: "The rules are on fire.",
  });
  expect(store.core.current.value?.name).toBe("new");
});

test("all that the first map needs is asked for at once", async () => {
  /** @type {() => void} */
  let letGo = () => {};
  const held = new Promise((resolve) => {
    letGo = () => resolve(undefined);
  });
  server.hold = (url) => (url.pathname === "/statistics" ? held : undefined);
  const store = createStore(readViewState("p.layerview.screen=map"), end.signal);
  // Those of the selected tensor alone are its picture's.
  const asked = () =>
    server.asked.filter((url) => url.startsWith("/statistics") && !url.includes("tensor="));
  await eventually(() => expect(asked().length).toBe(3));
  letGo();
  await eventually(() => expect(store.core.run.value.status).toBe("ready"));
  expect(store.core.current.value?.columns.get("activation")?.has("rms")).toBe(true);
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(asked().length).toBe(3);
});

test("a statistic that only updates have leaves the other maps as they are", async () => {
  const store = await open("#p.layerview.statistic=update_ratio");
  expect(server.asked.some((url) => url.includes("update_ratio"))).toBe(false);
  expect(store.core.current.value?.columns.get("activation")?.has("rms")).toBe(true);
});

test("a statistic that the server does not know is said, and the run is shown all the same", async () => {
  server.fail = (url) =>
    url.searchParams.getAll("statistic").includes("p5")
      ? new Response('{"error": "There is no statistic p5."}', { status: 400 })
      : undefined;
  const store = await open("#p.layerview.statistic=p5");
  expect(store.core.run.value.status).toBe("ready");
  expect(store.core.columnProblems.value.activation).toBe("There is no statistic p5.");
  store.core.view.statistic.value = "std";
  await eventually(() => expect(store.core.columnProblems.value.activation).toBeUndefined());
});
