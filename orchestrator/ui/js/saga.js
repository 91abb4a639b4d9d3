// One saga: its status and cause, its current wait, its timeline, and the actions of an operator.

import { useEffect, useState } from "../vendor/preact/htm-preact.js";
import { go, lastOverview } from "./address.js";
import { get, post } from "./api.js";
import { attemptsOf, merged } from "./attempts.js";
import { Compared } from "./compare.js";
import { effects } from "./effects.js";
import { clock, duration, explained, isolated, moment, span, traceId } from "./format.js";
import { Graph } from "./graph.js";
import { participantName, t } from "./i18n.js";
import { Copy, Dialog, Icon, Json, Loaded, Status, Time, html } from "./parts.js";
import { Resolve } from "./resolve.js";
import { Links, Slowness } from "./saga_links.js";
import { NOTHING, definitionLink, isPurchase, shownAmount } from "./sagas.js";
import { useTick } from "./store.js";
import { onChanges } from "./stream.js";
import { Timeline } from "./timeline.js";
import { saying } from "./toasts.js";

const MAX_ACTIVITY = 500;
// More steps at once are a number.
const WAITS_SHOWN = 3;

// Sagas of the DTM protocol, and those that bring their steps along, have no definition with a page of its own.
const WITHOUT_PAGE = ["dtm", "inline"];
const hasDefinition = (saga) => saga.graph && !WITHOUT_PAGE.includes(saga.definition);

const hasEnded = (saga) => saga.ended_at !== null;

/** Loads the saga, reloads it after its changes, and keeps the changes as activity. */
/** What the API takes for an id. Anything else could lead a request to another path. */
const IS_ID = /^[0-9a-f-]{32,36}$/i;

function useSaga(id) {
  const [state, setState] = useState({ activity: [] });
  useEffect(() => {
    if (!IS_ID.test(id)) return undefined;
    let isOver = false;
    // Changes from before the page was opened are kept for a day.
    get(`ui/api/sagas/${encodeURIComponent(id)}/changes`).then(({ changes }) => !isOver && setState((before) => ({ ...before, activity: merged(changes, before.activity).slice(-MAX_ACTIVITY) })), () => {});
    let isBusy = false;
    let isDirty = false;
    const load = async () => {
      if (isBusy) {
        isDirty = true;
        return;
      }
      isBusy = true;
      isDirty = false;
      try {
        const saga = await get(`sagas/${encodeURIComponent(id)}`);
        if (!isOver) setState((before) => ({ ...before, saga, error: undefined }));
      } catch (error) {
        if (!isOver) setState((before) => ({ ...before, error }));
      }
      isBusy = false;
      if (isDirty && !isOver) load();
    };
    load();
    const stop = onChanges((changes) => {
      const own = changes.filter((change) => change.transaction_id === id);
      if (own.length > 0) setState((before) => ({ ...before, activity: merged(before.activity, own).slice(-MAX_ACTIVITY) }));
      if (own.length > 0 || changes.some(({ kind }) => kind === "gap")) load();
    });
    return () => {
      isOver = true;
      stop();
    };
  }, [id]);
  return { ...state, reload: () => get(`sagas/${encodeURIComponent(id)}`).then((saga) => setState((before) => ({ ...before, saga })), () => {}) };
}

/** Data for operators only: the saga's wait in memory, and whether it is in the attention list. */
function useInspection(id, saga) {
  const [inspection, setInspection] = useState(null);
  const isRunning = saga && !hasEnded(saga);
  useEffect(() => {
    if (!isRunning) return undefined;
    let isOver = false;
    let timer;
    const look = async () => {
      const found = await get(`saga/${id}/inspect`).catch(() => null);
      if (isOver) return;
      setInspection(found);
      timer = setTimeout(look, 2000);
    };
    look();
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, [id, isRunning]);
  return isRunning ? inspection : null;
}

/** Lines that say for what a saga waits: a write to its log, and each of its calls, since steps may run in parallel. */
function waitsFor(saga, inspection) {
  // One reason, or an array of them.
  const reasons = [inspection?.memory?.waiting_for ?? []].flat();
  const parked = reasons.filter(({ parked_until_up: participant }) => participant);
  const isParked = ({ step }) => parked.some(({ step: other }) => other === step);
  const line = (text, { participant, step }, n) => t(text, { participant: participantName(participant), step, n });
  const undoing = saga.steps.filter(({ compensation: undo }) => undo && !undo.finished_at && (undo.error || undo.started_at));
  const active = saga.steps.filter(({ state }) => state === "running" || state === "backing_off");
  const lines = [
    ...reasons.filter(({ saga_log: write }) => write).map(({ saga_log: write }) => t("waitsLog", { write })),
    ...parked.map(({ parked_until_up: participant, step }) => line("waitsParked", { participant, step })),
    ...undoing.filter((step) => !isParked(step)).map((step) => line("waitsUndo", step, step.compensation.attempts)),
    ...active.filter((step) => !isParked(step)).map((step) => line(step.state === "running" ? "waitsFor" : "waitsRetry", step, step.attempts)),
  ];
  if (lines.length > WAITS_SHOWN) return [...lines.slice(0, WAITS_SHOWN), t("moreSteps", { n: lines.length - WAITS_SHOWN })];
  return lines.length > 0 ? lines : [t(saga.status === "FAILED" ? "waitsAttention" : "waitsNothing")];
}

function Fact({ name, children }) {
  return html`<div><dt>${name}</dt><dd>${children}</dd></div>`;
}

function PurchaseFacts({ saga: { input, outputs } }) {
  const facts = [["user", input?.user_id], ["amount", input && shownAmount(input.amount)], ["product", outputs.choose?.product_id ?? input?.product_id],
    ["payment", outputs.charge?.payment_id], ["purchase", outputs.create?.purchase_id]];
  return facts.map(([name, value]) => html`<${Fact} key=${name} name=${t(name)}>${value ?? NOTHING}</${Fact}>`);
}

function Facts({ saga }) {
  const id = saga.saga_id;
  const title = `${saga.definition}/${saga.version}`;
  return html`<dl class="facts">
    ${isPurchase(saga) && html`<${PurchaseFacts} saga=${saga} />`}
    ${saga.definition === "dtm" && html`<${Fact} name="gid">${saga.input?.gid ?? NOTHING}</${Fact}>`}
    <${Fact} name=${t("definition")}>${hasDefinition(saga) ? html`<a href=${definitionLink(saga)} data-testid="definition">${title}</a>` : title}</${Fact}>
    <${Fact} name=${t("created")}><${Time} at=${saga.created_at}>${moment(saga.created_at)}</${Time}></${Fact}>
    <${Fact} name=${t("took")}>${saga.ended_at ? html`<${Time} at=${saga.ended_at}>${span(duration(saga))}</${Time}>` : span(duration(saga))}<${Slowness} saga=${saga} /></${Fact}>
    <${Fact} name=${t("id")}><code data-testid="saga-id">${id}</code><${Copy} text=${id} label=${t("id")} /></${Fact}>
    <${Fact} name=${t("trace")}><code data-testid="trace-id">${traceId(id)}</code><${Copy} text=${traceId(id)} label=${t("trace")} /></${Fact}></dl>`;
}

function Actions({ saga, isInAttention, reload }) {
  const [isResolving, setIsResolving] = useState(false);
  const [isCancelling, setIsCancelling] = useState(false);
  const id = saga.saga_id;
  const canCancel = saga.status === "PENDING";
  const canRetry = !hasEnded(saga) && (saga.status === "FAILED" || isInAttention);
  if (!canCancel && !canRetry) return null;
  const cancel = () => {
    setIsCancelling(false);
    ask("cancel", "cancelAsked");
  };
  const ask = async (what, message) => {
    await saying(() => post(`saga/${id}/${what}`), () => t(message));
    reload();
  };
  return html`<div class="actions">
    ${canCancel && html`<button id="cancel" class="button danger" onClick=${() => setIsCancelling(true)}>${t("cancel")}</button>`}
    ${canRetry && html`<button id="retry" class="button primary" onClick=${() => ask("retry", "retryAsked")}>${t("retry")}</button>
      <button id="resolve" class="button" onClick=${() => setIsResolving(true)}>${t("resolve")}</button>`}
    ${canCancel && isCancelling && html`<${Dialog} title=${t("cancelTitle")} onClose=${() => setIsCancelling(false)}><p>${t("cancelWhy")}</p>
      <div class="actions"><button class="button" autofocus onClick=${() => setIsCancelling(false)}>${t("keep")}</button><button id="cancel-sure" class="button danger" onClick=${cancel}>${t("cancelSubmit")}</button></div></${Dialog}>`}
    ${isResolving && html`<${Resolve} id=${id} onClose=${() => { setIsResolving(false); reload(); }} />`}</div>`;
}

function Callout({ status, id, title, reason }) {
  return html`<div class="callout callout-${status}" data-testid=${id}><${Icon} name=${status} size="20" /><div><h2>${t(title)}</h2><p>${explained(reason)}</p>${explained(reason) !== reason && html`<code>${reason}</code>`}</div></div>`;
}

/** Why the saga turned back, and separately why it is not undone yet. */
function Why({ saga }) {
  const { error: turned, stuck_because: stuck } = saga;
  return html`${turned && html`<${Callout} status=${saga.status === "FAILED" ? "COMPENSATING" : saga.status} id="why" title="whyTurned" reason=${turned} />`}
    ${stuck && html`<${Callout} status="FAILED" id="stuck" title=${saga.resolution ? "whyWasStuck" : "whyStuck"} reason=${stuck} />`}`;
}

/** How a person settled the saga. */
function Settled({ saga: { resolution } }) {
  if (!resolution) return null;
  const { at, by, note } = resolution;
  return html`<section class="card settled" data-testid="settled"><header><h2>${t(by ? "settledBy" : "settled", { by: isolated(by), time: moment(at) })}</h2></header><p><bdi>${note}</bdi></p></section>`;
}

function Effects({ saga }) {
  const text = effects(saga);
  return text && html`<p class="card effects" data-testid="effects">${text}</p>`;
}

function Takeovers({ saga }) {
  if (saga.takeovers.length === 0) return null;
  const unowned = (ms) => (ms === null ? "" : t("takenOverUnowned", { time: span(ms) }));
  return html`<section class="card takeovers" data-testid="takeovers"><header><h2>${t("takenOver")}</h2></header><ol>${saga.takeovers.map(({ node, epoch, at, unowned_ms }) => html`
    <li key=${epoch}><${Time} at=${at}>${moment(at)}</${Time}> <code>${node}</code> · ${t("takenOverEpoch", { n: epoch })} ${unowned(unowned_ms)}</li>`)}</ol></section>`;
}

function Activity({ changes }) {
  const text = ({ kind, status, step, state, attempts, error }) =>
    kind === "saga" ? t(status) : `${step}: ${t(state)}${attempts > 1 ? ` (${t("attempts", { n: attempts })})` : ""}${error ? ` – ${explained(error)}` : ""}`;
  return html`<section class="card activity"><header><h2>${t("activity")}</h2></header>
    ${changes.length === 0 ? html`<p class="note">${t("activityNone")}</p>` : html`<ol>${changes.map((change, index) => html`
      <li key=${index} class="of-${change.kind}"><${Time} at=${change.at}>${clock(change.at)}</${Time}><span>${text(change)}</span></li>`)}</ol>`}</section>`;
}

/** Scrolls to a step of the timeline, with the focus. */
function showStep(name) {
  const step = document.querySelector(`.timeline [data-step="${CSS.escape(name)}"]`);
  step?.scrollIntoView({ block: "center" });
  step?.focus({ preventScroll: true });
}

/** Nothing if the node does not know the definition: the timeline has the same steps. */
function Steps({ saga }) {
  if (!saga.graph) return null;
  const onOpen = saga.steps.length > 0 ? showStep : undefined;
  return html`<section class="card" data-testid="graph"><header><h2>${t("graph")}</h2></header>
    <${Graph} steps=${saga.graph} saga=${saga} label=${t("graphOf", { name: `${saga.definition}/${saga.version}` })} onOpen=${onOpen} /></section>`;
}

function Data({ saga: { input, outputs, steps: all, ended_at: endedAt } }) {
  const place = new Map(all.map(({ step }, index) => [step, index]));
  const steps = Object.entries(outputs).sort(([a], [b]) => place.get(a) - place.get(b));
  return html`<section class="card" data-testid="data"><header><h2>${t("data")}</h2></header><div class="data">
    <div><h3>${t("input")}</h3><${Json} value=${input} label=${t("input")} /></div>
    <div><h3>${t("outputs")}</h3>${steps.length === 0 ? html`<p class="note">${t(endedAt ? "outputsNoneEnded" : "outputsNone")}</p>` : html`<div class="outputs">${steps.map(([step, values]) => html`
      <div key=${step} data-output=${step}><h4>${step}</h4><${Json} value=${values} label="${t("outputs")}: ${step}" /></div>`)}</div>`}</div></div></section>`;
}

function Title({ saga }) {
  if (!isPurchase(saga)) return html`<h1>${t("saga")} <span class="saga-title">${saga.definition}<span class="version">/${saga.version}</span></span></h1>`;
  return html`<h1>${t("purchase")} <span class="saga-title"><bdi>${saga.input?.user_id ?? NOTHING}</bdi> · ${shownAmount(saga.input?.amount)}</span></h1>`;
}

function Whole({ saga, activity, reload }) {
  const inspection = useInspection(saga.saga_id, saga);
  useTick(!hasEnded(saga));
  const hasActivity = !hasEnded(saga) || activity.length > 0;
  const isInAttention = Boolean(inspection?.log?.attention);
  return html`<article class="saga">
    <header class="saga-head"><div><${Title} saga=${saga} /><${Status} status=${saga.status} /></div>
      <${Actions} saga=${saga} isInAttention=${isInAttention} reload=${reload} /></header>
    <${Links} saga=${saga} />
    <${Why} saga=${saga} />
    <${Settled} saga=${saga} />
    <${Effects} saga=${saga} />
    ${!hasEnded(saga) && html`<div class="callout callout-PENDING" data-testid="waits"><${Icon} name="PENDING" size="20" /><div><h2>${t("waits")}</h2>${waitsFor(saga, inspection).map((line) => html`<p>${line}</p>`)}</div></div>`}
    <${Steps} saga=${saga} />
    <${Timeline} saga=${saga} attempts=${attemptsOf(activity)} />
    <${Takeovers} saga=${saga} />
    <div class="card"><${Facts} saga=${saga} /></div>
    <${Data} saga=${saga} />
    <div class=${hasActivity ? "columns" : ""}>${hasActivity && html`<${Activity} changes=${activity} />`}<${Compared} id=${saga.saga_id} /></div></article>`;
}

export function Saga({ id }) {
  const { saga, error, activity, reload } = useSaga(id);
  const isUnknown = !IS_ID.test(id) || (error && [404, 422].includes(error.status));
  const { hash, kept } = lastOverview();
  // The list as it was: its filters, its page, and where it was scrolled to.
  const back = (event) => {
    if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    go(hash, { kept });
  };
  return html`<p class="crumb"><a href=${hash} onClick=${back}><${Icon} name="left" />${t("back")}</a></p>
    ${isUnknown ? html`<p class="failure" role="alert">${t("notFound", { id })}</p>`
      : html`<${Loaded} value=${saga} error=${error} again=${reload}>${(value) => html`<${Whole} saga=${value} activity=${activity} reload=${reload} />`}</${Loaded}>`}`;
}
