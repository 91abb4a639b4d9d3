// The supervision trees of all services and their replicas, live.

import { useState } from "../vendor/preact/htm-preact.js";
import { get } from "./api.js";
import { Breakers } from "./breakers.js";
import { number, span } from "./format.js";
import { participantName, t } from "./i18n.js";
import { Icon, Loaded, Time, html } from "./parts.js";
import { usePolling } from "./store.js";

const EVERY_MS = 1500;
// There can be thousands of running sagas.
const CHILDREN_SHOWN = 6;

const MARKS = { running: "done", starting: "running", restarting: "backing_off", stopped: "pending", failed: "refused" };

function restartsOf(actor) {
  return actor.restarts + actor.children.reduce((sum, child) => sum + restartsOf(child), 0);
}

// Shown as pills of their own.
const OPEN_BREAKERS = "open";

/** The fields of an actor's state as texts, without empty ones. */
function facts(state) {
  if (state === null || typeof state !== "object") return state === null ? [] : [String(state)];
  if (Array.isArray(state)) return state.flatMap(facts);
  return Object.entries(state).filter(([name]) => name !== OPEN_BREAKERS).map(([name, value]) => [name.replaceAll("_", " "), facts(value).join(", ")]).filter(([, text]) => text !== "")
    .map(([name, text]) => `${name}${text.includes(",") ? ":" : ""} ${text}`);
}

function Actor({ actor, depth }) {
  const [isOpen, setIsOpen] = useState(false);
  const name = actor.name.split("/").slice(depth === 0 ? 1 : 2).join("/") || actor.name;
  const shown = isOpen ? actor.children : actor.children.slice(0, Math.max(CHILDREN_SHOWN, depth === 0 ? 99 : 0));
  const hidden = actor.children.length - shown.length;
  const counts = [
    actor.messages_handled > 0 && t("handled", { n: number(actor.messages_handled) }),
    actor.queue_depth > 0 && t("queue", { n: number(actor.queue_depth) }),
  ].filter(Boolean).join(" · ");
  const state = facts(actor.state ?? null);
  const started = actor.started_at && html`<${Time} at=${actor.started_at}>${t("sinceStart", { time: span(Date.now() - new Date(actor.started_at)) })}</${Time}>`;
  const restarts = actor.restarts === 1 ? t("restart") : t("restarts", { n: actor.restarts });
  return html`<li><div class="actor actor-${actor.status}" data-actor=${name} data-status=${actor.status} data-restarts=${actor.restarts}>
      <span class="actor-mark" title=${t(`actor_${actor.status}`)}><${Icon} name=${MARKS[actor.status] ?? "unknown"} size="12" /></span>
      <b>${name}</b><small class="actor-kind">${actor.kind}</small>
      ${actor.status !== "running" && html`<span class="actor-status">${t(`actor_${actor.status}`)}</span>`}
      ${actor.restarts > 0 && html`<span class="restarts">${restarts}</span>`}
      <small class="actor-facts">${counts}${counts && started && " · "}${started}</small>
      ${actor.last_restart_reason && html`<small class="actor-reason">${t("lastRestart", { reason: actor.last_restart_reason })}</small>`}
      <${Breakers} of=${actor.state?.[OPEN_BREAKERS] ?? []} />
      ${state.length > 0 && html`<small class="actor-state">${state.map((fact) => html`<span key=${fact}>${fact}</span>`)}</small>`}</div>
    ${actor.children.length > 0 && html`<ul>${shown.map((child) => html`<${Actor} actor=${child} depth=${depth + 1} key=${child.name} />`)}
      ${hidden > 0 && html`<li><button class="ghost more" onClick=${() => setIsOpen(true)}>${t("moreActors", { n: number(hidden) })}</button></li>`}</ul>`}</li>`;
}

function Replica({ replica, index, isOnly }) {
  const { actors, error, url } = replica;
  const restarts = actors ? restartsOf(actors) : 0;
  return html`<div class="replica ${actors ? "" : "down"}"><header>
      ${!isOnly && html`<b>${t("replica", { n: index + 1 })}</b>`}<code>${url}</code>
      <span class="pill ${actors ? "good" : "bad"}"><${Icon} name=${actors ? "done" : "refused"} size="12" />${t(actors ? "up" : "down")}</span>
      ${restarts > 0 && html`<span class="restarts">${restarts === 1 ? t("restart") : t("restarts", { n: restarts })}</span>`}</header>
    ${error && html`<p class="bad" role="alert">${t("noReplica", { reason: error })}</p>`}
    ${actors && html`<ul class="tree"><${Actor} actor=${actors} depth=${0} /></ul>`}</div>`;
}

/** The open breakers of a tree. */
const openBreakers = (actor) => [...(actor.state?.[OPEN_BREAKERS] ?? []), ...actor.children.flatMap(openBreakers)];

function Service({ service, replicas }) {
  return html`<section class="card service" data-service=${service} aria-label=${participantName(service)}><header><h2>${participantName(service)}</h2>
      ${replicas.length > 1 && html`<small>${t("replicas", { n: replicas.length })}</small>`}</header>
    ${replicas.map((replica, index) => html`<${Replica} replica=${replica} index=${index} isOnly=${replicas.length === 1} key=${replica.url} />`)}</section>`;
}

export function Services() {
  const [state, setState] = useState({});
  const [round, setRound] = useState(0);
  usePolling(async (isOver) => {
    try {
      const value = await get("ui/api/services");
      if (!isOver()) setState({ value });
    } catch (error) {
      if (!isOver()) setState((before) => ({ value: before.value, error }));
    }
  }, EVERY_MS, [round]);
  const { value, error } = state;
  const open = [...new Map((value?.services ?? []).flatMap(({ replicas }) => replicas).flatMap(({ actors }) => (actors ? openBreakers(actors) : [])).map((breaker) => [breaker.operation, breaker])).values()];
  const down = (value?.services ?? []).flatMap(({ replicas }) => replicas).filter(({ actors }) => !actors).length;
  return html`<header class="view-head"><div><h1>${t("services")}</h1><p class="lead">${t("servicesIs")}</p></div>
      ${value && html`<span class="pill ${down ? "bad" : "good"}" role="status"><${Icon} name=${down ? "refused" : "done"} size="13" />${down ? t("someDown", { n: down }) : t("allUp")}</span>`}</header>
    <${Breakers} of=${open} />
    ${error?.status === 404 ? html`<p class="card note">${t("servicesOff")}</p>` : html`
      <${Loaded} value=${value} error=${error} again=${() => setRound(round + 1)}>${({ services }) => html`
        <div class="services">${services.map((service) => html`<${Service} ...${service} key=${service.service} />`)}</div>`}</${Loaded}>`}`;
}
