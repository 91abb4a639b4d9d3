// The frame of the page: bar, navigation, the view of the address, messages; and the start of the application.
//
//   #/  overview, with filters #/?definition=NAME    #/saga/ID  one saga    #/definitions    #/definitions/NAME/VERSION
//   #/attention    #/services    #/stock    #/lab

import { html, render, useEffect, useRef, useState } from "../vendor/preact/htm-preact.js";
import { Attention, attentionCount } from "./attention.js";
import { get } from "./api.js";
import { Definitions } from "./definitions.js";
import { TokenDialog, TokenButton } from "./token.js";
import { clock } from "./format.js";
import { language, languages, setLanguage, t, useLanguage } from "./i18n.js";
import { Lab } from "./lab.js";
import { Overview } from "./overview.js";
import { Icon } from "./parts.js";
import { Saga } from "./saga.js";
import { Services } from "./services.js";
import { Stock } from "./stock.js";
import { local, remember, remembered, useStore } from "./store.js";
import { connection, follow } from "./stream.js";
import { watchSummary } from "./summary.js";
import { Toasts } from "./toasts.js";

const THEME = "ecommerce-saga-theme";
// A short disconnection is not shown, because services restart.
const PATIENCE_MS = 1500;

const VIEWS = [["", "overview"], ["definitions", "definitions"], ["attention", "attention"], ["services", "services"], ["stock", "stock"], ["lab", "lab"]];

function route() {
  const [path, search = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [view = "", ...parts] = path.split("/");
  const [id, version] = parts.map(decodeURIComponent);
  return { view, id, version, search };
}

function useRoute() {
  const [current, setCurrent] = useState(route());
  useEffect(() => {
    const change = () => setCurrent(route());
    addEventListener("hashchange", change);
    return () => removeEventListener("hashchange", change);
  }, []);
  return current;
}

function applyTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  dispatchEvent(new Event("themechange"));
}

function Choices() {
  const [theme, setTheme] = useState(remembered(local, THEME, "auto"));
  const choose = (value) => {
    remember(local, THEME, value);
    setTheme(value);
    applyTheme(value);
  };
  return html`<div class="choices"><a class="api" href="../docs">${t("api")}</a>
    <label><span class="hidden">${t("theme")}</span><select id="theme" value=${theme} onChange=${(event) => choose(event.target.value)}>
      <option value="auto">${t("themeAuto")}</option><option value="light">${t("themeLight")}</option><option value="dark">${t("themeDark")}</option></select></label>
    <label><span class="hidden">${t("language")}</span><select id="language" value=${language.get()} onChange=${(event) => setLanguage(event.target.value)}>
      ${Object.entries(languages).map(([code, name]) => html`<option value=${code} lang=${code}>${name}</option>`)}</select></label>
    <${TokenButton} />
  </div>`;
}

function useIsLost() {
  const { state, since } = useStore(connection);
  const [isLong, setIsLong] = useState(false);
  useEffect(() => {
    setIsLong(false);
    if (state !== "lost") return undefined;
    const timer = setTimeout(() => setIsLong(true), PATIENCE_MS);
    return () => clearTimeout(timer);
  }, [state]);
  return { state, since, isLong };
}

function Navigation({ view }) {
  const waiting = useStore(attentionCount);
  const isHere = (name) => name === view || (name === "" && view === "saga");
  return html`<nav aria-label=${t("title")}>${VIEWS.map(([path, name]) => html`
    <a href="#/${path}" aria-current=${isHere(path) ? "page" : undefined}><${Icon} name=${name} size="18" /><span>${t(name)}</span>
      ${name === "attention" && waiting > 0 && html`<span class="count" data-testid="attention-count">${waiting}</span>`}</a>`)}</nav>`;
}

function View({ view, id, version, search }) {
  if (view === "saga") return html`<${Saga} id=${id} key=${id} />`;
  if (view === "definitions") return html`<${Definitions} name=${id} version=${version} />`;
  if (view === "attention") return html`<${Attention} />`;
  if (view === "services") return html`<${Services} />`;
  if (view === "stock") return html`<${Stock} />`;
  if (view === "lab") return html`<${Lab} />`;
  return html`<${Overview} search=${search} key=${search} />`;
}

function App() {
  useLanguage();
  const { view, id, version, search } = useRoute();
  const { state, since, isLong } = useIsLost();
  const main = useRef();
  const isFirst = useRef(true);
  useEffect(() => {
    document.title = `${t(VIEWS.find(([path]) => path === view)?.[1] ?? "saga")} · ${t("title")}`;
    // Move the focus for users of keyboards and screen readers.
    if (!isFirst.current) main.current.focus({ preventScroll: true });
    isFirst.current = false;
    scrollTo(0, 0);
  }, [view, id, version]);
  const lang = language.get();
  return html`<a class="skip" href="#content" onClick=${(event) => { event.preventDefault(); main.current.focus(); }}>${t("skip")}</a>
    <header class="topbar"><a class="brand" href="#/"><img src="favicon.svg" alt="" width="26" height="26" /><b>${t("title")}</b></a>
      <${Navigation} view=${view} key="nav-${lang}" />
      <span class="connection ${state}" data-testid="connection" data-state=${state} role="status"><i></i>${t(state)}</span>
      <${Choices} key="choices-${lang}" /></header>
    ${isLong && html`<div class="banner" role="alert"><${Icon} name="attention" />${t("lostLong", { time: clock(since) })}</div>`}
    <main id="content" ref=${main} tabindex="-1" key="view-${lang}"><${View} view=${view} id=${id} version=${version} search=${search} /></main>
    <${TokenDialog} /><${Toasts} />`;
}

applyTheme(remembered(local, THEME, "auto"));
render(html`<${App} />`, document.getElementById("app"));
follow();
watchSummary(get);
