/** The routes of `docs/http_api.md`. Nothing else in the tab fetches. */

/** @typedef {"activation" | "weight" | "gradient" | "update"} Kind */
/** @typedef {{path: string, class_name: string, inputs: number[]}} Layer */

/**
 * @typedef {object} Tensor
 * @property {number} layer index into the run's layers
 * @property {number} call
 * @property {Kind} kind
 * @property {string} name
 * @property {number[]} shape -1 where a size differs from step to step
 * @property {string} dtype
 * @property {string[]} axes
 */

/** @typedef {{run: string, steps: number, last_step: number, tensors: number, wall_time: number, notes: number}} RunSummary */

/** A run that nothing can be read of, and why, in sentences. @typedef {{run: string, problems: string[]}} UnreadableRun */

/** A run without steps, and why, in sentences. @typedef {{run: string, notes: string[]}} RunWithoutSteps */

/**
 * @typedef {object} Cost
 * @property {number} set_up_seconds
 * @property {number} logging_seconds
 * @property {number} training_seconds
 * @property {number} bytes
 * @property {number} skipped
 */

/**
 * @typedef {object} RunInfo
 * @property {string} run
 * @property {Layer[]} layers
 * @property {Tensor[]} tensors
 * @property {{hash: string, examples: number, training: boolean, source: string} | null} probe
 * @property {string[]} notes
 * @property {string} schedule
 * @property {string} software
 * @property {string} folder
 * @property {string} hidden
 * @property {Cost | null} cost
 */

/**
 * @typedef {object} History
 * @property {string} generation
 * @property {number[]} steps ascending
 * @property {number[]} wall_times
 * @property {string[]} modes
 * @property {Record<string, Float64Array>} scalars NaN and infinities as such; see `absent` for what a step lacks
 * @property {Record<string, Uint8Array>} absent 1 where a step lacks the scalar
 * @property {string[]} notes as the run's, and as new as the steps
 * @property {Cost | null} cost
 */

/**
 * Statistics of one tensor at one step. Counts are of elements.
 * @typedef {object} TensorRecord
 * @property {number} step
 * @property {number} size
 * @property {number} nan
 * @property {number} pos_inf
 * @property {number} neg_inf
 * @property {number} zero
 * @property {number} negative
 * @property {number} min
 * @property {number} max
 * @property {number} mean
 * @property {number} std
 * @property {number} rms
 * @property {Record<string, number> | null} quantiles
 * @property {boolean} histogram
 * @property {boolean} units
 * @property {boolean} values
 * @property {number | null} values_step
 */

/**
 * Bytes over steps, and what their headers say: to which history they belong, and how many pieces could not be read.
 * @typedef {{buffer: ArrayBuffer, generation: string, unreadable: number, steps: number}} Columnar `steps` is how many the
 *   run had
 */

/** A request that was answered with an error, in the server's own words. */
export class RequestError extends Error {
  /**
   * @param {string} message
   * @param {number} status
   */
  constructor(message, status) {
    super(message);
    this.name = "RequestError";
    this.status = status;
  }
}

/** TensorBoard did not answer at all. */
export class ConnectionError extends Error {
  constructor() {
    super("TensorBoard does not answer. Is it still running?");
    this.name = "ConnectionError";
  }
}

/**
 * Whether a request ended because nobody wants its answer any more.
 * @param {unknown} error
 */
export function isAbort(error) {
  return error instanceof DOMException && error.name === "AbortError";
}

/** @param {unknown} error */
export function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}

/**
 * @param {string} route relative to the page's base
 * @param {[string, string | number][]} parameters
 * @param {AbortSignal} signal
 * @returns {Promise<Response>}
 */
async function request(route, parameters, signal) {
  const query = parameters.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join("&");
  let response;
  try {
    // The browser's own cache would keep megabytes that are kept here already.
    response = await fetch(query ? `${route}?${query}` : route, { signal, cache: "no-store" });
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new ConnectionError();
  }
  if (response.ok) return response;
  const text = await response.text();
  throw new RequestError(errorSentence(text, response.status, route), response.status);
}

/**
 * The server's sentence, or one about an answer that is none of the plugin's own.
 * @param {string} text
 * @param {number} status
 * @param {string} route
 */
function errorSentence(text, status, route) {
  try {
    const { error } = JSON.parse(text);
    if (typeof error === "string") return error;
  } catch {
    // Not ours: a proxy or TensorBoard itself answered.
  }
  return `TensorBoard answered /${route} with status ${status}: ${text.slice(0, 200) || "no reason given"}`;
}

/**
 * @param {Response} response
 * @returns {Promise<Columnar>}
 */
async function columnar(response) {
  return {
    buffer: await response.arrayBuffer(),
    generation: response.headers.get("X-Layerview-Generation") ?? "",
    unreadable: Number(response.headers.get("X-Layerview-Unreadable") ?? 0),
    steps: Number(response.headers.get("X-Layerview-Steps") ?? 0),
  };
}

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
 * A rule of health.
 * @typedef {object} Rule
 * @property {string} name
 * @property {"error" | "warning"} severity
 * @property {Record<string, number>} thresholds those that it was asked with
 * @property {Record<string, number>} defaults the usual ones
 * @property {string} advice what it usually means, and what people usually do
 */

/**
 * What a rule found.
 * @typedef {object} Finding
 * @property {string} rule
 * @property {"error" | "warning"} severity
 * @property {number | null} tensor index; null where none can be named
 * @property {number} first step at which it held first
 * @property {number | null} before the last logged step before
 * @property {number} last step at which it held
 * @property {Record<string, number>} measured the numbers behind it
 * @property {string} since in words
 * @property {string} words what is wrong, a sentence without its full stop
 * @property {number | null} follows index of the finding that explains it
 * @property {{run: string, step: number} | null} [replay] where the batch that broke it was run again
 */

/** @typedef {{generation: string, steps: number, rules: Rule[], findings: Finding[]}} Findings */

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
 * How what a rule judges went at one tensor, by step.
 * @typedef {object} Course
 * @property {number[]} steps ascending
 * @property {string} measure what is judged
 * @property {number[]} values it; NaN where there is none
 * @property {Record<string, number[]>} compared what it is held against, in its unit; `threshold` is where the rule holds
 * @property {boolean[]} held whether the rule holds
 */

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
