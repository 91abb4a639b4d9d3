// One operation of a service in the failure lab: a slider for each kind of fault.

import { percent } from "./format.js";
import { t } from "./i18n.js";
import { html } from "./parts.js";

export const RATES = ["failure_rate", "unavailable_rate", "lost_reply_rate", "cut_connection_rate", "duplicate_rate"];
// Limit of the latency inputs. The configuration allows more.
const LONGEST_MS = 5000;
/** Operations whose failure is a business refusal (409); a failure of the others is an error (503). */
const REFUSING = ["charge", "decrease", "create"];

function Slider({ id, name, about, value, shown, min = 0, max, step, onChange }) {
  return html`<label class="slider ${value > 0 ? "on" : ""}" for=${id}><span class="slider-name">${name}<small>${about}</small></span>
    <input id=${id} type="range" min=${min} max=${max} step=${step} value=${value} aria-valuetext=${shown} onInput=${(event) => onChange(Number(event.target.value))} />
    <output for=${id}>${shown}</output></label>`;
}

function Latency({ id, range, change }) {
  const set = (end) => (event) => {
    const value = Math.min(LONGEST_MS, Math.max(0, Math.round(Number(event.target.value) || 0)));
    const next = { ...range, [end]: value };
    change("latency_ms", { min: end === "max" ? Math.min(next.min, value) : value, max: end === "min" ? Math.max(next.max, value) : value });
  };
  const box = (end, label) => html`<input id="${id}-${end}" type="number" inputmode="numeric" min="0" max=${LONGEST_MS} step="50" value=${range[end]} aria-label=${label} onChange=${set(end)} />`;
  return html`<div class="slider latency ${range.max > 0 ? "on" : ""}"><span class="slider-name">${t("latency_ms")}<small>${t("latency_is")}</small></span>
    <span class="latency-range">${box("min", t("latencyMin"))}–${box("max", t("latencyMax"))} ms</span></div>`;
}

export function Operation({ service, operation, settings, change }) {
  const isUndo = (rate) => rate === "failure_rate" && !REFUSING.includes(operation);
  const name = (rate) => t(isUndo(rate) ? "fails" : rate);
  const about = (rate) => t(isUndo(rate) ? "failure_rate_undo" : `${rate}_is`);
  const worst = RATES.filter((rate) => settings[rate] > 0).map((rate) => `${name(rate)} ${percent(settings[rate])}`).join(", ");
  const isMain = REFUSING.includes(operation);
  return html`<details class="operation" open=${isMain} data-operation=${operation}><summary><b>${operation}</b> <small>${t(`op_${operation}`)}</small><span class="summary-state">${worst}</span></summary>
    ${RATES.map((rate) => html`<${Slider} key=${rate} id="${service}-${operation}-${rate}" name=${name(rate)} about=${about(rate)} max="1" step="0.01"
      value=${settings[rate]} shown=${percent(settings[rate])} onChange=${(value) => change(rate, value)} />`)}
    <${Latency} id="${service}-${operation}-latency" range=${settings.latency_ms} change=${change} /></details>`;
}
