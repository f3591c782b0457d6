// The API as the pages ask it: with the cookie of the session, in the namespace that was chosen.

const state = { namespace: "" };
const RETRIES = 2;
const RETRY_MILLISECONDS = 100;
const signedOut = new Set();

/** The answer was an error; `message` is the server's own, `field` the path of what is wrong, `line` its line in YAML. */
export class ApiError extends Error {
  constructor(status, code, message, requestId, { line = 0, field = "" } = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.requestId = requestId;
    this.line = line;
    this.field = field;
  }
}

export const setNamespace = (namespace) => {
  state.namespace = namespace;
};
export const getNamespace = () => state.namespace;

/** Call *listener* with a reason when the server no longer knows us. */
export const onSignedOut = (listener) => {
  signedOut.add(listener);
  return () => signedOut.delete(listener);
};

/** A path with a query, without what is empty. */
export function path(base, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return given.length ? `${base}?${new URLSearchParams(given)}` : base;
}

export const segment = encodeURIComponent;

/** The response to a request. A browser ends each request when a network comes or goes: what only reads is sent again. */
async function fetchAgain(target, options) {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await fetch(target, options);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      if (options.method !== "GET" || attempt === RETRIES) throw new ApiError(0, "Unreachable", "The server cannot be reached. Is it running, and is this machine on the network?", "");
      await new Promise((resolve) => setTimeout(resolve, RETRY_MILLISECONDS));
    }
  }
}

async function send(method, target, { body, yaml, accept, headers = {}, signal } = {}) {
  const sent = { Accept: accept || "application/json" };
  if (state.namespace) sent["X-Edgesync-Namespace"] = state.namespace;
  if (method !== "GET") sent["X-Edgesync-CSRF"] = "1";
  if (yaml !== undefined) sent["Content-Type"] = "application/yaml";
  else if (body !== undefined) sent["Content-Type"] = "application/json";
  Object.assign(sent, headers);
  const response = await fetchAgain(target, {
    method,
    headers: sent,
    body: yaml !== undefined ? yaml : body === undefined ? undefined : JSON.stringify(body),
    signal,
    credentials: "same-origin",
    cache: "no-store",
  });
  if (response.ok) return response;
  const text = await response.text();
  let content = {};
  try {
    content = JSON.parse(text);
  } catch {
    /* a proxy in between answers in its own way */
  }
  const error = new ApiError(
    response.status,
    content.code || "",
    content.message || `The server answered ${response.status}.`,
    content["request-id"] || response.headers.get("x-bce-request-id") || "",
    { line: content.line, field: content.field },
  );
  if (response.status === 401 && !target.startsWith("/session") && !target.startsWith("/login")) signedOut.forEach((notify) => notify(error.message));
  throw error;
}

export const get = async (target, options) => (await send("GET", target, options)).json();
export const post = async (target, body, options) => (await send("POST", target, { body, ...options })).json();
export const put = async (target, body, options) => (await send("PUT", target, { body, ...options })).json();
/** Change parts of a resource by a JSON merge patch (RFC 7396). */
export const patch = async (target, body, { headers = {}, ...options } = {}) =>
  (await send("PATCH", target, { body, headers: { "Content-Type": "application/merge-patch+json", ...headers }, ...options })).json();
export const remove = async (target, options) => (await send("DELETE", target, options)).json();

/** A file of the API, as text. */
export const getText = async (target, options) => (await send("GET", target, { accept: "*/*", ...options })).text();

/** A resource as YAML, and its entity tag. */
export async function getYaml(target, options) {
  const response = await send("GET", target, { accept: "application/yaml", ...options });
  return { text: await response.text(), tag: response.headers.get("etag") };
}

/** Send YAML with *method*; the answer. */
export const sendYaml = async (method, target, yaml, options) => (await send(method, target, { yaml, ...options })).json();
