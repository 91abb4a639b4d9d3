// Parts of the page that are loaded when they are shown, so that the first view waits for few files.

import { useEffect, useState } from "../vendor/preact/htm-preact.js";
import { Failure, Loading, html } from "./parts.js";
import { useStore } from "./store.js";
import { connection } from "./stream.js";

/** Makes a component of one that a module has. */
export function lazy(load) {
  let Loaded = null;
  return function Lazy(properties) {
    const [error, setError] = useState(null);
    const [round, setRound] = useState(0);
    useEffect(() => {
      if (Loaded) return;
      load().then((component) => {
        Loaded = component;
        setRound(-1);
      }, () => setError({ status: 0 }));
    }, [round]);
    const again = () => { setError(null); setRound(round + 1); };
    const { state } = useStore(connection);
    useEffect(() => { if (error && state === "live") again(); }, [state]);
    if (Loaded) return html`<${Loaded} ...${properties} />`;
    return error ? html`<${Failure} error=${error} again=${again} />` : html`<${Loading} />`;
  };
}
