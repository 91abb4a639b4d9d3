// The keyboard: `/` searches, `j` and `k` go through the rows, `?` lists the keys.

import { useEffect } from "../vendor/preact/htm-preact.js";
import { go, here, lastOverview } from "./address.js";
import { t } from "./i18n.js";
import { Dialog, html } from "./parts.js";
import { createStore, useStore } from "./store.js";

const KEYS = [["/", "keySearch"], ["j", "keyNext"], ["k", "keyPrevious"], ["Enter", "keyOpen"], ["Esc", "keyClose"], ["?", "keyHelp"]];
const SEARCH = "filter-text";
// The field appears with the overview.
const APPEARS_MS = 2000;

const isHelpOpen = createStore(false);

function search() {
  if (here.get().view !== "") go(lastOverview().hash);
  const until = Date.now() + APPEARS_MS;
  const attempt = () => {
    const field = document.getElementById(SEARCH);
    if (field) field.focus();
    else if (Date.now() < until) requestAnimationFrame(attempt);
  };
  attempt();
}

/** Moves the focus to the row below or above the one that has it; without one, to the first or the last. */
function move(by) {
  const links = [...document.querySelectorAll("main tbody .row-link")];
  const present = links.indexOf(document.activeElement);
  const next = present < 0 ? (by > 0 ? 0 : links.length - 1) : present + by;
  links[next]?.focus({ preventScroll: true });
  links[next]?.closest("tr")?.scrollIntoView({ block: "nearest" });
}

function pressed(event) {
  const isTyping = event.target.closest?.("input:not([type=range]), select, textarea, [contenteditable]");
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const action = { "/": search, j: () => move(1), k: () => move(-1), "?": () => isHelpOpen.set(true) }[event.key];
  if (!action) return;
  event.preventDefault();
  action();
}

export const followKeys = () => addEventListener("keydown", pressed);

export function KeysHelp() {
  const isOpen = useStore(isHelpOpen);
  const { hash } = useStore(here);
  useEffect(() => isHelpOpen.set(false), [hash]);
  const close = () => isHelpOpen.set(false);
  return isOpen && html`<${Dialog} title=${t("keys")} onClose=${close}><dl class="keys">${KEYS.map(([key, text]) => html`
      <div key=${key}><dt><kbd>${key}</kbd></dt><dd>${t(text)}</dd></div>`)}</dl>
    <div class="actions"><button class="button" autofocus onClick=${close}>${t("cancelDialog")}</button></div></${Dialog}>`;
}
