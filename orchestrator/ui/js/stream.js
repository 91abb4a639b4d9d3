// The stream of all changes, GET /saga/events, kept open. It is read by fetch and not by EventSource, which cannot send a
// token. What comes is handed on in batches: a busy system tells thousands of changes a second.

import { createParser } from "../vendor/eventsource-parser/eventsource-parser.js";
import { address, authorization, noteAccess, token } from "./api.js";
import { createStore } from "./store.js";

const BATCH_MS = 150;
// The service marks a silent stream more often than that.
const SILENCE_MS = 45_000;
// About so long, so that the pages whose node has gone do not all come to the next one at once.
const PAUSES_MS = [500, 1000, 1500, 2500, 5000];

/** "connecting", "live" or "lost", since when, and how many changes came. */
export const connection = createStore({ state: "connecting", since: Date.now() });

const listeners = new Set();
let batch = [];
let lastId = "";

/** Hears every batch of changes; "gap" tells that some were missed for good. Returns how to stop. */
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
      // An id of another database means nothing here.
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
    // It is tried again, whatever it was.
  } finally {
    clearTimeout(watchdog);
    forget();
    abort.abort();
  }
}

/** Listens for as long as the page is there. */
export async function follow() {
  let failures = 0;
  for (;;) {
    await listenOnce(() => {
      failures = 0;
      become("live");
      // What happened meanwhile may have been told to nobody here.
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
