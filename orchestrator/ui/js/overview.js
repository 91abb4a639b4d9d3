// The first view: five counters, the steps of purchases, charts, and the list.

import { go, withParameters } from "./address.js";
import { Breakers } from "./breakers.js";
import { BuyButtons } from "./buy.js";
import { Flow } from "./flow.js";
import { FaultsOn } from "./faults_on.js";
import { compact, moment, number } from "./format.js";
import { t } from "./i18n.js";
import { lazy } from "./lazy.js";
import { FIRST_PAGE, NO_FILTER, SagaList } from "./list.js";
import { Failure, Icon, html } from "./parts.js";
import { definitionLink, isPurchase, useDefinitions } from "./sagas.js";
import { useStore } from "./store.js";
import { summary } from "./summary.js";

const Charts = lazy(() => import("./charts.js").then((module) => module.Charts));
const Graph = lazy(() => import("./graph.js").then((module) => module.Graph));

const STATUSES = ["PENDING", "COMPENSATING", "COMPLETED", "COMPENSATED", "FAILED"];

function counts({ pending, compensating, failed, ended }) {
  return { PENDING: pending, COMPENSATING: compensating, COMPLETED: ended.completed, COMPENSATED: ended.compensated, FAILED: failed + ended.failed };
}

/** The label of an inexact number: ends are estimated, unfinished sagas are counted up to a limit. */
function inexact(status, summary) {
  if (status === "COMPLETED" || status === "COMPENSATED") return summary?.ended.is_exact === false ? "estimated" : null;
  return summary?.standing_is_exact === false ? "orMore" : null;
}

function Counter({ status, value, about, isChosen, choose }) {
  return html`<button class="counter counter-${status}" aria-pressed=${isChosen} onClick=${choose} title=${t("filterBy", { status: t(status) })} data-testid="count-${status}">
    <span class="counter-name"><${Icon} name=${status} />${t(status)}</span>
    <b title=${value === null ? "" : number(value)}>${value === null ? "–" : compact(value)}</b>
    <small>${t(about ?? `${status}_is`)}</small></button>`;
}

function OnHold({ hold }) {
  return hold && html`<p class="card faults-on" role="status" data-testid="on-hold"><${Icon} name="attention" size="18" />
    <span><b>${t("onHold")}</b> ${t("onHoldIs", { time: moment(hold.since) })} <q>${hold.reason}</q></span></p>`;
}

/** The filters in the address, such as `status=FAILED`. */
function filterOf(search) {
  const given = new URLSearchParams(search);
  return Object.fromEntries(Object.entries(NO_FILTER).map(([name, none]) => [name, given.get(name) ?? none]));
}

/** The steps of purchases with their outcomes, or the graph of the chosen definition's newest version. */
function Picture({ name }) {
  const { value } = useDefinitions();
  const chosen = value?.find((definition) => definition.name === name);
  if (!chosen || isPurchase({ definition: name })) return html`<${Flow} />`;
  const title = `${name}/${chosen.version}`;
  return html`<section class="card flow picture" aria-labelledby="flow-title" data-testid="picture">
    <header><h2 id="flow-title">${t("howOf")} <a href=${definitionLink({ definition: name, version: chosen.version })}>${title}</a></h2></header>
    <${Graph} steps=${chosen.steps} label=${t("graphOf", { name: title })} key=${title} /></section>`;
}

export function Overview({ search }) {
  const { value, error } = useStore(summary);
  const filter = filterOf(search);
  // A chosen filter is an entry of the history; letters that are typed change the present one.
  const setFilter = (chosen, { isTyped = false } = {}) => go(withParameters({ ...chosen, ...FIRST_PAGE }), { kept: { scroll: scrollY }, replaces: isTyped });
  const all = value ? counts(value) : null;
  const choose = (status) => setFilter({ ...filter, status: filter.status === status ? "" : status });
  return html`<h1 class="hidden">${t("overview")}</h1>
    ${error && error.status !== 0 && html`<${Failure} error=${error} />`}
    <${OnHold} hold=${value?.hold} />
    <${Breakers} of=${value?.breakers ?? []} />
    <${FaultsOn} />
    <div class="counters" role="group" aria-label=${t("status")}>${STATUSES.map((status) => html`
      <${Counter} key=${status} status=${status} value=${all && all[status]} about=${inexact(status, value)}
        isChosen=${filter.status === status} choose=${() => choose(status)} />`)}</div>
    <div class="hero"><${Picture} name=${filter.definition} /><div class="card buy-card"><${BuyButtons} /></div></div>
    <${Charts} search=${search} />
    <${SagaList} filter=${filter} setFilter=${setFilter} search=${search} />`;
}
