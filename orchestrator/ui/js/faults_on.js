// A line that says which faults the failure lab makes, with a link to it. It is left out without
// faults, and for clients that may not see them.

import { useRef, useState } from "../vendor/preact/htm-preact.js";
import { get, token } from "./api.js";
import { list } from "./format.js";
import { participantName, t } from "./i18n.js";
import { Icon, html } from "./parts.js";
import { usePolling, useStore } from "./store.js";

const EVERY_MS = 5000;
/** Operations that may refuse; a failure of the others is an error. */
const REFUSING = ["charge", "decrease", "create"];
const KINDS = [
  ["refusals", (faults, name) => REFUSING.includes(name) && faults.failure_rate > 0],
  ["errors", (faults, name) => faults.unavailable_rate > 0 || (!REFUSING.includes(name) && faults.failure_rate > 0)],
  ["lost", (faults) => faults.lost_reply_rate > 0],
  ["cut", (faults) => faults.cut_connection_rate > 0],
  ["doubled", (faults) => faults.duplicate_rate > 0],
  ["delays", (faults) => faults.latency_ms.max > 0],
];

/** The kinds of faults in force, each with its services: of a service, those of all of its replicas. */
function inForce({ services }) {
  const has = ({ replicas }, is) => replicas.some(({ faults }) => Object.entries(faults ?? {}).some(([name, one]) => one?.latency_ms && is(one, name)));
  const found = KINDS.map(([kind, is]) => [kind, services.filter((service) => has(service, is)).map(({ service }) => service)]);
  return found.filter(([, names]) => names.length > 0);
}

export function FaultsOn() {
  const held = useStore(token);
  const [faults, setFaults] = useState([]);
  // The token whose holder may not see the settings: asking again would not help.
  const refused = useRef(null);
  usePolling(async (isOver) => {
    if (refused.current === held) return;
    try {
      const value = await get("ui/api/faults", { isOptional: true });
      if (!isOver()) setFaults(inForce(value));
    } catch (error) {
      if ([401, 403, 404].includes(error.status)) refused.current = held;
      if (!isOver()) setFaults([]);
    }
  }, EVERY_MS, [held]);
  const named = ([kind, names]) => t(`faults_${kind}`, { services: list(names.map(participantName)) });
  return faults.length > 0 && html`<p class="card faults-on" data-testid="faults-on"><${Icon} name="lab" size="18" />
    <span><b>${t("faultsOn")}</b> ${faults.map(named).join("; ")}. <a href="#/lab">${t("faultsChange")}</a></span></p>`;
}
