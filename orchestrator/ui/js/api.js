// Requests to the orchestrator. Paths are relative to the page, so that they work behind any prefix.
// If the system requires a token, the page asks for it once and keeps it while the tab is open.

import { createStore, remember, remembered, session } from "./store.js";

const KEY = "ecommerce-saga-token";
const BUY_ATTEMPTS = 5;
const BUY_PAUSE_MS = 300;
const root = new URL("..", document.baseURI);

/** The bearer token; empty: none. */
export const token = createStore(remembered(session, KEY, ""));
/** Why a request was refused: null, or a token that is "missing" or "wrong". */
export const wanted = createStore(null);

export function setToken(value) {
  remember(session, KEY, value || null);
  token.set(value);
  wanted.set(null);
}

/** A failed request. `status` is 0 if there was no answer. */
export class ApiError extends Error {
  constructor(status, problem) {
    super(problem?.detail || problem?.title || (status ? `HTTP ${status}` : "no answer"));
    this.status = status;
    this.problem = problem;
  }
}

export function address(path) {
  return new URL(path.replace(/^\//, ""), root).href;
}

export function authorization() {
  return token.get() ? { authorization: `Bearer ${token.get()}` } : {};
}

/** A token that was accepted at least once: a later 403 means missing permission, so the page does not ask again. */
let accepted = "";

/** Notes from the status of an answer that a token, or a different one, is required. */
export function noteAccess(status) {
  const held = token.get();
  if (status === 401) wanted.set("missing");
  else if (status === 403 && held && held !== accepted) wanted.set("wrong");
  else if (status < 300 && held) accepted = held;
}

/**
 * Sends a request and returns the parsed body; throws ApiError for statuses other than 2xx and `accept`. The page asks for
 * a token if one is required, except for what is optional.
 */
export async function call(method, path, { body, accept = [], headers = {}, signal, isOptional = false } = {}) {
  const options = { method, signal, headers: { accept: "application/json", ...authorization(), ...headers } };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["content-type"] = "application/json";
  }
  let response;
  try {
    response = await fetch(address(path), options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0);
  }
  const text = await response.text();
  let parsed = null;
  try {
    parsed = text ? JSON.parse(text) : null;
  } catch {
    parsed = null;
  }
  if (!isOptional) noteAccess(response.status);
  if (response.ok || accept.includes(response.status)) return parsed;
  throw new ApiError(response.status, parsed);
}

export const get = (path, options) => call("GET", path, options);
export const post = (path, body, options) => call("POST", path, { body, ...options });
export const put = (path, body, options) => call("PUT", path, { body, ...options });

/** A unique idempotency key. (`crypto.randomUUID` is unavailable on plain HTTP.) */
export const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** No answer, or that of a proxy: the purchase may have been made. 503: it may not. */
const UNANSWERED = [0, 502, 503, 504];

/** Starts a purchase and returns its id without waiting for the end. Retries use the same key, so it buys once. */
export async function buy(userId) {
  const order = { user_id: userId, amount: Math.round(100 + Math.random() * 49900) / 100 };
  const options = { headers: { prefer: "respond-async", "idempotency-key": newKey() }, accept: [409] };
  for (let attempt = 1; ; attempt += 1) {
    try {
      return (await post("saga/transaction", order, options)).transaction_id;
    } catch (error) {
      // The 502 of a purchase that could not be undone yet, unlike a proxy's, has its id.
      if (error.status === 502 && error.problem?.transaction_id) return error.problem.transaction_id;
      if (attempt === BUY_ATTEMPTS || !UNANSWERED.includes(error.status)) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, BUY_PAUSE_MS * attempt));
  }
}
