// The stream of all changes, GET /saga/events, kept open. It uses fetch, because EventSource cannot send a token.
// Changes are passed on in batches: a busy system sends thousands a second.

import { createParser } from "../vendor/eventsource-parser/eventsource-parser.js";
import { address, authorization, noteAccess, token } from "./api.js";
import { createStore, remember, remembered, session } from "./store.js";

const BATCH_MS = 150;
// The service sends a keep-alive every 15 s.
const SILENCE_MS = 45_000;
// Randomized, so that the pages of a node that stopped do not all connect to the next one at once.
const PAUSES_MS = [500, 1000, 1500, 2500, 5000];

/** The state "connecting", "live" or "lost", and since when. */
export const connection = createStore({ state: "connecting", since: Date.now() });

const listeners = new Set();
let batch = [];
// Kept over a reload, so that changes in between are reported too.
const KEY = "ecommerce-saga-last-event";
// An older position is not resumed: too much has happened since.
const KEPT_MS = 60_000;
let lastId = kept();
addEventListener("pagehide", () => {
  flush();
  remember(session, KEY, lastId ? JSON.stringify({ id: lastId, at: Date.now() }) : null);
});

function kept() {
  const { id, at } = JSON.parse(remembered(session, KEY, "{}"));
  return id && Date.now() - at < KEPT_MS ? id : "";
}

/** Calls the listener with every batch of changes; "gap": changes were missed. Returns a function that unsubscribes. */
export function onChanges(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function flush() {
  const changes = batch;
  batch = [];
  for (const listener of listeners) listener(changes);
}

function add(change) {
  if (batch.length === 0) setTimeout(flush, BATCH_MS);
  batch.push(change);
}

function become(state) {
  if (connection.get().state !== state) connection.set({ state, since: Date.now() });
}

async function listenOnce(onFirst) {
  const abort = new AbortController();
  let watchdog = setTimeout(() => abort.abort(), SILENCE_MS);
  const forget = token.subscribe(() => abort.abort());
  try {
    const headers = { accept: "text/event-stream", ...authorization() };
    if (lastId) headers["last-event-id"] = lastId;
    const response = await fetch(address("saga/events"), { headers, signal: abort.signal, cache: "no-store" });
    if (!response.ok) {
      noteAccess(response.status);
      // The id is of another database and unknown here.
      if (response.status === 422) lastId = "";
      return;
    }
    onFirst();
    const parser = createParser({
      onEvent({ id, event, data }) {
        if (id) lastId = id;
        if (event === "gap") add({ kind: "gap" });
        else if (data) add(JSON.parse(data));
      },
    });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(watchdog);
      watchdog = setTimeout(() => abort.abort(), SILENCE_MS);
      parser.feed(value);
    }
  } catch {
    // Every failure is retried by follow().
  } finally {
    clearTimeout(watchdog);
    forget();
    abort.abort();
  }
}

/** Listens until the page is closed. */
export async function follow() {
  let failures = 0;
  for (;;) {
    await listenOnce(() => {
      failures = 0;
      become("live");
      // Changes during the disconnection may have been missed.
      add({ kind: "gap" });
    });
    become("lost");
    const pause = PAUSES_MS[Math.min(failures, PAUSES_MS.length - 1)] * (0.5 + Math.random());
    failures += 1;
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, pause);
      const stop = token.subscribe(() => {
        stop();
        clearTimeout(timer);
        resolve();
      });
    });
  }
}
