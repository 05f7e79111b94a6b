/** A server that answers as TensorBoard's does, for tests of the tab's state. */

import { vi } from "vitest";

import { bytesOf, fixtures } from "./fixtures.js";
import { makeInfo } from "./make_info.js";

/**
 * A log as the server knows it; a test changes it as a training would. What is asked stands in `asked`, and `hold` keeps
 * answers back until the test lets them go.
 */
export function makeServer() {
  const values = bytesOf(fixtures.values.float32.bytes);
  const histogram = bytesOf(fixtures.histograms.constant.bytes);
  const server = {
    steps: [0, 10, 20],
    generation: "one",
    down: false,
    notes: /** @type {string[]} */ ([]),
    /** @type {import("../src/data/types.js").UnreadableRun[]} */
    unreadable: [],
    /** @type {import("../src/data/types.js").RunWithoutSteps[]} */
    withoutSteps: [],
    /** From which step on half of each tensor is NaN. */
    brokenFrom: Infinity,
    /** @type {string[]} */
    asked: [],
    /** @type {(url: URL) => Promise<void> | undefined} */
    hold: () => undefined,
    /** @type {(url: URL) => Response | undefined} */
    fail: () => undefined,
  };
  /** @param {URL} url @returns {object | ArrayBuffer} */
  const answer = (url) => {
    const query = url.searchParams;
    const since = Number(query.get("since") ?? 0);
    switch (url.pathname) {
      case "/runs":
        return {
          runs: [
            { run: "old", steps: 1, last_step: 0, tensors: 2, wall_time: 1, notes: 0 },
            {
              run: "new",
              steps: server.steps.length,
              last_step: server.steps.at(-1),
              tensors: 2,
              wall_time: 2,
              notes: server.notes.length,
            },
          ],
          unreadable: server.unreadable,
          without_steps: server.withoutSteps,
        };
      case "/run":
        return {
          ...makeInfo({
            dense: [
              ["activation", "output", [3, 8]],
              ["weight", "kernel", [3, 8]],
            ],
          }),
          run: query.get("run"),
        };
      case "/steps":
        return {
          generation: server.generation,
          notes: server.notes,
          steps: server.steps,
          wall_times: server.steps,
          modes: server.steps.map(() => "train"),
          scalars: {
            loss: server.steps.map((step) => (step === 20 ? "NaN" : step === 10 ? null : 1)),
          },
          cost: null,
        };
      case "/statistics": {
        const steps = server.steps.slice(since);
        const broken = steps.map((step) => (step >= server.brokenFrom ? 0.5 : 0));
        const columns = query.getAll("statistic");
        return Float32Array.from(
          columns.flatMap((name) => (name === "non_finite" ? broken : steps)),
        ).buffer;
      }
      case "/findings":
        return {
          generation: server.generation,
          steps: server.steps.length,
          rules: [
            {
              name: "non_finite",
              severity: "error",
              panel: "distribution",
              thresholds: { patience: 1 },
              defaults: { patience: 1 },
              labels: { patience: "training steps in a row" },
              advice: "Look at what it takes.",
            },
          ],
          findings: [0, 1].flatMap((tensor) =>
            server.steps.some((step) => step >= server.brokenFrom)
              ? [
                  {
                    rule: "non_finite",
                    severity: "error",
                    tensor,
                    first: server.brokenFrom,
                    before: null,
                    last: 20,
                    measured: { nan: "NaN" },
                    since: `since step ${server.brokenFrom}`,
                    words: "holds NaN",
                    follows: tensor ? 0 : null,
                    led_to: null,
                  },
                ]
              : [],
          ),
        };
      case "/course":
        return { steps: server.steps, measure: "rms", values: [], compared: {}, held: [] };
      case "/tensor":
        return {
          step: Number(query.get("step")),
          size: 24,
          rms: "NaN",
          quantiles: null,
          histogram: true,
          units: false,
          values: true,
          values_step: Number(query.get("step")),
        };
      case "/payload":
        return query.get("section") === "values" ? values : histogram;
      case "/units": {
        // Two units a step: the step's number, and a peak that is 0 from step 10 on. Step 0 keeps none.
        const kept = server.steps.flatMap((_, i) => (i >= Math.max(1, since) ? [i] : []));
        const peak = query.get("statistic") === "peak";
        const rows = kept.flatMap((i) => [server.steps[i], peak ? 0 : 7]);
        const head = Uint32Array.from([kept.length, 2, ...kept]);
        return Uint8Array.from([
          ...new Uint8Array(head.buffer),
          ...new Uint8Array(Float32Array.from(rows).buffer),
        ]).buffer;
      }
      case "/histograms":
        return new Uint8Array(4 * (server.steps.length - since)).buffer;
      case "/thumbnails": {
        const step = Number(query.get("step"));
        const lanes = tensorsOf(query).map((tensor) => ({
          ...{ tensor, step, problem: "", layout: "strip", count: 1, of: 1, width: 2, height: 1 },
          ...{ low: 0, high: 1, diverging: false, non_finite: 0, offset: 0 },
        }));
        const example = query.get("example");
        return framed({ step, example, examples: 3, non_finite_examples: [], lanes }, 2);
      }
      case "/ridges": {
        const lanes = tensorsOf(query).map((tensor) => ({
          ...{ tensor, problem: "", steps: [0], low: 0, high: 1, bins: 2, zero: [0], outside: [0] },
          ...{ offset: 0 },
        }));
        return framed({ generation: server.generation, steps: server.steps.length, lanes }, 2);
      }
      default:
        throw new Error(`No route ${url.pathname}`);
    }
  };
  vi.stubGlobal("document", { hidden: false });
  // A test asks when it wants to: what is asked every few seconds would come in between on a busy machine.
  vi.stubGlobal("setInterval", () => 0);
  vi.stubGlobal(
    "fetch",
    async (/** @type {string} */ route, /** @type {{signal: AbortSignal}} */ { signal }) => {
      const url = new URL(route, "http://tensorboard/");
      server.asked.push(url.pathname + url.search);
      await server.hold(url);
      if (signal.aborted) throw new DOMException("", "AbortError");
      if (server.down) throw new TypeError("Failed to fetch");
      const failure = server.fail(url);
      if (failure) return failure;
      const body = answer(url);
      return new Response(body instanceof ArrayBuffer ? body : JSON.stringify(body), {
        headers: {
          "X-Layerview-Generation": server.generation,
          "X-Layerview-Steps": String(server.steps.length),
        },
      });
    },
  );
  return server;
}

/** @param {URLSearchParams} query */
const tensorsOf = (query) => (query.get("tensors") ?? "").split(",").map(Number);

/**
 * A JSON text and so many bytes after it.
 * @param {object} json
 * @param {number} bytes
 */
function framed(json, bytes) {
  const text = new TextEncoder().encode(JSON.stringify(json));
  const all = new Uint8Array(4 + text.length + bytes);
  new DataView(all.buffer).setUint32(0, text.length, true);
  all.set(text, 4);
  return all.buffer;
}
