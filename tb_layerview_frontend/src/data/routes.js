/** The routes of `docs/http_api.md`, a function each. */

import { decodeRidges, decodeThumbnails } from "./framed.js";
import { columnar, request } from "./requests.js";

/** @typedef {import("./types.js").Columnar} Columnar */
/** @typedef {import("./types.js").Course} Course */
/** @typedef {import("./types.js").Findings} Findings */
/** @typedef {import("./types.js").History} History */
/** @typedef {import("./types.js").Kind} Kind */
/** @typedef {import("./types.js").Rank} Rank */
/** @typedef {import("./types.js").RankStatistics} RankStatistics */
/** @typedef {import("./types.js").RunInfo} RunInfo */
/** @typedef {import("./types.js").RunSummary} RunSummary */
/** @typedef {import("./types.js").RunWithoutSteps} RunWithoutSteps */
/** @typedef {import("./types.js").TensorRecord} TensorRecord */
/** @typedef {import("./types.js").UnreadableRun} UnreadableRun */
/** @typedef {import("./framed.js").RidgesAnswer} RidgesAnswer */
/** @typedef {import("./framed.js").ThumbnailsAnswer} ThumbnailsAnswer */

/**
 * A number as JSON carries it.
 * @param {number | string | null} value
 * @returns {number}
 */
export function toNumber(value) {
  if (typeof value === "number") return value;
  if (value === "Infinity") return Infinity;
  if (value === "-Infinity") return -Infinity;
  return NaN;
}

/**
 * @param {AbortSignal} signal
 * @returns {Promise<{runs: RunSummary[], unreadable: UnreadableRun[], without_steps: RunWithoutSteps[]}>}
 */
export async function fetchRuns(signal) {
  return (await request("runs", [], signal)).json();
}

/**
 * @param {string} run
 * @param {AbortSignal} signal
 * @returns {Promise<RunInfo>}
 */
export async function fetchRun(run, signal) {
  return (await request("run", [["run", run]], signal)).json();
}

/**
 * @param {string} run
 * @param {string[]} thresholds `rule.name:number`
 * @param {AbortSignal} signal
 * @returns {Promise<Findings>}
 */
export async function fetchFindings(run, thresholds, signal) {
  const answer = await (
    await request("findings", [["run", run], ...withThresholds(thresholds)], signal)
  ).json();
  for (const finding of answer.findings) {
    for (const name of Object.keys(finding.measured)) {
      finding.measured[name] = toNumber(finding.measured[name]);
    }
  }
  return answer;
}

/**
 * @param {{run: string, rule: string, tensor: number, thresholds: string[]}} of
 * @param {AbortSignal} signal
 * @returns {Promise<Course>}
 */
export async function fetchCourse({ run, rule, tensor, thresholds }, signal) {
  const answer = await (
    await request(
      "course",
      [["run", run], ["rule", rule], ["tensor", tensor], ...withThresholds(thresholds)],
      signal,
    )
  ).json();
  answer.values = answer.values.map(toNumber);
  for (const name of Object.keys(answer.compared)) {
    answer.compared[name] = answer.compared[name].map(toNumber);
  }
  return answer;
}

/**
 * @param {string[]} thresholds `rule.name:number`
 * @returns {[string, string][]}
 */
const withThresholds = (thresholds) => thresholds.map((moved) => ["threshold", moved]);

/**
 * @param {string} run
 * @param {AbortSignal} signal
 * @returns {Promise<History>}
 */
export async function fetchHistory(run, signal) {
  const answer = await (await request("steps", [["run", run]], signal)).json();
  /** @type {Record<string, Float64Array>} */
  const scalars = {};
  /** @type {Record<string, Uint8Array>} */
  const absent = {};
  for (const [name, values] of Object.entries(
    /** @type {Record<string, (number | string | null)[]>} */ (answer.scalars),
  )) {
    scalars[name] = Float64Array.from(values, toNumber);
    absent[name] = Uint8Array.from(values, (value) => (value === null ? 1 : 0));
  }
  return { ...answer, scalars, absent };
}

/**
 * @param {string} run
 * @param {Kind} kind
 * @param {string[]} statistics
 * @param {number} since index of the first step that is wanted
 * @param {AbortSignal} signal
 * @param {number} [tensor] the one that is wanted; all of the kind if it is left out
 * @returns {Promise<Columnar>} see `splitColumns`
 */
export async function fetchStatistics(run, kind, statistics, since, signal, tensor) {
  const response = await request(
    "statistics",
    [
      ["run", run],
      ["kind", kind],
      ...statistics.map((name) => /** @type {[string, string]} */ (["statistic", name])),
      ["since", since],
      .../** @type {[string, number][]} */ (tensor === undefined ? [] : [["tensor", tensor]]),
    ],
    signal,
  );
  return columnar(response);
}

/**
 * @param {string} run
 * @param {number} tensor
 * @param {number} step
 * @param {AbortSignal} signal
 * @returns {Promise<TensorRecord>}
 */
export async function fetchTensor(run, tensor, step, signal) {
  const answer = await (
    await request(
      "tensor",
      [
        ["run", run],
        ["tensor", tensor],
        ["step", step],
      ],
      signal,
    )
  ).json();
  for (const name of ["min", "max", "mean", "std", "rms"]) answer[name] = toNumber(answer[name]);
  if (answer.quantiles) {
    for (const name of Object.keys(answer.quantiles)) {
      answer.quantiles[name] = toNumber(answer.quantiles[name]);
    }
  }
  return answer;
}

/**
 * @param {string} run
 * @param {number} tensor
 * @param {number} step
 * @param {"histogram" | "units" | "values"} section
 * @param {AbortSignal} signal
 * @returns {Promise<ArrayBuffer>}
 */
export async function fetchPayload(run, tensor, step, section, signal) {
  const response = await request(
    "payload",
    [
      ["run", run],
      ["tensor", tensor],
      ["step", step],
      ["section", section],
    ],
    signal,
  );
  return response.arrayBuffer();
}

/**
 * @param {string} run
 * @param {number} tensor
 * @param {number} since index of the first step that is wanted
 * @param {AbortSignal} signal
 * @returns {Promise<Columnar>} see `decodeHistograms`
 */
export async function fetchHistograms(run, tensor, since, signal) {
  const response = await request(
    "histograms",
    [
      ["run", run],
      ["tensor", tensor],
      ["since", since],
    ],
    signal,
  );
  return columnar(response);
}

/**
 * @param {string} run
 * @param {number} tensor
 * @param {string} statistic
 * @param {number} since index of the first step that is wanted
 * @param {AbortSignal} signal
 * @returns {Promise<Columnar>} see `decodeUnitColumn`
 */
export async function fetchUnits(run, tensor, statistic, since, signal) {
  const response = await request(
    "units",
    [
      ["run", run],
      ["tensor", tensor],
      ["statistic", statistic],
      ["since", since],
    ],
    signal,
  );
  return columnar(response);
}

/**
 * @param {string} run
 * @param {string[]} thresholds `rule.name:number`
 * @param {AbortSignal} signal
 * @returns {Promise<Rank[]>}
 */
export async function fetchRanks(run, thresholds, signal) {
  const response = await request("ranks", [["run", run], ...withThresholds(thresholds)], signal);
  return (await response.json()).ranks;
}

/**
 * @param {{run: string, kind: Kind, statistics: string[], step: number}} of
 * @param {AbortSignal} signal
 * @returns {Promise<RankStatistics>}
 */
export async function fetchRankStatistics({ run, kind, statistics, step }, signal) {
  const answer = await (
    await request(
      "rank_statistics",
      [
        ["run", run],
        ["kind", kind],
        ...statistics.map((name) => /** @type {[string, string]} */ (["statistic", name])),
        ["step", step],
      ],
      signal,
    )
  ).json();
  for (const name of Object.keys(answer.statistics)) {
    answer.statistics[name] = answer.statistics[name].map((/** @type {unknown[]} */ values) =>
      values.map((value) => toNumber(/** @type {number | string} */ (value))),
    );
  }
  return answer;
}

/**
 * @param {{run: string, step: number, example: number | "all", tensors: number[]}} of
 * @param {AbortSignal} signal
 * @returns {Promise<ThumbnailsAnswer>}
 */
export async function fetchThumbnails({ run, step, example, tensors }, signal) {
  const response = await request(
    "thumbnails",
    [
      ["run", run],
      ["step", step],
      ["example", example],
      ["tensors", tensors.join()],
    ],
    signal,
  );
  return decodeThumbnails(await response.arrayBuffer());
}

/**
 * @param {{run: string, tensors: number[], ridges: number}} of
 * @param {AbortSignal} signal
 * @returns {Promise<RidgesAnswer>}
 */
export async function fetchRidges({ run, tensors, ridges }, signal) {
  const response = await request(
    "ridges",
    [
      ["run", run],
      ["tensors", tensors.join()],
      ["ridges", ridges],
    ],
    signal,
  );
  return decodeRidges(await response.arrayBuffer());
}
