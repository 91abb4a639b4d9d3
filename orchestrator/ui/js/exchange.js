// The request and the answer of each step, for operators: the answer from the participant's journal, the request made
// anew from the saga log. A participant without a journal has the outputs that the log kept.

import { useState } from "../vendor/preact/htm-preact.js";
import { get } from "./api.js";
import { exact, exactClock, explained, span } from "./format.js";
import { t } from "./i18n.js";
import { Failure, Json, Loading, Time, html } from "./parts.js";

/** Reads the records of the saga once they are wanted, and again each time. */
export function useRecords(id) {
  const [state, setState] = useState({});
  const load = async () => {
    try {
      const value = await get(`saga/${encodeURIComponent(id)}/inspect`);
      setState({ value });
    } catch (error) {
      setState({ error });
    }
  };
  return { ...state, load };
}

function Attempts({ list, name, saga }) {
  // A call that the end of its saga overtook has no change of its own at its end.
  const open = saga.ended_at ? "–" : t("running");
  return list.length > 0 && html`<table class="attempts" data-testid="attempts"><caption>${name}</caption>
    <thead><tr><th scope="col">${t("attempt")}</th><th scope="col">${t("started")}</th><th scope="col">${t("took")}</th><th scope="col">${t("lastError")}</th><th scope="col">${t("pause")}</th></tr></thead>
    <tbody>${list.map(({ n, from, to, error, pauseMs }) => html`<tr key=${n}><td>${n}</td><td><${Time} at=${from}>${exactClock(from)}</${Time}></td>
      <td>${to ? span(new Date(to) - new Date(from)) : open}</td><td class="attempt-error">${explained(error) || "–"}</td><td>${pauseMs === null ? "–" : span(pauseMs)}</td></tr>`)}</tbody></table>`;
}

// Participants that a user names call their operations by these names.
const isOf = (entry, { kind, request, step }) => [request.operation, kind].includes(entry.operation) && (entry.step ?? step.step) === step.step;

function Answer({ kind, request, step, held, outputs }) {
  if (held?.error) return html`<p class="bad">${t("holdsNoAnswer", { reason: held.error })}</p>`;
  const entry = held?.journal.find((one) => isOf(one, { kind, request, step }));
  if (entry) {
    return html`<p><b class="code">${entry.status}</b> <${Time} at=${entry.decided_at}>${exact(entry.decided_at)}</${Time}> · ${t("fromJournal")}</p><${Json} value=${entry.reply} label=${t("answer")} />`;
  }
  if (held) return html`<p class="note">${t("noEntry")}</p>`;
  return html`<p>${t("fromLog")}</p><${Json} value=${outputs ?? {}} label=${t("answer")} />`;
}

function Call({ title, request, children }) {
  return html`<section class="call"><h4>${title}</h4><div class="exchange">
    <div><h5>${t("request")}</h5><p><b class="code">${request.method} ${request.path}</b></p>${request.body ? html`<${Json} value=${request.body} label=${t("request")} />` : html`<p class="note">${t("noBodySent")}</p>`}</div>
    <div><h5>${t("answer")}</h5>${children}</div></div></section>`;
}

function Calls({ step, saga, records }) {
  const { requests, participants } = records;
  const { action, compensation } = requests[step.step] ?? {};
  if (!action && !compensation) return html`<p class="note">${t("noRequest")}</p>`;
  const of = { step, held: participants[step.participant] };
  return html`${action && html`<${Call} title=${t("action")} request=${action}><${Answer} ...${of} kind="action" request=${action} outputs=${saga.outputs[step.step]} /></${Call}>`}
    ${compensation && html`<${Call} title=${t("undo")} request=${compensation}><${Answer} ...${of} kind="compensation" request=${compensation} /></${Call}>`}`;
}

export function Exchange({ step, saga, records, attempts }) {
  const { value, error, load } = records;
  return html`<details class="exchanges" data-testid="exchange" onToggle=${(event) => event.target.open && load()}><summary>${t("exchange")}</summary>
    <${Attempts} list=${attempts?.action ?? []} name=${t("action")} saga=${saga} /><${Attempts} list=${attempts?.undo ?? []} name=${t("undo")} saga=${saga} />
    ${value ? html`<${Calls} step=${step} saga=${saga} records=${value} />` : error ? ([401, 403].includes(error.status) ? html`<p class="note">${t("operatorsOnly")}</p>` : html`<${Failure} error=${error} again=${load} />`) : html`<${Loading} />`}</details>`;
}
