// State that several parts of the page share, and a hook for components.
// A store is a value and its listeners.

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

/** Returns the value of a store and renders the component again when it changes. */
export function useStore(store) {
  const [value, setValue] = useState(store.get());
  useEffect(() => {
    setValue(store.get());
    return store.subscribe((next) => setValue(() => next));
  }, [store]);
  return value;
}

/** Reads storage, which a browser may forbid: the page works without it. */
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
    // Without storage the value lasts until the page is closed.
  }
}

export const local = () => window.localStorage;
export const session = () => window.sessionStorage;

/** Calls a function now and every `everyMs` milliseconds, except while the page is hidden. */
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

const TICK_MS = 250;

/** Renders the component periodically, so that times and bars move. */
export function useTick(isOn, everyMs = TICK_MS) {
  const [, setNow] = useState(0);
  useEffect(() => {
    if (!isOn) return undefined;
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [isOn, everyMs]);
}
