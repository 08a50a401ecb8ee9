// @ts-check
/** Requests to the studio's own server. An error is one line, as the server says it. */

/** @param {string} path */
export const url = (path) => `/api/${path}`;

/**
 * @param {string} path below /api
 * @param {{method?: string, body?: any, raw?: boolean, signal?: AbortSignal}} [options]
 *   `body` goes as JSON, a Blob or bytes as they are; with `raw` the answer is the Response itself
 */
export async function api(path, { method, body, raw = false, signal } = {}) {
  const bytes = body instanceof Blob || body instanceof ArrayBuffer || ArrayBuffer.isView(body);
  const response = await fetch(url(path), {
    method: method ?? (body === undefined ? "GET" : "POST"),
    signal,
    headers:
      body === undefined
        ? {}
        : { "Content-Type": bytes ? "application/octet-stream" : "application/json" },
    body: body === undefined || bytes ? /** @type {any} */ (body) : JSON.stringify(body),
  }).catch((error) => {
    if (error.name === "AbortError") throw error;
    throw new Error("The studio's server does not answer. Is it still running?");
  });
  if (!response.ok) throw new Error(await complaint(response));
  if (raw) return response;
  return response.headers.get("Content-Type")?.includes("json") ? response.json() : response.blob();
}

/** @param {Response} response */
async function complaint(response) {
  try {
    const { error, detail } = await response.json();
    return error ?? (typeof detail === "string" ? detail : `The server said ${response.status}.`);
  } catch {
    return `The server said ${response.status}.`;
  }
}

/** Float32 numbers as they were sent. @param {string} path @returns {Promise<Float32Array>} */
export async function floats(path) {
  const response = await api(path, { raw: true });
  return new Float32Array(await response.arrayBuffer());
}

/** @param {Blob} blob an image file @returns {Promise<{id: string, width: number, height: number}>} */
export const upload = (blob) => api("images", { body: blob });

/** @param {import("./types.js").Args} args @returns {Promise<Blob>} a PNG */
export const render = (args) => api("render", { body: { args, format: "png" } });
