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
  const [isBusy, setIsBusy] = useState(false);
  const start = async (count) => {
    setIsBusy(true);
    await buyMany(count);
    setIsBusy(false);
  };
  return html`<div class="buy">
    <button id="buy" class="button primary" disabled=${isBusy} onClick=${() => start(1)}><${Icon} name="cart" />${t("buy")}</button>
    <button id="buy-100" class="button" disabled=${isBusy} onClick=${() => start(100)}>${isBusy ? t("buying") : t("buy100")}</button></div>`;
}
