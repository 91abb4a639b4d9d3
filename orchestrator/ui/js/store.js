// The state that several parts of the page share, and how a component follows a piece of it.
// A store is a value and those who want to hear of the next one; nothing more is needed here.

import { useEffect, useState } from "../vendor/preact/htm-preact.js";

export function createStore(initial) {
  let value = initial;
  const listeners = new Set();
  return {
    get: () => value,
    set(next) {
      value = typeof next === "function" ? next(value) : next;
      for (const listener of listeners) listener(value);
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** Returns the value of a store and renders again with each new one. */
export function useStore(store) {
  const [value, setValue] = useState(store.get());
  useEffect(() => {
    setValue(store.get());
    return store.subscribe((next) => setValue(() => next));
  }, [store]);
  return value;
}

/** Something that browsers may forbid: a page without storage works all the same. */
export function remembered(storage, key, fallback) {
  try {
    return storage().getItem(key) ?? fallback;
  } catch {
    return fallback;
  }
}

export function remember(storage, key, value) {
  try {
    if (value === null) storage().removeItem(key);
    else storage().setItem(key, value);
  } catch {
    // Then it lasts as long as the page.
  }
}

export const local = () => window.localStorage;
export const session = () => window.sessionStorage;

/** Calls a function now and again every so many milliseconds, not while the page is hidden. */
export function usePolling(callback, everyMs, dependencies) {
  useEffect(() => {
    let stopped = false;
    let timer;
    const round = async () => {
      if (!document.hidden) await callback(() => stopped);
      if (!stopped) timer = setTimeout(round, everyMs);
    };
    round();
    return () => {
      stopped = true;
      clearTimeout(timer);
    };
  }, dependencies);
}
