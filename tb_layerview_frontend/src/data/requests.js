/** Requests to the server, and what becomes of those that fail. Nothing else in the tab fetches. */

/** @typedef {import("./types.js").Columnar} Columnar */

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
export async function request(route, parameters, signal) {
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
export async function columnar(response) {
  return {
    buffer: await response.arrayBuffer(),
    generation: response.headers.get("X-Layerview-Generation") ?? "",
    unreadable: Number(response.headers.get("X-Layerview-Unreadable") ?? 0),
    steps: Number(response.headers.get("X-Layerview-Steps") ?? 0),
  };
}

/**
 * Whether an answer belongs to another history than the one that is known: the run was logged anew in between.
 * @param {Columnar} sent
 * @param {string} generation
 */
export function isOther(sent, generation) {
  return sent.generation !== "" && sent.generation !== generation;
}
