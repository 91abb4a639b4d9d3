// The summary of the system, requested every second while the page is visible, and the latest outcomes at each step.

import { createStore, remember, remembered, session } from "./store.js";
import { onChanges } from "./stream.js";

const EVERY_MS = 1000;
const WINDOW_MS = 60_000;
// Limit of remembered purchases: more than run at once. Beyond it the oldest are forgotten.
const MAX_REMEMBERED = 20_000;

/** { value, error }: the last answer of /ui/api/summary. */
export const summary = createStore({});

/** Number of sagas in the attention list, for the navigation. */
export const attentionCount = createStore(0);
summary.subscribe(({ value }) => value && attentionCount.set(value.attention));

/** Number of step changes of purchases in the last minute, by step and state. */
export const stepCounts = createStore({});

/** The latest ends, newest first: { id, status }. */
export const outcomes = createStore([]);
const MAX_OUTCOMES = 100;

// Step changes of purchases by second: [second, { step: { state: count } }], oldest first. A reload keeps them: the stream
// goes on where it was, so that nothing is missing in between.
const KEY = "ecommerce-saga-last-minute";
const kept = JSON.parse(remembered(session, KEY, '{"seconds":[],"ids":[]}'));
let { seconds } = kept;

// Changes do not name the definition. Purchases are recognised by their first step: other sagas may have steps of the
// same names. The oldest are forgotten first.
const purchases = new Set(kept.ids);
// Maximum number of purchases kept over a reload.
const IDS_KEPT = 1000;
addEventListener("pagehide", () => remember(session, KEY, JSON.stringify({ seconds, ids: [...purchases].slice(-IDS_KEPT) })));
const isFirstOfPurchase = ({ kind, participant, step }) => kind === "step" && participant === "catalog" && step === "choose";

function note(id) {
  purchases.add(id);
  if (purchases.size > MAX_REMEMBERED) purchases.delete(purchases.values().next().value);
}

function noteStep(second, step, state) {
  if (seconds.at(-1)?.[0] !== second) seconds.push([second, {}]);
  const counts = (seconds.at(-1)[1][step] ??= {});
  counts[state] = (counts[state] ?? 0) + 1;
}

function count() {
  const oldest = (Date.now() - WINDOW_MS) / 1000;
  seconds = seconds.filter(([second]) => second >= oldest);
  const totals = {};
  for (const [, steps] of seconds) {
    for (const [step, counts] of Object.entries(steps)) {
      totals[step] ??= {};
      for (const [state, n] of Object.entries(counts)) totals[step][state] = (totals[step][state] ?? 0) + n;
    }
  }
  stepCounts.set(totals);
}

onChanges((changes) => {
  const second = Math.floor(Date.now() / 1000);
  const ends = [];
  for (const change of changes) {
    if (isFirstOfPurchase(change)) note(change.transaction_id);
    if (change.kind === "step" && purchases.has(change.transaction_id) && ["done", "refused", "unknown", "compensated"].includes(change.state)) {
      noteStep(second, change.step, change.state);
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
