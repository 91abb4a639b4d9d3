// Circuit breakers that are not closed, as red pills: which operation, its next probe, and the calls turned away.

import { number, until } from "./format.js";
import { participantName, t } from "./i18n.js";
import { Icon, Time, html } from "./parts.js";
import { useTick } from "./store.js";

const SECOND_MS = 1000;

function Pill({ breaker }) {
  const { operation, state, next_probe_at: at, turned_away: count } = breaker;
  const [participant, ...name] = operation.split(".");
  const probe = state === "open" ? t("nextProbe", { time: until(at) }) : t("probing");
  return html`<span class="pill bad breaker" data-breaker=${operation} data-state=${state}><${Icon} name="refused" size="12" /><span>${t("breakerOpen", { participant: participantName(participant), operation: name.join(".") })} · <${Time} at=${at}>${probe}</${Time}>${count > 0 && ` · ${t("turnedAway", { n: number(count) })}`}</span></span>`;
}

export function Breakers({ of }) {
  useTick(of.length > 0, SECOND_MS);
  return of.length > 0 && html`<div class="breakers">${of.map((breaker) => html`<${Pill} breaker=${breaker} key=${breaker.operation} />`)}</div>`;
}
