// The steps of a saga over time: a bar for each action, and one below for its compensation. Bars of running calls grow.

import { Exchange, useRecords } from "./exchange.js";
import { exact, explained, span } from "./format.js";
import { participantName, t } from "./i18n.js";
import { Icon, html, stateName } from "./parts.js";

const TICKS = 4;
// The narrowest bar, in percent, so that a step of a millisecond is visible.
const NARROWEST = 0.6;

function scale(saga) {
  const start = new Date(saga.created_at).getTime();
  const ends = saga.steps.flatMap(({ finished_at, compensation }) => [finished_at, compensation?.finished_at]);
  const last = Math.max(start, ...[saga.ended_at, ...ends].filter(Boolean).map((at) => new Date(at).getTime()));
  const end = saga.ended_at ? last : Math.max(last, Date.now());
  const length = Math.max(end - start, 1);
  return { start, end, length, place: (at) => (Math.max(0, new Date(at).getTime() - start) / length) * 100 };
}

/** The bar of an action or compensation; it ends now if still running. */
function period({ started_at, finished_at }, saga, axis) {
  const end = finished_at ?? (saga.ended_at ? axis.end : Date.now());
  return { left: axis.place(started_at), width: Math.max(NARROWEST, axis.place(end) - axis.place(started_at)), ms: new Date(end) - new Date(started_at) };
}

// Below this width the name of a step is above its lanes; the frames around a lane take the rest of the width.
const NARROW_PX = 760;
const laneWidth = () => (innerWidth <= NARROW_PX ? innerWidth - 56 : innerWidth - 300);
const CHARACTER_PX = 7.5;
const LABEL_PADDING_PX = 18;

/** Position of the label: after the bar if there is room, else before it, else on it. */
function labelPlace(left, width, label) {
  const needed = ((label.length * CHARACTER_PX + LABEL_PADDING_PX) / laneWidth()) * 100;
  if (left + width <= 100 - Math.max(28, needed)) return { left: `calc(${left + width}% + 6px)` };
  if (left >= Math.max(20, needed)) return { right: `calc(${100 - left}% + 6px)` };
  return { left: `calc(${Math.max(0, Math.min(left, 100 - needed))}% + 8px)` };
}

/** The mark of an attempt on its bar; hovering shows its error and the pause after it. */
function Attempt({ attempt, saga, axis }) {
  const { n, from, to, error, pauseMs } = attempt;
  const { left, width } = period({ started_at: from, finished_at: to }, saga, axis);
  const parts = [t("attemptOf", { n }), explained(error), `${exact(from)} – ${to ? exact(to) : saga.ended_at ? "" : t("running")}`, pauseMs !== null && t("pauseAfter", { time: span(pauseMs) })];
  return html`<i class="attempt ${error ? "attempt-bad" : ""}" data-attempt=${n} title=${parts.filter(Boolean).join(" · ")} style=${{ left: `${left}%`, width: `${Math.min(width, 100 - left)}%` }}></i>`;
}

function Bar({ part, name, state, saga, axis, attempts = [] }) {
  if (!part?.started_at) return null;
  const { left, width, ms } = period(part, saga, axis);
  const tries = part.attempts > 1 ? ` · ${t("attempts", { n: part.attempts })}` : "";
  const label = `${span(ms)}${tries}`;
  const place = labelPlace(left, width, label);
  const isRunning = !part.finished_at && !saga.ended_at;
  const from = exact(part.started_at);
  return html`<div class="lane" role="img" aria-label="${name}: ${t(state)}, ${label}" title="${name}: ${from} – ${part.finished_at ? exact(part.finished_at) : t(state)}">
    <i class="bar bar-${state} ${isRunning ? "growing" : ""} ${attempts.length > 1 ? "with-attempts" : ""}" style=${{ left: `${left}%`, width: `${Math.min(width, 100 - left)}%` }}></i>
    ${attempts.length > 1 && attempts.map((attempt) => html`<${Attempt} attempt=${attempt} saga=${saga} axis=${axis} key=${attempt.n} />`)}
    <span class="bar-label" style=${place}>${label}</span></div>`;
}

/** Lines at the times at which other processes took the saga over. */
function Takeovers({ saga, axis }) {
  return saga.takeovers.filter(({ at }) => new Date(at) <= axis.end).map(({ node, epoch, at }) => html`
    <i class="takeover" key=${epoch} data-takeover=${epoch} title="${t("takenOverBy", { node, n: epoch })} · ${exact(at)}" style=${{ left: `${axis.place(at)}%` }}></i>`);
}

function StepState({ step, saga }) {
  return html`<span class="step-state mark-${step.state}" data-state=${step.state}><${Icon} name=${step.state} size="13" />${stateName(step, saga)}</span>`;
}

/** The outcome of the action itself. Rows of an earlier version lack it for compensated steps. */
function actionState(step) {
  if (step.action !== "unknown" || step.state !== "compensated") return step.action;
  if (!step.error) return "done";
  return step.finished_at ? "refused" : "unknown";
}

function Step({ step, saga, axis, attempts, records }) {
  const undo = step.compensation;
  const errors = [...new Set([step.error, undo?.error].filter(Boolean))];
  return html`<li class="step" data-step=${step.step} tabindex="-1">
    <div class="step-name"><b>${participantName(step.participant)}</b><small>${step.step}</small><${StepState} step=${step} saga=${saga} /></div>
    <div class="lanes"><${Takeovers} saga=${saga} axis=${axis} />
      ${step.started_at ? html`<${Bar} part=${step} name=${t("action")} state=${actionState(step)} saga=${saga} axis=${axis} attempts=${attempts?.action} />` : html`<div class="lane"><span class="bar-label idle">${stateName(step, saga)}</span></div>`}
      ${undo && html`<${Bar} part=${undo} name=${t("undo")} state=${undo.finished_at ? "compensated" : "compensating"} saga=${saga} axis=${axis} attempts=${attempts?.undo} />`}
      ${errors.map((error) => html`<p class="step-error" title=${error}><${Icon} name="attention" size="13" />${explained(error)}</p>`)}</div>
    ${(step.started_at || undo?.started_at) && html`<${Exchange} step=${step} saga=${saga} records=${records} attempts=${attempts} />`}</li>`;
}

export function Timeline({ saga, attempts }) {
  const records = useRecords(saga.saga_id);
  if (saga.steps.length === 0) return html`<section class="card"><p class="note">${t("inBrief")}</p></section>`;
  const axis = scale(saga);
  const ticks = Array.from({ length: TICKS + 1 }, (_, index) => index / TICKS);
  return html`<section class="card timeline" aria-labelledby="timeline-title"><header><h2 id="timeline-title">${t("timeline")}</h2>
      <ul class="legend"><li><i class="bar bar-done"></i>${t("action")}</li><li><i class="bar bar-refused"></i>${t("refused")}</li><li><i class="bar bar-compensated"></i>${t("undo")}</li>
        ${saga.takeovers.length > 0 && html`<li><i class="takeover"></i>${t("takenOver")}</li>`}</ul></header>
    <ol class="steps">${saga.steps.map((step) => html`<${Step} key=${step.step} step=${step} saga=${saga} axis=${axis} attempts=${attempts[step.step]} records=${records} />`)}</ol>
    <div class="axis" aria-label=${t("timeAxis")}><span></span><div>${ticks.map((tick) => html`<small key=${tick} style=${{ left: `${tick * 100}%` }}>${span(Math.round(tick * axis.length))}</small>`)}</div></div></section>`;
}
