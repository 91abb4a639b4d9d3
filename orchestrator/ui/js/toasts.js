// Short messages about the outcome of a user's action. They disappear after 5 s, and screen readers announce them.

import { html, Icon } from "./parts.js";
import { t } from "./i18n.js";
import { createStore, useStore } from "./store.js";

const LASTS_MS = 5000;
const messages = createStore([]);
let next = 1;

export function say(text, kind = "good") {
  const id = next++;
  messages.set((all) => [...all.slice(-2), { id, text, kind }]);
  setTimeout(() => dismiss(id), LASTS_MS);
}

/** Runs work that may fail, and shows its outcome. */
export async function saying(work, success) {
  try {
    const result = await work();
    if (success) say(success(result));
    return result;
  } catch (error) {
    say(error.status === 0 ? t("noAnswer") : error.message, "bad");
    return undefined;
  }
}

const dismiss = (id) => messages.set((all) => all.filter((message) => message.id !== id));

export function Toasts() {
  const all = useStore(messages);
  return html`<div class="toasts" role="status" aria-live="polite">${all.map(({ id, text, kind }) => html`
    <div class="toast ${kind}" key=${id}><${Icon} name=${kind === "good" ? "done" : "attention"} /><span>${text}</span>
      <button class="ghost" onClick=${() => dismiss(id)} aria-label=${t("dismiss")}><${Icon} name="refused" size="12" /></button></div>`)}</div>`;
}
