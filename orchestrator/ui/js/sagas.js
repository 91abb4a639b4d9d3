// Knowledge about sagas and definitions that the views share: paths, titles, and which sagas are purchases.

import { useEffect, useState } from "../vendor/preact/htm-preact.js";
import { get } from "./api.js";
import { amount } from "./format.js";
import { onChanges } from "./stream.js";

// The definitions of purchases; these names are reserved.
const PURCHASES = ["checkout", "checkout-restoring-stock"];
/** Text of a value that a saga does not have. */
export const NOTHING = "–";

export const isPurchase = ({ definition }) => PURCHASES.includes(definition);
export const shownAmount = (value) => (value === null || value === undefined ? NOTHING : amount(value));

export const definitionLink = ({ definition, version }) => `#/definitions/${encodeURIComponent(definition)}/${version}`;
/** The list with a filter, such as { definition }. */
export const sagasLink = (filter) => `#/?${new URLSearchParams(filter)}`;
/** The longest text without a number of an error or a reason (where `…` stands for numbers): sagas with one cause share it. */
export const sharedText = (error) => error.replace(/^\d+: /, "").split(/\d+|…/).map((part) => part.trim()).sort((a, b) => b.length - a.length)[0].slice(0, 100);

const read = (name, version) => get(`sagas/definitions/${encodeURIComponent(name)}/${encodeURIComponent(version)}`);

/** One definition: { value } or { error }. A name and a version mean one definition for ever. */
export function useDefinition(name, version) {
  const [state, setState] = useState({});
  const [round, setRound] = useState(0);
  useEffect(() => {
    let isOver = false;
    read(name, version).then((value) => !isOver && setState({ value }), (error) => !isOver && setState({ error }));
    return () => (isOver = true);
  }, [name, version, round]);
  return { ...state, again: () => setRound(round + 1) };
}

/** All definitions that the node knows, read again after a reconnection. */
export function useDefinitions() {
  const [state, setState] = useState({});
  const [round, setRound] = useState(0);
  useEffect(() => {
    let isOver = false;
    get("sagas/definitions").then(({ definitions: value }) => !isOver && setState({ value }), (error) => !isOver && setState((before) => ({ ...before, error })));
    return () => (isOver = true);
  }, [round]);
  useEffect(() => onChanges((changes) => changes.some(({ kind }) => kind === "gap") && setRound((n) => n + 1)), []);
  return { ...state, again: () => setRound((n) => n + 1) };
}
