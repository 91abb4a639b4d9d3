// Records that an operator settled a saga. It is final, so the dialog names what is settled, and a note is required.

import { useEffect, useState } from "../vendor/preact/htm-preact.js";
import { get, post } from "./api.js";
import { explained } from "./format.js";
import { t } from "./i18n.js";
import { Dialog, html } from "./parts.js";
import { NOTHING, isPurchase, shownAmount } from "./sagas.js";
import { local, remember, remembered } from "./store.js";
import { saying } from "./toasts.js";

const NAME = "ecommerce-saga-name";

/** The steps whose effect may still stand. The undo of a step that was never reached is a precaution. */
const notUndone = (saga) => saga.steps.filter(({ state, compensation }) => compensation && !compensation.finished_at && state !== "compensated");

function What({ id }) {
  const [saga, setSaga] = useState(null);
  useEffect(() => {
    get(`sagas/${encodeURIComponent(id)}`).then(setSaga, () => {});
  }, [id]);
  if (!saga) return null;
  const { input, outputs } = saga;
  const facts = isPurchase(saga) ? [["user", input?.user_id], ["amount", shownAmount(input?.amount)], ["payment", outputs.charge?.payment_id]] : [["definition", `${saga.definition}/${saga.version}`]];
  return html`<dl class="facts" data-testid="resolve-what">${facts.map(([name, value]) => html`<div key=${name}><dt>${t(name)}</dt><dd>${value ?? NOTHING}</dd></div>`)}</dl>
    <p><b>${t("notUndone")}</b> ${notUndone(saga).map(({ step, compensation }) => `${step}${compensation.error ? ` (${explained(compensation.error)})` : ""}`).join(", ") || NOTHING}</p>`;
}

export function Resolve({ id, onClose }) {
  const [note, setNote] = useState("");
  const [by, setBy] = useState(() => remembered(local, NAME, ""));
  const submit = async (event) => {
    event.preventDefault();
    const name = by.trim();
    remember(local, NAME, name || null);
    const done = await saying(() => post(`saga/${id}/resolve`, { note: note.trim(), ...(name && { by: name }) }), () => t("resolved"));
    if (done) onClose();
  };
  return html`<${Dialog} title=${t("resolveTitle")} onClose=${onClose}><form onSubmit=${submit}><${What} id=${id} /><p>${t("resolveWhy")}</p>
    <label class="field">${t("resolveNote")}<textarea id="note" rows="3" maxlength="1000" required autofocus value=${note} onInput=${(event) => setNote(event.target.value)}></textarea></label>
    <label class="field">${t("resolveBy")}<input id="by" maxlength="100" value=${by} onInput=${(event) => setBy(event.target.value)} /></label>
    <div class="actions"><button class="button" type="button" onClick=${onClose}>${t("cancelDialog")}</button>
      <button class="button danger" type="submit" disabled=${!note.trim()}>${t("resolveSubmit")}</button></div></form></${Dialog}>`;
}
