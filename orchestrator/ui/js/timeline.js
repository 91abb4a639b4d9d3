// The steps of a saga over time: a bar for each action, and one below for its compensation. Bars of running calls grow.

import { explained, span } from "./format.js";
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

/** Position of the label: after the bar if there is room, else before it, else on it. */
function labelPlace(left, width) {
  if (left + width <= 72) return { left: `calc(${left + width}% + 6px)` };
  return left >= 20 ? { right: `calc(${100 - left}% + 6px)` } : { left: `calc(${left}% + 8px)` };
}

function Bar({ part, name, state, saga, axis }) {
  if (!part?.started_at) return null;
  const { left, width, ms } = period(part, saga, axis);
  const tries = part.attempts > 1 ? ` · ${t("attempts", { n: part.attempts })}` : "";
  const label = `${span(ms)}${tries}`;
  const place = labelPlace(left, width);
  const isRunning = !part.finished_at && !saga.ended_at;
  return html`<div class="lane" role="img" aria-label="${name}: ${t(state)}, ${label}">
    <i class="bar bar-${state} ${isRunning ? "growing" : ""}" style=${{ left: `${left}%`, width: `${Math.min(width, 100 - left)}%` }}></i>
    <span class="bar-label" style=${place}>${label}</span></div>`;
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

function Step({ step, saga, axis }) {
  const undo = step.compensation;
  const errors = [...new Set([step.error, undo?.error].filter(Boolean))];
  return html`<li class="step" data-step=${step.step} tabindex="-1">
    <div class="step-name"><b>${participantName(step.participant)}</b><small>${step.step}</small><${StepState} step=${step} saga=${saga} /></div>
    <div class="lanes">
      ${step.started_at ? html`<${Bar} part=${step} name=${t("action")} state=${actionState(step)} saga=${saga} axis=${axis} />` : html`<div class="lane"><span class="bar-label idle">${stateName(step, saga)}</span></div>`}
      ${undo && html`<${Bar} part=${undo} name=${t("undo")} state=${undo.finished_at ? "compensated" : "compensating"} saga=${saga} axis=${axis} />`}
      ${errors.map((error) => html`<p class="step-error" title=${error}><${Icon} name="attention" size="13" />${explained(error)}</p>`)}</div></li>`;
}

export function Timeline({ saga }) {
  if (saga.steps.length === 0) return html`<section class="card"><p class="note">${t("inBrief")}</p></section>`;
  const axis = scale(saga);
  const ticks = Array.from({ length: TICKS + 1 }, (_, index) => index / TICKS);
  return html`<section class="card timeline" aria-labelledby="timeline-title"><header><h2 id="timeline-title">${t("timeline")}</h2>
      <ul class="legend"><li><i class="bar bar-done"></i>${t("action")}</li><li><i class="bar bar-refused"></i>${t("refused")}</li><li><i class="bar bar-compensated"></i>${t("undo")}</li></ul></header>
    <ol class="steps">${saga.steps.map((step) => html`<${Step} key=${step.step} step=${step} saga=${saga} axis=${axis} />`)}</ol>
    <div class="axis" aria-label=${t("timeAxis")}><span></span><div>${ticks.map((tick) => html`<small key=${tick} style=${{ left: `${tick * 100}%` }}>${span(Math.round(tick * axis.length))}</small>`)}</div></div></section>`;
}
