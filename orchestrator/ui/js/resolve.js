// Records that an operator settled a saga. It is final, so a note is required.

import { useState } from "../vendor/preact/htm-preact.js";
import { post } from "./api.js";
import { t } from "./i18n.js";
import { Dialog, html } from "./parts.js";
import { saying } from "./toasts.js";

export function Resolve({ id, onClose }) {
  const [note, setNote] = useState("");
  const submit = async (event) => {
    event.preventDefault();
    const done = await saying(() => post(`saga/${id}/resolve`, { note: note.trim() }), () => t("resolved"));
    if (done) onClose();
  };
  return html`<${Dialog} title=${t("resolveTitle")} onClose=${onClose}><form onSubmit=${submit}><p>${t("resolveWhy")}</p>
    <label class="field">${t("resolveNote")}<textarea id="note" rows="3" maxlength="1000" required autofocus value=${note} onInput=${(event) => setNote(event.target.value)}></textarea></label>
    <div class="actions"><button class="button" type="button" onClick=${onClose}>${t("cancelDialog")}</button>
      <button class="button danger" type="submit" disabled=${!note.trim()}>${t("resolveSubmit")}</button></div></form></${Dialog}>`;
}
