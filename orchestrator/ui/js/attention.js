// The attention list: sagas that could not be undone yet, in a table by causes, the longest waiting first.

import { useState } from "../vendor/preact/htm-preact.js";
import { get, post } from "./api.js";
import { ago, amount, explained, number, shortId, until } from "./format.js";
import { t } from "./i18n.js";
import { Empty, Loaded, Status, Time, html } from "./parts.js";
import { Resolve } from "./resolve.js";
import { NOTHING, definitionLink, isPurchase, shownAmount } from "./sagas.js";
import { usePolling, useStore, useTick } from "./store.js";
import { attentionCount, summary } from "./summary.js";
import { saying } from "./toasts.js";

const EVERY_MS = 2000;
const SECOND_MS = 1000;
const PAGE = 100;
// More causes begin closed: each row of theirs is a click away.
const CAUSES_OPEN = 3;

const keyOf = ({ definition, version, reason }) => `${definition}/${version} ${reason}`;

/** The time of the next try, for people: a span, or "now". */
const nextTry = (at) => (at ? html`<${Time} at=${at}>${until(at)}</${Time}>` : t("now"));

function Item({ saga, reload, resolve }) {
  const { attention } = saga;
  const retry = async () => {
    await saying(() => post(`saga/${saga.transaction_id}/retry`), () => t("retryAsked"));
    reload();
  };
  const error = attention.last_error && !attention.reason.includes(attention.last_error) ? explained(attention.last_error) : "";
  return html`<tr class="linked waiting" data-id=${saga.transaction_id}>
    <th scope="row" class="a-what"><a class="row-link" href="#/saga/${saga.transaction_id}" title=${saga.transaction_id}><code>${shortId(saga.transaction_id)}</code></a> <${Status} status=${saga.status} />
      ${error && html`<small class="waiting-error">${t("lastError")}: ${error}</small>`}</th>
    <td data-label=${t("user")}><bdi>${isPurchase(saga) ? saga.user_id : NOTHING}</bdi></td>
    <td class="number" data-label=${t("amount")}>${shownAmount(saga.amount)}</td>
    <td data-label=${t("tries")}>${attention.step ?? NOTHING} · ${number(attention.attempts)}</td>
    <td data-label=${t("since")}><${Time} at=${attention.since}>${ago(attention.since)}</${Time}></td>
    <td data-label=${t("nextTry")}>${nextTry(attention.next_try_at)}</td>
    <td class="a-actions"><div class="actions"><button class="button primary small" data-testid="retry" onClick=${retry}>${t("retry")}</button>
      <button class="button small" data-testid="resolve" onClick=${() => resolve(saga.transaction_id)}>${t("resolve")}</button></div></td></tr>`;
}

function Cause({ cause, sagas, isOpen, toggle, children }) {
  const more = cause.sagas - sagas;
  return html`<tbody data-testid="cause"><tr class="cause">
      <th scope="rowgroup" class="a-what"><span class="cause-reason">${explained(cause.reason)}</span> <a href=${definitionLink(cause)}>${cause.definition}<span class="version">/${cause.version}</span></a></th>
      <td data-label=${t("sagas")} data-testid="cause-sagas">${t(cause.sagas === 1 ? "oneSaga" : "manySagas", { n: number(cause.sagas) })}</td>
      <td class="number" data-label=${t("sum")} data-testid="cause-sum">${cause.amount === null ? NOTHING : amount(cause.amount)}</td>
      <td class="a-none"></td>
      <td data-label=${t("oldest")}><${Time} at=${cause.since}>${ago(cause.since)}</${Time}></td>
      <td data-label=${t("nextTry")} data-testid="cause-next">${nextTry(cause.next_try_at)}</td>
      <td class="a-actions"><button class="button small" aria-expanded=${isOpen} onClick=${toggle}>${t(isOpen ? "hideSagas" : "showSagas")}</button></td></tr>
    ${isOpen && children}
    ${isOpen && more > 0 && html`<tr><td colspan="7" class="note">${t("moreWaiting", { n: number(more) })}</td></tr>`}</tbody>`;
}

function Unreadable({ rows }) {
  return rows.length > 0 && html`<section class="card" data-testid="unreadable"><header><h2>${t("unreadable")}</h2></header><ul>${rows.map(({ transaction_id: id, reason, since }) => html`
    <li key=${id}><code>${id}</code> ${reason} · <${Time} at=${since}>${ago(since)}</${Time}></li>`)}</ul></section>`;
}

function Table({ value, reload, resolve }) {
  useTick(true, SECOND_MS);
  const [chosen, choose] = useState({});
  const { causes, transactions, unreadable } = value;
  const heads = ["causeAndSaga", "sagasAndUser", "sum", "stepAndTries", "oldest", "nextTry"];
  const isOpen = (key) => chosen[key] ?? causes.length <= CAUSES_OPEN;
  return html`<${Unreadable} rows=${unreadable} /><div class="card table-frame waitings" tabindex="0" role="region" aria-label=${t("attention")}><table class="attention">
    <thead><tr>${heads.map((head) => html`<th scope="col" class=${head === "sum" ? "number" : ""} key=${head}>${t(head)}</th>`)}<td></td></tr></thead>
    ${causes.map((cause) => {
      const key = keyOf(cause);
      const own = transactions.filter(({ definition, version, attention: { reason } }) => keyOf({ definition, version, reason }) === key);
      return html`<${Cause} key=${key} cause=${cause} sagas=${own.length} isOpen=${isOpen(key)} toggle=${() => choose({ ...chosen, [key]: !isOpen(key) })}>
        ${own.map((saga) => html`<${Item} saga=${saga} reload=${reload} resolve=${resolve} key=${saga.transaction_id} />`)}</${Cause}>`;
    })}</table></div>`;
}

/** The whole list in a line: number, sum, the oldest and the next try. */
function Whole({ value: { sagas, is_exact: isExact, causes } }) {
  useTick(true, SECOND_MS);
  const sums = causes.filter(({ amount: sum }) => sum !== null);
  const first = (times) => times.filter(Boolean).sort()[0];
  const next = first(causes.map(({ next_try_at: at }) => at));
  const parts = [t(isExact ? "total" : "totalMore", { n: number(sagas) }),
    sums.length > 0 && amount(sums.reduce((sum, { amount: one }) => sum + one, 0)),
    t("oldestIs", { time: ago(first(causes.map(({ since }) => since))) }), next && t("nextTryIn", { time: until(next) })];
  return html`<span data-testid="attention-whole">${parts.filter(Boolean).join(" · ")}</span>`;
}

export function Attention() {
  const [state, setState] = useState({});
  const [round, setRound] = useState(0);
  const [resolving, setResolving] = useState(null);
  useStore(summary);
  usePolling(async (isOver) => {
    try {
      const [causes, page] = await Promise.all([get("ui/api/attention"), get(`saga/attention?limit=${PAGE}`)]);
      if (!isOver()) setState({ value: { ...page, ...causes } });
      attentionCount.set(page.total);
    } catch (error) {
      if (!isOver()) setState((before) => ({ value: before.value, error }));
    }
  }, EVERY_MS, [round]);
  const reload = () => setRound((n) => n + 1);
  const retryAll = async () => {
    await saying(() => post("saga/attention/retry"), ({ woken }) => t("woken", { n: number(woken) }));
    reload();
  };
  const isEmpty = !state.value || state.value.causes.length === 0;
  return html`<header class="view-head"><div><h1>${t("attention")}</h1><p class="lead">${t("attentionIs")}</p></div>
      ${!isEmpty && html`<div class="actions"><${Whole} value=${state.value} /><button id="retry-all" class="button" onClick=${retryAll}>${t("retryAll")}</button></div>`}</header>
    <${Loaded} value=${state.value} error=${state.error} again=${reload}>${(value) => isEmpty
      ? html`<div class="card"><${Empty} icon="done">${t("attentionNone")}</${Empty}></div>`
      : html`<${Table} value=${value} reload=${reload} resolve=${setResolving} />`}</${Loaded}>
    ${resolving && html`<${Resolve} id=${resolving} onClose=${() => { setResolving(null); reload(); }} />`}`;
}
