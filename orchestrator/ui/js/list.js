// The list of sagas: filters, pages, and a first page that follows changes.

import { useEffect, useState } from "../vendor/preact/htm-preact.js";
import { go, here, withParameters } from "./address.js";
import { get } from "./api.js";
import { ago, duration, exact, explained, shortId, span } from "./format.js";
import { t } from "./i18n.js";
import { Empty, Loaded, Status, StepMarks, Time, html } from "./parts.js";
import { NOTHING, definitionLink, shownAmount, useDefinitions } from "./sagas.js";
import { remember, remembered, local } from "./store.js";
import { onChanges } from "./stream.js";

const STATUSES = ["PENDING", "COMPENSATING", "COMPLETED", "COMPENSATED", "FAILED"];
const SIZES = [25, 50, 100, 250];
const SIZE_KEY = "ecommerce-saga-rows";
// The first page is reloaded at most this often; a filter is applied when typing pauses.
const REFRESH_MS = 1000;
const TYPING_MS = 300;

function query(filter, limit, cursor) {
  const parameters = new URLSearchParams({ limit });
  // The name of a user may begin with a space.
  for (const [name, value] of Object.entries(filter)) if (value.trim()) parameters.set(name, name === "user_id" ? value : value.trim());
  if (cursor) parameters.set("cursor", cursor);
  return `ui/api/sagas?${parameters}`;
}

/** Loads a page, and reloads the first one after changes. */
function usePage(filter, limit, cursor) {
  const [page, setPage] = useState({});
  const [round, setRound] = useState(0);
  const key = JSON.stringify([filter, limit, cursor]);
  useEffect(() => {
    let isOver = false;
    let isDirty = false;
    let timer = null;
    const abort = new AbortController();
    const load = async () => {
      isDirty = false;
      try {
        const value = await get(query(filter, limit, cursor), { signal: abort.signal });
        if (!isOver) setPage({ key, value });
      } catch (error) {
        if (!isOver) setPage((before) => ({ ...before, error }));
      }
      timer = isOver ? null : setTimeout(due, REFRESH_MS);
    };
    const due = () => {
      timer = null;
      if (isDirty) load();
    };
    const stop = onChanges((changes) => {
      const isReconnected = changes.some(({ kind }) => kind === "gap");
      if (cursor && !isReconnected) return setPage((before) => patched(before, changes));
      isDirty = true;
      if (!timer) due();
      return undefined;
    });
    timer = setTimeout(load, TYPING_MS * (page.value ? 1 : 0));
    return () => {
      isOver = true;
      stop();
      clearTimeout(timer);
      abort.abort();
    };
  }, [key, round]);
  return { ...page, isStale: page.key !== key, again: () => setRound((n) => n + 1) };
}

/** The page with the same rows, and the current statuses of their sagas. */
function patched(page, changes) {
  if (!page.value) return page;
  const statuses = new Map(changes.filter(({ kind }) => kind === "saga").map(({ transaction_id, status }) => [transaction_id, status]));
  if (!page.value.transactions.some(({ transaction_id }) => statuses.has(transaction_id))) return page;
  const transactions = page.value.transactions.map((saga) => (statuses.has(saga.transaction_id) ? { ...saga, status: statuses.get(saga.transaction_id) } : saga));
  return { ...page, value: { ...page.value, transactions } };
}

/** The filters of the list, none of them set. */
export const NO_FILTER = { status: "", definition: "", user_id: "", text: "" };
/** The parameters of the address that name a page, for the first one. */
export const FIRST_PAGE = { page: "", before: "" };

/** Names of definitions, including the chosen one, which may have old sagas only. */
function useNames(chosen) {
  const { value } = useDefinitions();
  return [...new Set([...(value ?? []).map(({ name }) => name), chosen])].filter(Boolean).sort();
}

function Filters({ filter, setFilter }) {
  const names = useNames(filter.definition);
  const set = (name) => (event) => setFilter({ ...filter, [name]: event.target.value }, { isTyped: event.type === "input" && event.target.type === "search" });
  const isSet = Object.values(filter).some(Boolean);
  return html`<form class="filters" role="search" aria-label=${t("filters")} onSubmit=${(event) => event.preventDefault()}>
    <label class="field by-status">${t("status")}<select id="filter-status" value=${filter.status} onChange=${set("status")}><option value="">${t("any")}</option>
      ${STATUSES.map((status) => html`<option value=${status}>${t(status)}</option>`)}</select></label>
    <label class="field by-definition">${t("definition")}<select id="filter-definition" value=${filter.definition} onChange=${set("definition")}><option value="">${t("anyDefinition")}</option>
      ${names.map((name) => html`<option value=${name}>${name}</option>`)}</select></label>
    <label class="field by-user">${t("user")}<input id="filter-user" type="search" maxlength="100" placeholder=${t("userHint")} value=${filter.user_id} onInput=${set("user_id")} /></label>
    <label class="field wide">${t("text")}<input id="filter-text" type="search" maxlength="100" placeholder=${t("textHint")} value=${filter.text} onInput=${set("text")} /></label>
    <button class="button" type="button" disabled=${!isSet} onClick=${() => setFilter(NO_FILTER)}>${t("clear")}</button></form>`;
}

function Row({ saga }) {
  const link = `#/saga/${saga.transaction_id}`;
  return html`<tr class="linked" data-id=${saga.transaction_id}>
    <td class="c-status"><${Status} status=${saga.status} /></td>
    <th scope="row" class="c-id"><a class="row-link" href=${link} title=${saga.transaction_id}><code>${shortId(saga.transaction_id)}</code></a></th>
    <td class="c-definition" title="${saga.definition}/${saga.version}"><a href=${definitionLink(saga)}>${saga.definition}<span class="version">/${saga.version}</span></a></td>
    <td class="c-user ${saga.user_id === null ? "nothing" : ""}" title=${saga.user_id ?? ""}><bdi>${saga.user_id ?? NOTHING}</bdi></td>
    <td class="c-product">${saga.product_id ?? NOTHING}</td>
    <td class="c-steps"><${StepMarks} saga=${saga} /></td>
    <td class="c-amount number ${saga.amount === null ? "nothing" : ""}">${shownAmount(saga.amount)}</td>
    <td class="c-took number" title=${saga.completed_at ? exact(saga.completed_at) : ""}>${span(duration(saga))}</td>
    <td class="c-started"><${Time} at=${saga.created_at}>${ago(saga.created_at)}</${Time}></td>
    <td class="c-reason" title=${saga.error_message ?? ""}>${explained(saga.error_message)}</td></tr>`;
}

function Table({ sagas }) {
  const heads = ["status", "saga", "definition", "user", "product", "steps", "amount", "took", "started", "reason"];
  return html`<div class="table-frame" tabindex="0" role="region" aria-label=${t("sagas")}><table class="sagas">
    <thead><tr>${heads.map((head) => html`<th scope="col" class="h-${head} ${["amount", "took"].includes(head) ? "number" : ""}">${t(head)}</th>`)}</tr></thead>
    <tbody>${sagas.map((saga) => html`<${Row} saga=${saga} key=${saga.transaction_id} />`)}</tbody></table></div>`;
}

/** The page in the address, and the cursors of the pages before it as far as this entry of the history knows them. */
function pageOf(search) {
  const given = new URLSearchParams(search);
  const before = given.get("before");
  return { number: before ? Math.max(2, Number(given.get("page")) || 2) : 1, before, earlier: here.get().kept.earlier ?? [] };
}

function show(number, before, earlier) {
  go(withParameters(before ? { page: String(number), before } : FIRST_PAGE), { kept: { page: number, earlier, scroll: scrollY } });
}

function Pages({ page, next, isStale, size, resize }) {
  const { number, before, earlier } = page;
  return html`<footer class="pages"><label>${t("pageSize")} <select id="page-size" value=${size} onChange=${resize}>${SIZES.map((n) => html`<option value=${n}>${n}</option>`)}</select></label>
    <span data-testid="page">${t("page", { n: number })}</span>
    <button id="newest" class="button small" disabled=${number < 3} onClick=${() => show(1, null, [])}>${t("newest")}</button>
    <button id="newer" class="button small" disabled=${number < 2 || (number > 2 && earlier.length === 0)} onClick=${() => show(number - 1, earlier.at(-1), earlier.slice(0, -1))}>${t("newer")}</button>
    <button id="older" class="button small" disabled=${!next || isStale} onClick=${() => show(number + 1, next, before ? [...earlier, before] : [])}>${t("older")}</button></footer>`;
}

export function SagaList({ filter, setFilter, search }) {
  const [size, setSize] = useState(Number(remembered(local, SIZE_KEY, "25")) || 25);
  const page = pageOf(search);
  const { value, error, isStale, again } = usePage(filter, size, page.before);
  const resize = (event) => {
    remember(local, SIZE_KEY, event.target.value);
    setSize(Number(event.target.value));
    if (page.before) go(withParameters(FIRST_PAGE), { kept: { scroll: scrollY } });
  };
  const isFiltered = Object.values(filter).some(Boolean);
  const nothing = isFiltered ? (value?.next_cursor ? "noneWindow" : "noneFiltered") : "none";
  return html`<section class="card list" aria-labelledby="list-title">
    <header><h2 id="list-title">${t("sagas")}</h2><small>${t(page.before ? "sagasPaused" : "sagasLive")}</small></header>
    <${Filters} filter=${filter} setFilter=${setFilter} />
    <div class=${isStale && value ? "stale" : ""} data-testid="list" data-ready=${!isStale}>
      <${Loaded} value=${value} error=${error} again=${again}>${({ transactions }) =>
        transactions.length > 0 ? html`<${Table} sagas=${transactions} />` : html`<${Empty}>${t(nothing)}</${Empty}>`}</${Loaded}></div>
    <${Pages} page=${page} next=${value?.next_cursor} isStale=${isStale} size=${size} resize=${resize} /></section>`;
}
