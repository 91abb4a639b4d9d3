// Asks for the token if the system requires one.

import { useState } from "../vendor/preact/htm-preact.js";
import { setToken, token, wanted } from "./api.js";
import { t } from "./i18n.js";
import { Dialog, Icon, html } from "./parts.js";
import { createStore, useStore } from "./store.js";

const isOpen = createStore(false);
/** After the dialog was closed it opens again only on request, or when the token changes. */
const isDeclined = createStore(false);

export function TokenButton() {
  const held = useStore(token);
  const want = useStore(wanted);
  if (!held && !want) return null;
  return html`<button class="button small" onClick=${() => isOpen.set(true)}><${Icon} name="key" />${t("token")}</button>`;
}

export function TokenDialog() {
  const want = useStore(wanted);
  const held = useStore(token);
  const open = useStore(isOpen);
  const declined = useStore(isDeclined);
  const [value, setValue] = useState("");
  if (!open && (!want || declined)) return null;
  const close = () => {
    isOpen.set(false);
    isDeclined.set(true);
  };
  const use = (event) => {
    event.preventDefault();
    isOpen.set(false);
    isDeclined.set(false);
    setToken(value.trim());
    setValue("");
  };
  const forget = () => {
    close();
    setToken("");
  };
  return html`<${Dialog} title=${t("tokenTitle")} onClose=${close}><form onSubmit=${use}>
    <p>${t("tokenWhy")}</p>${want === "wrong" && held && html`<p class="bad" role="alert">${t("tokenWrong")}</p>`}
    <label class="field">${t("tokenLabel")}<input id="token" type="password" autocomplete="off" required autofocus value=${value} onInput=${(event) => setValue(event.target.value)} /></label>
    <div class="actions"><button class="button" type="button" onClick=${close}>${t("cancelDialog")}</button>
      ${held && html`<button class="button" type="button" onClick=${forget}>${t("tokenForget")}</button>`}
      <button class="button primary" type="submit">${t("tokenUse")}</button></div></form></${Dialog}>`;
}
