// The address of the page: the view and its parameters behind the `#`, and what each entry of the history keeps beside
// it: where the page was scrolled to, and the pages of the list before this one.

import { createStore } from "./store.js";

// A browser takes only so many changes of the history in a time.
const SCROLL_RESTS_MS = 150;
// A page that is loaded again grows to its earlier height within this time, or not at all.
const RESTORE_MS = 3000;

/** A part of the address; one that is encoded wrongly stays as it is. */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function read() {
  const [path, search = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [view = "", ...parts] = path.split("/");
  const [id, version] = parts.map(decoded);
  return { view, id, version, search, hash: location.hash || "#/", kept: history.state ?? {} };
}

/** { view, id, version, search, hash, kept } */
export const here = createStore(read());

/** The latest entry of the overview, for the way back to it. */
let overview = { hash: here.get().view === "" ? here.get().hash : "#/", kept: {} };
export const lastOverview = () => overview;

let resting = null;

function saveScroll() {
  clearTimeout(resting);
  resting = null;
  history.replaceState({ ...history.state, scroll: scrollY }, "");
  if (here.get().view === "") overview = { hash: here.get().hash, kept: history.state };
}

function moved() {
  clearTimeout(resting);
  resting = null;
  if (location.hash !== here.get().hash || history.state !== here.get().kept) here.set(read());
  if (here.get().view === "") overview = { hash: here.get().hash, kept: here.get().kept };
}

/** Shows another address: as a new entry of the history, or in place of the present one. */
export function go(hash, { kept = {}, replaces = false } = {}) {
  if (resting) saveScroll();
  if (replaces) history.replaceState({ ...history.state, ...kept }, "", hash);
  else history.pushState(kept, "", hash);
  moved();
}

/** The present view with other parameters; empty ones are left out. */
export function withParameters(changes) {
  const { view, id, version, search } = here.get();
  const all = new URLSearchParams(search);
  for (const [name, value] of Object.entries(changes)) {
    if (value) all.set(name, value);
    else all.delete(name);
  }
  const path = [view, id, version].filter((part) => part !== undefined).map(encodeURIComponent).join("/");
  return `#/${path}${all.size > 0 ? `?${all}` : ""}`;
}

/** Scrolls to the place that an entry keeps, once the page is as high again; a new entry begins at the top. */
export function restoreScroll({ scroll = 0 }) {
  const until = Date.now() + RESTORE_MS;
  const stop = new AbortController();
  for (const kind of ["wheel", "touchmove", "keydown", "pointerdown"]) addEventListener(kind, () => stop.abort(), { signal: stop.signal, passive: true });
  const attempt = () => {
    if (stop.signal.aborted) return;
    scrollTo(0, scroll);
    if (Math.abs(scrollY - scroll) < 2 || Date.now() > until) stop.abort();
    else requestAnimationFrame(attempt);
  };
  attempt();
  return () => stop.abort();
}

history.scrollRestoration = "manual";
addEventListener("popstate", moved);
addEventListener("hashchange", moved);
addEventListener("scroll", () => {
  clearTimeout(resting);
  resting = setTimeout(saveScroll, SCROLL_RESTS_MS);
}, { passive: true });
// A link that is followed leaves at once.
addEventListener("click", () => resting && saveScroll(), { capture: true });
addEventListener("pagehide", () => resting && saveScroll());
