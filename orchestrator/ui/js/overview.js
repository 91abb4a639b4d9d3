// The first view: how it stands in five numbers, how purchases run, how fast, and the list.

import { useState } from "../vendor/preact/htm-preact.js";
import { BuyButtons } from "./buy.js";
import { Charts } from "./charts.js";
import { Flow } from "./flow.js";
import { compact, number } from "./format.js";
import { t } from "./i18n.js";
import { SagaList } from "./list.js";
import { Failure, Icon, html } from "./parts.js";
import { useStore } from "./store.js";
import { summary } from "./summary.js";

const STATUSES = ["PENDING", "COMPENSATING", "COMPLETED", "COMPENSATED", "FAILED"];

function counts({ pending, compensating, failed, ended }) {
  return { PENDING: pending, COMPENSATING: compensating, COMPLETED: ended.completed, COMPENSATED: ended.compensated, FAILED: failed + ended.failed };
}

function Counter({ status, value, isExact, isChosen, choose }) {
  const isEstimate = !isExact && (status === "COMPLETED" || status === "COMPENSATED");
  return html`<button class="counter counter-${status}" aria-pressed=${isChosen} onClick=${choose} title=${t("filterBy", { status: t(status) })} data-testid="count-${status}">
    <span class="counter-name"><${Icon} name=${status} />${t(status)}</span>
    <b title=${value === null ? "" : number(value)}>${value === null ? "–" : compact(value)}</b>
    <small>${isEstimate ? t("estimated") : t(`${status}_is`)}</small></button>`;
}

export function Overview() {
  const { value, error } = useStore(summary);
  const [filter, setFilter] = useState({ status: "", user_id: "", text: "" });
  const all = value ? counts(value) : null;
  const choose = (status) => setFilter({ ...filter, status: filter.status === status ? "" : status });
  return html`<h1 class="hidden">${t("overview")}</h1>
    ${error && error.status !== 0 && html`<${Failure} error=${error} />`}
    <div class="counters" role="group" aria-label=${t("status")}>${STATUSES.map((status) => html`
      <${Counter} key=${status} status=${status} value=${all && all[status]} isExact=${value?.ended.is_exact ?? true}
        isChosen=${filter.status === status} choose=${() => choose(status)} />`)}</div>
    <div class="hero"><${Flow} /><div class="card buy-card"><${BuyButtons} /></div></div>
    <${Charts} />
    <${SagaList} filter=${filter} setFilter=${setFilter} />`;
}
