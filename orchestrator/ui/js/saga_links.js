// Links from a saga: its address and its command line to copy, its trace, and the sagas like it.

import { useEffect, useState } from "../vendor/preact/htm-preact.js";
import { address, get } from "./api.js";
import { duration, traceId } from "./format.js";
import { t } from "./i18n.js";
import { CopyButton, html } from "./parts.js";
import { isPurchase, sagasLink, sharedText } from "./sagas.js";
import { useStore } from "./store.js";
import { summary } from "./summary.js";

// With fewer sagas, a share of them says little.
const ENOUGH = 10;

/** The saga's trace in the viewer of `ui.trace_url`; nothing if that is not set. */
function TraceLink({ id }) {
  const address = useStore(summary).value?.trace_url;
  return address && html`<a id="open-trace" class="button small" href=${address.replaceAll("{trace_id}", traceId(id))} target="_blank" rel="noopener">${t("openTrace")}</a>`;
}

export function Links({ saga }) {
  const id = saga.saga_id;
  const target = address("").replace(/\/$/, "");
  const user = isPurchase(saga) && saga.input?.user_id;
  return html`<div class="saga-links" role="group" aria-label=${t("links")}>
    <${CopyButton} id="copy-link" text=${() => location.href} label=${t("copyLink")} />
    <${CopyButton} id="copy-cli" text=${() => `ecommerce inspect ${id} --target ${target}`} label=${t("copyCli")} />
    <${TraceLink} id=${id} />
    <span class="siblings">${t("siblings")} <a href=${sagasLink({ definition: saga.definition })} data-sibling="definition">${t("sameDefinition")}</a>
      ${user && html` · <a href=${sagasLink({ user_id: user })} data-sibling="user">${t("sameUser")}</a>`}
      ${saga.error && html` · <a href=${sagasLink({ status: saga.status, text: sharedText(saga.error) })} data-sibling="reason">${t("sameReason")}</a>`}</span></div>`;
}

/** How slow a saga was among those that ended in the last hour; nothing for one that was not slow. */
export function Slowness({ saga }) {
  const [all, setAll] = useState(null);
  const hasEnded = saga.ended_at !== null;
  useEffect(() => {
    if (hasEnded) get("ui/api/recent?minutes=60").then(({ all: found }) => setAll(found), () => {});
  }, [saga.saga_id, hasEnded]);
  if (!all || all.completed + all.compensated + all.failed < ENOUGH) return null;
  const took = duration(saga);
  const text = took > all.p99_ms ? "slowerThan99" : took > all.p90_ms ? "slowerThan9" : null;
  return text && html` <small class="slowness" data-testid="slowness">${t(text)}</small>`;
}
