// The summary of the system, requested every second while the page is visible, and the latest outcomes at each step.

import { createStore } from "./store.js";
import { onChanges } from "./stream.js";

const EVERY_MS = 1000;
const WINDOW_MS = 60_000;
// Limit of remembered step changes: a minute of a very busy system. Beyond it the oldest are dropped.
const MAX_REMEMBERED = 20_000;

/** { value, error }: the last answer of /ui/api/summary. */
export const summary = createStore({});

/** Number of step changes of purchases in the last minute, by step and state. */
export const stepCounts = createStore({});

/** The latest ends, newest first: { id, status }. */
export const outcomes = createStore([]);
const MAX_OUTCOMES = 100;

let remembered = [];

// Changes do not name the definition. Purchases are told by their first step: other sagas may have steps of the same
// names. The oldest are forgotten first.
const purchases = new Set();
const isFirstOfPurchase = ({ kind, participant, step }) => kind === "step" && participant === "catalog" && step === "choose";

function note(id) {
  purchases.add(id);
  if (purchases.size > MAX_REMEMBERED) purchases.delete(purchases.values().next().value);
}

function count() {
  const oldest = Date.now() - WINDOW_MS;
  remembered = remembered.filter(({ at }) => at >= oldest).slice(-MAX_REMEMBERED);
  const counts = {};
  for (const { step, state } of remembered) {
    counts[step] ??= {};
    counts[step][state] = (counts[step][state] ?? 0) + 1;
  }
  stepCounts.set(counts);
}

onChanges((changes) => {
  const now = Date.now();
  const ends = [];
  for (const change of changes) {
    if (isFirstOfPurchase(change)) note(change.transaction_id);
    if (change.kind === "step" && purchases.has(change.transaction_id) && ["done", "refused", "unknown", "compensated"].includes(change.state)) {
      remembered.push({ step: change.step, state: change.state, at: now });
    }
    if (change.kind === "saga" && change.status !== "PENDING" && change.status !== "COMPENSATING") {
      ends.unshift({ id: change.transaction_id, status: change.status });
    }
  }
  if (ends.length > 0) {
    const again = new Set(ends.map(({ id }) => id));
    outcomes.set((all) => [...ends, ...all.filter(({ id }) => !again.has(id))].slice(0, MAX_OUTCOMES));
  }
});

/** Requests the summary until the page is closed. */
export async function watchSummary(get) {
  for (;;) {
    if (!document.hidden) {
      try {
        const value = await get("ui/api/summary");
        summary.set({ value });
      } catch (error) {
        summary.set(({ value }) => ({ value, error }));
      }
      count();
    }
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
}
