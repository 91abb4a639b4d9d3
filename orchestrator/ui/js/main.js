// The frame of the page: bar, navigation, the view of the address, messages; and the start of the application.
//
//   #/  overview, with filters and page #/?definition=NAME&range=1h    #/saga/ID  one saga    #/definitions    #/definitions/NAME/VERSION
//   #/attention    #/services    #/stock    #/lab

import { html, render, useEffect, useRef, useState } from "../vendor/preact/htm-preact.js";
import { here, restoreScroll } from "./address.js";
import { get } from "./api.js";
import { TokenDialog, TokenButton } from "./token.js";
import { clock } from "./format.js";
import { language, languages, setLanguage, t, useLanguage } from "./i18n.js";
import { KeysHelp, followKeys } from "./keys.js";
import { lazy } from "./lazy.js";
import { Overview } from "./overview.js";
import { Icon } from "./parts.js";
import { local, remember, remembered, useStore } from "./store.js";
import { connection, follow } from "./stream.js";
import { attentionCount, watchSummary } from "./summary.js";
import { Toasts } from "./toasts.js";

const Attention = lazy(() => import("./attention.js").then((module) => module.Attention));
const Definitions = lazy(() => import("./definitions.js").then((module) => module.Definitions));
const Lab = lazy(() => import("./lab.js").then((module) => module.Lab));
const Saga = lazy(() => import("./saga.js").then((module) => module.Saga));
const Services = lazy(() => import("./services.js").then((module) => module.Services));
const Stock = lazy(() => import("./stock.js").then((module) => module.Stock));

const THEME = "ecommerce-saga-theme";
// A short disconnection is not shown, because services restart.
const PATIENCE_MS = 1500;

const VIEWS = [["", "overview"], ["definitions", "definitions"], ["attention", "attention"], ["services", "services"], ["stock", "stock"], ["lab", "lab"]];

function applyTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  dispatchEvent(new Event("themechange"));
}

function Choices() {
  useLanguage();
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
  return html`<${Overview} search=${search} />`;
}

function App() {
  useLanguage();
  const { view, id, version, search, kept } = useStore(here);
  const { state, since, isLong } = useIsLost();
  const main = useRef();
  const isFirst = useRef(true);
  const lang = language.get();
  useEffect(() => {
    document.title = `${t(VIEWS.find(([path]) => path === view)?.[1] ?? "saga")} · ${t("title")}`;
  }, [view, id, version, lang]);
  useEffect(() => {
    // Move the focus for users of keyboards and screen readers, unless the new view has it already.
    if (!isFirst.current && !main.current.contains(document.activeElement)) main.current.focus({ preventScroll: true });
    isFirst.current = false;
  }, [view, id, version]);
  useEffect(() => restoreScroll(kept), [view, id, version, kept.page ?? ""]);
  return html`<a class="skip" href="#content" onClick=${(event) => { event.preventDefault(); main.current.focus(); }}>${t("skip")}</a>
    <header class="topbar"><a class="brand" href="#/"><img src="favicon.svg" alt="" width="26" height="26" /><b>${t("title")}</b></a>
      <${Navigation} view=${view} key="nav-${lang}" />
      <span class="connection ${state}" data-testid="connection" data-state=${state} role="status"><i></i>${t(state)}</span>
      <${Choices} /></header>
    ${isLong && html`<div class="banner" role="alert"><${Icon} name="attention" />${t("lostLong", { time: clock(since) })}</div>`}
    <main id="content" ref=${main} tabindex="-1" key="view-${lang}"><${View} view=${view} id=${id} version=${version} search=${search} /></main>
    <${TokenDialog} /><${KeysHelp} /><${Toasts} />`;
}

applyTheme(remembered(local, THEME, "auto"));
render(html`<${App} />`, document.getElementById("app"));
follow();
followKeys();
watchSummary(get);
