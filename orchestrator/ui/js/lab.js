// The failure lab: the faults of each operation of each service, and the outcomes of the sagas.

import { useEffect, useRef, useState } from "../vendor/preact/htm-preact.js";
import { get, put } from "./api.js";
import { BuyButtons } from "./buy.js";
import { percent } from "./format.js";
import { participantName, t } from "./i18n.js";
import { Operation, RATES } from "./lab_operation.js";
import { Failure, Icon, Loaded, html } from "./parts.js";
import { usePolling, useStore } from "./store.js";
import { outcomes } from "./summary.js";
import { say } from "./toasts.js";

const EVERY_MS = 2000;
// A moving slider is sent once it has rested for this long.
const REST_MS = 250;
const ACTIONS = [["payments", "charge"], ["inventory", "decrease"], ["purchases", "create"]];

/** The settings of a service: those of its first replica that answers. */
const inForce = (service) => service.replicas.find(({ faults }) => faults)?.faults;
const differ = (service) => new Set(service.replicas.filter(({ faults }) => faults).map(({ faults }) => JSON.stringify(faults))).size > 1;

function settingsOf(value) {
  return Object.fromEntries(value.services.map((service) => [service.service, inForce(service)]).filter(([, faults]) => faults));
}

/** The operations without the seed, actions before compensations. */
function onlyOperations(faults) {
  const operations = Object.entries(faults).filter(([, value]) => typeof value === "object");
  const isAction = ([name]) => ACTIONS.some(([, action]) => action === name);
  return Object.fromEntries([...operations.filter(isAction), ...operations.filter((one) => !isAction(one))]);
}

/** Settings with every rate of every operation at 0, except for `change`. */
function healthy(settings, change = {}) {
  const none = Object.fromEntries(RATES.map((rate) => [rate, 0]));
  return Object.fromEntries(Object.entries(settings).map(([service, faults]) => [service,
    Object.fromEntries(Object.keys(onlyOperations(faults)).map((operation) => [operation, { ...none, ...change[service]?.[operation] }]))]));
}

/** Expected share of completed purchases: none of the three actions refuses. */
function expected(settings) {
  return ACTIONS.reduce((product, [service, operation]) => product * (1 - (settings[service]?.[operation]?.failure_rate ?? 0)), 1);
}

/** Whether calls of a purchase stay without an answer: after some repeats it turns back. */
function hasUnanswered(settings) {
  return [["catalog", "product"], ...ACTIONS].some(([service, operation]) => {
    const faults = settings[service]?.[operation];
    return faults?.unavailable_rate > 0 || faults?.lost_reply_rate > 0 || faults?.cut_connection_rate > 0;
  });
}

// The settings when the lab was first opened.
let first = null;

function useFaults() {
  const [state, setState] = useState({});
  const pending = useRef({});
  const timer = useRef(null);
  // Counts the changes made here: an answer to a question asked before one of them is older than the page.
  const made = useRef(0);
  const isSaving = useRef(false);
  const load = async (isOver = () => false) => {
    const before = made.current;
    try {
      const value = await get("ui/api/faults");
      first ??= settingsOf(value);
      if (!isOver() && made.current === before) setState({ value, settings: settingsOf(value) });
    } catch (error) {
      if (!isOver()) setState((shown) => ({ ...shown, error }));
    }
  };
  const send = async (change) => {
    made.current += 1;
    try {
      const value = await put("ui/api/faults", change);
      // Sliders moved since the request are newer than this answer.
      isSaving.current = Object.keys(pending.current).length > 0;
      setState((before) => ({ value, settings: Object.keys(pending.current).length ? before.settings : settingsOf(value), isSaving: Object.keys(pending.current).length > 0 }));
    } catch (error) {
      say(error.status === 0 ? t("noAnswer") : error.problem?.errors?.[0]?.message ?? error.message, "bad");
      isSaving.current = false;
      load();
    }
  };
  const change = (service, operation, member, value) => {
    made.current += 1;
    isSaving.current = true;
    setState((before) => ({ ...before, isSaving: true, settings: { ...before.settings, [service]: { ...before.settings[service], [operation]: { ...before.settings[service][operation], [member]: value } } } }));
    pending.current[service] ??= {};
    pending.current[service][operation] = { ...pending.current[service][operation], [member]: value };
    clearTimeout(timer.current);
    timer.current = setTimeout(flush, REST_MS);
  };
  const flush = () => {
    const all = pending.current;
    pending.current = {};
    if (Object.keys(all).length > 0) send(all);
  };
  // A slider that was moved last before the page is left counts too.
  useEffect(() => () => {
    clearTimeout(timer.current);
    flush();
  }, []);
  // Other operators and programs change them too.
  usePolling((isOver) => (isSaving.current ? undefined : load(isOver)), EVERY_MS, []);
  const preset = (make) => {
    setState((before) => ({ ...before, isSaving: true }));
    isSaving.current = true;
    send(make(state.settings, first));
  };
  return { ...state, load: () => load(), change, preset };
}

const PRESETS = [
  ["presetDefault", (_, first) => Object.fromEntries(Object.entries(first).map(([service, faults]) => [service, onlyOperations(faults)]))],
  ["presetHealthy", (settings) => healthy(settings)],
  ["presetPayments", (settings) => healthy(settings, { payments: { charge: { failure_rate: 1 } } })],
  ["presetLost", (settings) => healthy(settings, Object.fromEntries(ACTIONS.map(([service, operation]) => [service, { [operation]: { lost_reply_rate: 0.5 } }])))],
];

function Outcomes({ settings }) {
  const latest = useStore(outcomes);
  const completed = latest.filter(({ status }) => status === "COMPLETED").length;
  return html`<section class="card outcomes" aria-label=${t("outcomes")}>
    <dl><div><dt>${t("expected")}</dt><dd data-testid="expected">${percent(expected(settings), 1)} <small>${hasUnanswered(settings) && t("atMost")}</small></dd></div>
      <div><dt>${t("actual")}</dt><dd data-testid="actual">${latest.length ? percent(completed / latest.length, 1) : "–"} <small>${latest.length > 0 && t("ofLast", { n: latest.length })}</small></dd></div></dl>
    <${BuyButtons} />
    <h2>${t("outcomes")}</h2>
    ${latest.length === 0 ? html`<p class="note">${t("outcomesNone")}</p>` : html`<div class="dots" data-testid="outcomes">${latest.map(({ id, status }) => html`
      <a key=${id} class="dot status-${status}" href="#/saga/${id}" data-status=${status} title="${t(status)} ${id}" aria-label="${t(status)} ${id.slice(-8)}"><${Icon} name=${status} size="13" /></a>`)}</div>`}</section>`;
}

function ServiceCard({ service, faults, change }) {
  const isSilent = !faults;
  const error = service.replicas.find(({ error: reason }) => reason)?.error;
  return html`<section class="card lab-service" data-service=${service.service} aria-label=${participantName(service.service)}><header><h2>${participantName(service.service)}</h2>
      ${differ(service) && html`<span class="pill bad">${t("differ")}</span>`}</header>
    ${isSilent ? html`<p class="bad">${t("noReplica", { reason: error })}</p>` : Object.entries(onlyOperations(faults)).map(([operation, settings]) => html`
      <${Operation} key=${operation} service=${service.service} operation=${operation} settings=${settings} change=${(member, value) => change(service.service, operation, member, value)} />`)}</section>`;
}

export function Lab() {
  const { value, settings, error, isSaving, load, change, preset } = useFaults();
  const isOff = error?.status === 404;
  return html`<header class="view-head"><div><h1>${t("lab")}</h1><p class="lead">${t("labIs")}</p></div>
      ${value && html`<span class="pill ${isSaving ? "" : "good"}" role="status" data-testid="saved" data-saved=${!isSaving}><${Icon} name=${isSaving ? "running" : "done"} size="13" />${t(isSaving ? "saving" : "saved")}</span>`}</header>
    ${isOff ? html`<p class="card note">${t("servicesOff")}</p>` : html`<${Loaded} value=${value} error=${error} again=${load}>${({ services }) => html`
      <div class="presets" role="group" aria-label=${t("presets")}><span>${t("presets")}</span>${PRESETS.map(([name, make]) => html`
        <button key=${name} id=${name} class="button small" title=${t(`${name}_is`)} onClick=${() => preset(make)}>${t(name)}</button>`)}</div>
      ${error && error.status !== 0 && html`<${Failure} error=${error} again=${load} />`}
      <div class="lab"><${Outcomes} settings=${settings} /><div class="lab-services">${services.map((service) => html`
        <${ServiceCard} key=${service.service} service=${service} faults=${settings[service.service]} change=${change} />`)}</div></div>`}</${Loaded}>`}`;
}
