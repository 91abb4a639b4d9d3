// Numbers, times and amounts in the format of the chosen language.

import { language, participantName, t } from "./i18n.js";

const cache = new Map();

function formatter(kind, options) {
  const key = `${language.get()} ${kind.name} ${JSON.stringify(options)}`;
  if (!cache.has(key)) cache.set(key, new kind(language.get(), options));
  return cache.get(key);
}

export const number = (value, digits = 0) =>
  formatter(Intl.NumberFormat, { maximumFractionDigits: digits }).format(value);
export const compact = (value) =>
  value < 100_000 ? number(value) : formatter(Intl.NumberFormat, { notation: "compact", maximumFractionDigits: 2 }).format(value);
export const percent = (value, digits = 0) =>
  formatter(Intl.NumberFormat, { style: "percent", maximumFractionDigits: digits }).format(value);
export const amount = (value) =>
  formatter(Intl.NumberFormat, { minimumFractionDigits: 2, maximumFractionDigits: 2 }).format(value);
/** Names in a row, with the last two joined by a word. */
export const list = (names) => formatter(Intl.ListFormat, { type: "conjunction" }).format(names);
export const clock = (date) => formatter(Intl.DateTimeFormat, { timeStyle: "medium" }).format(new Date(date));
/** A time of day with tenths of a second. */
export const exactClock = (date) =>
  formatter(Intl.DateTimeFormat, { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 1 }).format(new Date(date));
export const moment = (date) =>
  formatter(Intl.DateTimeFormat, { dateStyle: "medium", timeStyle: "medium" }).format(new Date(date));

/** A time to the millisecond, for a look at one. */
export const exact = (date) =>
  formatter(Intl.DateTimeFormat, { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, timeZoneName: "short" }).format(new Date(date));

/** The time that is left until a moment; one that has passed is now. */
export function until(date) {
  const seconds = Math.ceil((new Date(date) - Date.now()) / 1000);
  return seconds > 0 ? t("inTime", { time: span(seconds * 1000) }) : t("now");
}

const inUnits = (whole, unit, part, smaller) => (part > 0 ? `${whole} ${unit} ${part} ${smaller}` : `${whole} ${unit}`);

/** A span of time in a suitable unit, or in two. */
export function span(ms) {
  if (ms === null || ms === undefined || Number.isNaN(ms)) return "–";
  if (ms < 1) return `${number(ms, 1)} ms`;
  if (ms < 1000) return `${number(ms)} ms`;
  if (ms < 60_000) return `${number(ms / 1000, 1)} s`;
  if (ms < 3_600_000) return inUnits(Math.floor(ms / 60_000), "min", Math.floor((ms % 60_000) / 1000), "s");
  if (ms < 86_400_000) return inUnits(Math.floor(ms / 3_600_000), "h", Math.floor((ms % 3_600_000) / 60_000), "min");
  return inUnits(Math.floor(ms / 86_400_000), "d", Math.floor((ms % 86_400_000) / 3_600_000), "h");
}

export function ago(date) {
  const seconds = (new Date(date) - Date.now()) / 1000;
  const relative = formatter(Intl.RelativeTimeFormat, { numeric: "auto", style: "short" });
  if (seconds > -60) return relative.format(Math.min(0, Math.round(seconds)), "second");
  if (seconds > -3600) return relative.format(Math.round(seconds / 60), "minute");
  if (seconds > -86_400) return relative.format(Math.round(seconds / 3600), "hour");
  return relative.format(Math.round(seconds / 86_400), "day");
}

// Letters that are written from right to left, and characters that change the direction.
const TURNS = /[\u0590-\u08ff\u200e\u200f\u202a-\u202e\u2066-\u2069\ufb1d-\ufdff\ufe70-\ufeff]/;
/** A text of somebody else within one of ours: its direction of writing does not reach what follows. */
export const isolated = (text) => (TURNS.test(text ?? "") ? `\u2068${text}\u2069` : text);

/** The last part of an id: ids sort by time, so neighbours differ only there. */
export const shortId = (id) => `…${id.slice(-8)}`;

/** The trace id of a saga: all its calls carry the saga's id as trace id. */
export const traceId = (id) => id.replaceAll("-", "");

/** A saga's error as text: the service that refused, and why. An error of another form is shown unchanged. */
export function explained(error) {
  if (!error) return "";
  const refusal = /^\d{3}: ([\w-]+) conflict: (.*)$/s.exec(error);
  if (refusal) return t("why_refused", { service: participantName(refusal[1]), message: refusal[2] });
  const silence = /^503: Service ([\w-]+) unavailable$/.exec(error);
  if (silence) return t("why_unavailable", { service: participantName(silence[1]) });
  const timeout = /^504: Timeout while communicating with ([\w-]+)$/.exec(error);
  if (timeout) return t("why_timeout", { service: participantName(timeout[1]) });
  const stuck = /^([\w-]+) is not undone: (.*)$/s.exec(error);
  if (stuck) return t("why_notUndone", { step: stuck[1], message: explained(stuck[2]) });
  const answered = /^([\w-]+) answered (\d{3})$/.exec(error);
  if (answered) return t("why_answered", { service: answered[1], status: answered[2] });
  const breaker = /^the circuit breaker of ([\w.-]+) is open$/.exec(error);
  if (breaker) return t("why_breaker", { operation: breaker[1] });
  if (error === "no answer in time") return t("why_late");
  if (error === "408: Deadline passed") return t("why_deadline");
  return error === "409: Cancelled" ? t("why_cancelled") : error;
}

/** Milliseconds from the acceptance of a saga to its end, or to now. */
export function duration({ created_at: from, completed_at: completed, ended_at: ended }) {
  const end = completed ?? ended;
  return (end ? new Date(end) : Date.now()) - new Date(from);
}
