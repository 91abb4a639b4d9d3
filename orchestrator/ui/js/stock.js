// The stock of each product, and deliveries.

import { useState } from "../vendor/preact/htm-preact.js";
import { get, newKey, post } from "./api.js";
import { amount, number } from "./format.js";
import { t } from "./i18n.js";
import { Empty, Loaded, html } from "./parts.js";
import { usePolling } from "./store.js";
import { saying } from "./toasts.js";

const EVERY_MS = 3000;
const PAGE = 50;
const MOST = 1_000_000;

/** A delivery keeps its key until it is answered, so that a second click after a lost answer adds nothing. */
function Deliver({ product, reload }) {
  const [pieces, setPieces] = useState("");
  const [key, setKey] = useState(newKey);
  const [isSending, setIsSending] = useState(false);
  const submit = async (event) => {
    event.preventDefault();
    setIsSending(true);
    const delivery = { product_id: product.product_id, quantity: Number(pieces), transaction_id: `restock:${key}` };
    const done = await saying(() => post("ui/api/stock", delivery), ({ quantity }) => t("restocked", { name: product.name, n: number(quantity) }));
    setIsSending(false);
    if (!done) return;
    setPieces("");
    setKey(newKey());
    reload();
  };
  const change = (event) => {
    setPieces(event.target.value);
    setKey(newKey());
  };
  return html`<form class="deliver" onSubmit=${submit}><label><span class="hidden">${t("pieces", { name: product.name })}</span>
      <input type="number" inputmode="numeric" min="1" max=${MOST} step="1" required placeholder=${t("piecesHint")} value=${pieces} onInput=${change} /></label>
    <button class="button small" type="submit" disabled=${isSending || !pieces}>${t("restock")}</button></form>`;
}

function Quantity({ quantity, error, low }) {
  if (error) return html`<span class="bad" title=${error}>${t("noReplica", { reason: error })}</span>`;
  if (quantity === null) return html`<small>${t("notMoved")}</small>`;
  const level = quantity === 0 ? "bad" : quantity <= low ? "few" : "";
  return html`<b class="quantity ${level}">${number(quantity)}</b>${level && html` <small class=${level}>${t(quantity === 0 ? "soldOut" : "runsOut")}</small>`}`;
}

function Row({ product, low, reload }) {
  return html`<tr data-product=${product.product_id}><th scope="row">${product.name} <small>${product.product_id}</small></th>
    <td class="number" data-label=${t("price")}>${amount(product.price)}</td>
    <td data-label=${t("stock")} data-testid="quantity"><${Quantity} ...${product} low=${low} /></td>
    <td class="d-deliver" data-label=${t("delivery")}><${Deliver} product=${product} reload=${reload} /></td></tr>`;
}

export function Stock() {
  const [state, setState] = useState({});
  const [round, setRound] = useState(0);
  const [cursors, setCursors] = useState([]);
  const cursor = cursors.at(-1);
  usePolling(async (isOver) => {
    try {
      const value = await get(`ui/api/stock?limit=${PAGE}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
      if (!isOver()) setState({ value });
    } catch (error) {
      if (!isOver()) setState((before) => ({ value: before.value, error }));
    }
  }, EVERY_MS, [round, cursor]);
  const reload = () => setRound((n) => n + 1);
  const next = state.value?.next_cursor;
  const heads = ["product", "price", "stock", "delivery"];
  return html`<header class="view-head"><div><h1>${t("stock")}</h1><p class="lead">${t("stockIs")}</p></div></header>
    <${Loaded} value=${state.value} error=${state.error} again=${reload}>${({ products, low_stock: low }) => html`<section class="card" aria-label=${t("stock")}>
      ${products.length === 0 ? html`<${Empty}>${t("noProducts")}</${Empty}>` : html`<table class="definitions stock" data-testid="stock">
        <thead><tr>${heads.map((head) => html`<th scope="col" class=${head === "price" ? "number" : ""}>${t(head)}</th>`)}</tr></thead>
        <tbody>${products.map((product) => html`<${Row} product=${product} low=${low} reload=${reload} key=${product.product_id} />`)}</tbody></table>`}
      ${(cursor || next) && html`<div class="actions">
        <button class="button small" disabled=${!cursor} onClick=${() => setCursors(cursors.slice(0, -1))}>${t("previousPage")}</button>
        <button class="button small" disabled=${!next} onClick=${() => setCursors([...cursors, next])}>${t("nextPage")}</button></div>`}</section>`}</${Loaded}>`;
}
