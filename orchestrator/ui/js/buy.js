// "Buy" and "Buy 100": start purchases of invented users without waiting for their ends.

import { useState } from "../vendor/preact/htm-preact.js";
import { buy } from "./api.js";
import { t } from "./i18n.js";
import { Icon, html } from "./parts.js";
import { say } from "./toasts.js";
import { number } from "./format.js";

const AT_A_TIME = 10;
const USERS = ["ada", "alan", "barbara", "dennis", "edsger", "grace", "ken", "margaret"];

async function buyMany(count) {
  let left = count;
  let accepted = 0;
  let failure = null;
  const worker = async () => {
    while (left > 0 && !failure) {
      left -= 1;
      try {
        await buy(USERS[Math.floor(Math.random() * USERS.length)]);
        accepted += 1;
      } catch (error) {
        failure = error;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_A_TIME, count) }, worker));
  const reason = failure?.status === 0 ? t("noAnswer") : failure?.message;
  if (failure) say(t("boughtSome", { n: number(accepted), all: number(count), reason }), "bad");
  else say(accepted === 1 ? t("boughtOne") : t("bought", { n: number(accepted) }));
}

export function BuyButtons() {
  const [buying, setBuying] = useState(0);
  const start = async (count) => {
    setBuying(count);
    await buyMany(count);
    setBuying(0);
  };
  const label = (count, text) => t(buying === count ? "buying" : text);
  return html`<div class="buy">
    <button id="buy" class="button primary" disabled=${buying > 0} onClick=${() => start(1)}><${Icon} name="cart" />${label(1, "buy")}</button>
    <button id="buy-100" class="button" disabled=${buying > 0} onClick=${() => start(100)}>${label(100, "buy100")}</button></div>`;
}
