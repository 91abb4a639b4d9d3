// A picture of the four steps of a purchase, with the outcomes at each step in the last minute.

import { number } from "./format.js";
import { participantName, t } from "./i18n.js";
import { Icon, html } from "./parts.js";
import { stepCounts, summary } from "./summary.js";
import { useStore } from "./store.js";

const STEPS = [
  { step: "choose", participant: "catalog" },
  { step: "charge", participant: "payments", undo: "refund" },
  { step: "decrease", participant: "inventory", undo: "restore" },
  { step: "create", participant: "purchases", undo: "cancel" },
];

function Bar({ done, refused, unknown }) {
  const all = done + refused + unknown;
  if (all === 0) return html`<div class="flow-bar"></div>`;
  const part = (n, name) => n > 0 && html`<i class=${name} style=${{ flexGrow: n }}></i>`;
  return html`<div class="flow-bar">${part(done, "good")}${part(refused, "bad")}${part(unknown, "odd")}</div>`;
}

function Count({ n, name, icon, text }) {
  return html`<span class="flow-count ${name} ${n ? "" : "zero"}"><${Icon} name=${icon} size="13" />${t(text, { n: number(n) })}</span>`;
}

/** A step whose effect stays when the purchase turns back says so. */
function Step({ step, participant, undo }) {
  const { value } = useStore(summary);
  const isKept = step === "decrease" && value?.stock_is_given_back === false;
  const counts = useStore(stepCounts)[step] ?? {};
  const { done = 0, refused = 0, unknown = 0, compensated = 0 } = counts;
  return html`<li class="flow-step">
    <h3>${participantName(participant)}</h3><p>${t(`step_${step}`)}</p>
    <${Bar} ...${{ done, refused, unknown }} />
    <div class="flow-counts"><${Count} n=${done} name="good" icon="done" text="flowDone" />
      <${Count} n=${refused} name="bad" icon="refused" text="flowRefused" />
      ${unknown > 0 && html`<${Count} n=${unknown} name="odd" icon="unknown" text="flowUnknown" />`}</div>
    ${!isKept && undo && html`<div class="flow-undo"><${Count} n=${compensated} name="undo" icon="compensated" text="flowUndone" /><small>${t(`undo_${step}`)}</small></div>`}
    ${isKept && html`<div class="flow-undo"><small>${t("stock_kept")}</small></div>`}
  </li>`;
}

export function Flow() {
  return html`<section class="card flow" aria-labelledby="flow-title">
    <header><h2 id="flow-title">${t("how")}</h2><small>${t("lastMinute")}</small></header>
    <p class="lead">${t("intro")}</p>
    <ol>${STEPS.map((step) => html`<${Step} ...${step} key=${step.step} />`)}</ol></section>`;
}
