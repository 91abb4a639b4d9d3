// The attention queue: sagas that could not be undone yet, the longest waiting first.

import { useState } from "../vendor/preact/htm-preact.js";
import { get, post } from "./api.js";
import { ago, explained, moment, number, shortId } from "./format.js";
import { t } from "./i18n.js";
import { Empty, Loaded, Status, html } from "./parts.js";
import { Resolve } from "./resolve.js";
import { definitionLink, isPurchase, shownAmount } from "./sagas.js";
import { createStore, usePolling, useStore } from "./store.js";
import { summary } from "./summary.js";
import { saying } from "./toasts.js";

const EVERY_MS = 2000;

/** Number of waiting sagas, for the navigation. */
export const attentionCount = createStore(0);
summary.subscribe(({ value }) => value && attentionCount.set(value.attention));

function Item({ saga, reload, resolve }) {
  const { attention } = saga;
  const retry = async () => {
    await saying(() => post(`saga/${saga.transaction_id}/retry`), () => t("retryAsked"));
    reload();
  };
  const next = attention.next_try_at;
  const ofPurchase = isPurchase(saga) ? [["user", saga.user_id], ["amount", shownAmount(saga.amount)]] : [];
  const facts = [["definition", html`<a href=${definitionLink(saga)}>${saga.definition}/${saga.version}</a>`], ...ofPurchase, ["step", attention.step ?? "–"], ["tries", number(attention.attempts)],
    ["since", html`<span title=${moment(attention.since)}>${ago(attention.since)}</span>`],
    ["nextTry", next && new Date(next) > new Date() ? moment(next) : t("now")]];
  return html`<li class="card waiting" data-id=${saga.transaction_id}>
    <div class="waiting-head"><${Status} status=${saga.status} /><a href="#/saga/${saga.transaction_id}"><code>${shortId(saga.transaction_id)}</code></a>
      <div class="actions"><button class="button primary small" data-testid="retry" onClick=${retry}>${t("retry")}</button>
        <button class="button small" data-testid="resolve" onClick=${() => resolve(saga.transaction_id)}>${t("resolve")}</button></div></div>
    <p class="waiting-reason">${attention.reason}</p>
    ${attention.last_error && html`<p class="waiting-error"><b>${t("lastError")}:</b> ${explained(attention.last_error)}</p>`}
    <dl class="facts">${facts.map(([name, value]) => html`<div key=${name}><dt>${t(name)}</dt><dd>${value}</dd></div>`)}</dl></li>`;
}

export function Attention() {
  const [state, setState] = useState({});
  const [round, setRound] = useState(0);
  const [resolving, setResolving] = useState(null);
  useStore(summary);
  usePolling(async (isOver) => {
    try {
      const value = await get("saga/attention?limit=100");
      if (!isOver()) setState({ value });
      attentionCount.set(value.total);
    } catch (error) {
      if (!isOver()) setState((before) => ({ value: before.value, error }));
    }
  }, EVERY_MS, [round]);
  const reload = () => setRound((n) => n + 1);
  const retryAll = async () => {
    await saying(() => post("saga/attention/retry"), ({ woken }) => t("woken", { n: number(woken) }));
    reload();
  };
  const total = state.value?.total ?? 0;
  return html`<header class="view-head"><div><h1>${t("attention")}</h1><p class="lead">${t("attentionIs")}</p></div>
      ${total > 0 && html`<div class="actions"><span>${state.value.total_is_exact === false ? t("totalMore", { n: number(total - 1) }) : t("total", { n: number(total) })}</span><button id="retry-all" class="button" onClick=${retryAll}>${t("retryAll")}</button></div>`}</header>
    <${Loaded} value=${state.value} error=${state.error} again=${reload}>${({ transactions }) => transactions.length === 0
      ? html`<div class="card"><${Empty} icon="done">${t("attentionNone")}</${Empty}></div>`
      : html`<ul class="waitings">${transactions.map((saga) => html`<${Item} saga=${saga} reload=${reload} resolve=${setResolving} key=${saga.transaction_id} />`)}</ul>`}</${Loaded}>
    ${resolving && html`<${Resolve} id=${resolving} onClose=${() => { setResolving(null); reload(); }} />`}`;
}
