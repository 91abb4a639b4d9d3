// The records of the saga log and of each participant for one saga, side by side; loaded on a click.

import { useState } from "../vendor/preact/htm-preact.js";
import { get } from "./api.js";
import { participantName, t } from "./i18n.js";
import { Failure, Loading, html } from "./parts.js";

const HIDDEN = ["timeline", "steps", "outputs"];

function Pairs({ of }) {
  const rows = Object.entries(of).filter(([name, value]) => value !== null && !HIDDEN.includes(name));
  const text = (value) => (typeof value === "object" ? JSON.stringify(value) : String(value));
  return html`<dl class="pairs">${rows.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${text(value)}</dd></div>`)}</dl>`;
}

function Held({ held }) {
  if (held.error) return html`<p class="bad">${t("holdsNoAnswer", { reason: held.error })}</p>`;
  if (held.journal.length === 0) return html`<p class="note">${t("holdsNothing")}</p>`;
  return held.journal.map((entry) => html`<${Pairs} of=${entry} />`);
}

export function Compared({ id }) {
  const [state, setState] = useState({});
  const look = async () => {
    setState({ isLoading: true });
    try {
      setState({ value: await get(`saga/${id}/inspect`) });
    } catch (error) {
      setState({ error });
    }
  };
  const { value, error, isLoading } = state;
  return html`<section class="card compare"><header><h2>${t("holds")}</h2><button id="compare" class="button small" onClick=${look}>${t("holdsShow")}</button></header>
    ${isLoading && html`<${Loading} />`}${error && html`<${Failure} error=${error} again=${look} />`}
    ${value && html`<div class="held"><div><h3>${participantName("orchestrator")}</h3>${value.log ? html`<${Pairs} of=${value.log} />` : html`<p class="note">${t("holdsNothing")}</p>`}</div>
      ${Object.entries(value.participants).map(([name, held]) => html`<div key=${name}><h3>${participantName(name)}</h3><${Held} held=${held} /></div>`)}</div>`}</section>`;
}
