// The effects of a purchase on money and stock, in one sentence.

import { exactClock } from "./format.js";
import { t } from "./i18n.js";
import { isPurchase, shownAmount } from "./sagas.js";

/** Chooses the text for a step by the state of its action and its own. */
function textOf({ action, state }, { status, resolution }, texts) {
  const isSettled = Boolean(resolution);
  if (action === "done") {
    if (state === "compensated") return texts.undone;
    if (status === "COMPLETED") return texts.done;
    if (status === "COMPENSATED") return texts.kept;
    return isSettled ? texts.settled : texts.waiting;
  }
  if (action === "unknown") return state === "compensated" ? texts.undoneIfDone : texts.unknown;
  return null;
}

/** Nothing for a purchase that still runs forward, one whose details were deleted, and a saga that is not a purchase. */
export function effects(saga) {
  const step = (name) => saga.steps.find(({ step: other }) => other === name);
  const [charge, decrease] = [step("charge"), step("decrease")];
  if (!isPurchase(saga) || saga.status === "PENDING" || !charge || !decrease) return null;
  const money = textOf(charge, saga, { undone: "moneyBack", done: "moneyTaken", kept: "moneyWaits", waiting: "moneyWaits", settled: "moneySettled", undoneIfDone: "moneyBackIfTaken", unknown: "moneyUnknown" });
  const stock = textOf(decrease, saga, { undone: "stockBack", done: "stockTaken", kept: "stockStays", waiting: "stockIsTaken", settled: "stockSettled", undoneIfDone: "stockBack", unknown: "stockUnknown" });
  if (!money && !stock) return t("nothingTaken");
  // After a repeated request or a takeover the effect may be older than the answer.
  const moment = (time, attempts) => (time ? t(attempts === 1 && saga.takeovers.length === 0 ? "momentAt" : "momentBy", { time: exactClock(time) }) : "–");
  const values = { amount: shownAmount(saga.input?.amount), product: saga.outputs.choose?.product_id ?? saga.input?.product_id ?? "–", taken: moment(charge.finished_at, charge.attempts), back: moment(charge.compensation?.finished_at, charge.compensation?.attempts) };
  return t("effects", { money: t(money ?? "noMoney", values), stock: t(stock ?? "noStock", values) });
}
