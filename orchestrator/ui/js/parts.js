// Small components that all views share: icons, statuses, and the states of loaded data.

import { html, useEffect, useRef, useState } from "../vendor/preact/htm-preact.js";
import { exact } from "./format.js";
import { participantName, t } from "./i18n.js";

export { html };

// Drawn on 24 × 24. Every status has its own shape, so that colour is never the only difference.
const SHAPES = {
  PENDING: "M12 3a9 9 0 1 0 9 9M12 3v4",
  COMPENSATING: "M4 10h11a5 5 0 0 1 0 10H9M4 10l4-4m-4 4 4 4",
  COMPLETED: "M5 12.5l4.5 4.5L19 7.5",
  COMPENSATED: "M9 7L4 12l5 5M4 12h16",
  FAILED: "M12 4v9M12 18v1.5",
  definitions: "M4 12a2.5 2.5 0 1 0 5 0 2.5 2.5 0 1 0-5 0M15 5.5a2.5 2.5 0 1 0 5 0 2.5 2.5 0 1 0-5 0M15 18.5a2.5 2.5 0 1 0 5 0 2.5 2.5 0 1 0-5 0M8.5 10.5l7-4M8.5 13.5l7 4",
  overview: "M4 20V10m6 10V4m6 16v-8m4 8H3",
  attention: "M12 9v4m0 3.5v.1M10.3 4.3 2.9 17a2 2 0 0 0 1.7 3h14.8a2 2 0 0 0 1.7-3L13.7 4.3a2 2 0 0 0-3.4 0z",
  services: "M4 5h16v5H4zM4 14h16v5H4zM7.5 7.5h.1M7.5 16.5h.1",
  stock: "M4 8l8-4 8 4v8l-8 4-8-4zM4 8l8 4 8-4M12 12v8",
  lab: "M10 3v6l-5.5 9A2 2 0 0 0 6.2 21h11.6a2 2 0 0 0 1.7-3L14 9V3M8.5 3h7M8 15h8",
  pending: "M12 12h.1", running: "M12 3a9 9 0 1 0 9 9", backing_off: "M4 12a8 8 0 1 1 3 6.2M4 20v-5h5",
  done: "M5 12.5l4.5 4.5L19 7.5", refused: "M6 6l12 12M18 6L6 18", unknown: "M9 9a3 3 0 1 1 4 2.8c-.7.3-1 .9-1 1.7v.5m0 3v.1",
  compensating: "M4 10h11a5 5 0 0 1 0 10H9M4 10l4-4m-4 4 4 4", compensated: "M9 7L4 12l5 5M4 12h16",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1", cart: "M3 4h2.5l2.2 11h10.6L20.5 8H7M9.5 20h.1M17 20h.1", arrow: "M5 12h14m-5-5 5 5-5 5", left: "M19 12H5m5-5-5 5 5 5", key: "M14 10a4 4 0 1 0-3.5 4L13 16h3v3h3v-3l-5-5z",
};

/** The outline of an icon, for drawings that are SVG themselves. */
export const shape = (name) => SHAPES[name];

export function Icon({ name, size = 16 }) {
  return html`<svg class="icon" width=${size} height=${size} viewBox="0 0 24 24" aria-hidden="true" fill="none"
    stroke="currentColor" stroke-width="2.2" stroke-linecap="round" stroke-linejoin="round"><path d=${SHAPES[name]} /></svg>`;
}

export function Status({ status }) {
  return html`<span class="status status-${status}" data-status=${status}><${Icon} name=${status} size="14" />${t(status)}</span>`;
}

/** A time as text, and to the millisecond on a look. */
export const Time = ({ at, children }) => html`<time datetime=${at} title=${exact(at)}>${children}</time>`;

/** A step's state as text: in a saga that turned back, a pending step is skipped. */
export function stateName({ state }, { status, resolution }) {
  if (state === "pending" && status !== "PENDING") return t("skipped");
  return t(state === "compensating" && resolution ? "notConfirmed" : state);
}

// More steps than this are shown as one mark per state.
const MARKS = 5;

function Mark({ state, name, count }) {
  return html`<span class="mark mark-${state} ${count ? "counted" : ""}" title=${name}><${Icon} name=${state} size="12" />${count && html`<b aria-hidden="true">${count}</b>`}<span class="hidden">${name}</span></span>`;
}

/** The states of a saga's steps as small marks with names. */
export function StepMarks({ saga }) {
  const { steps } = saga;
  if (steps.length <= MARKS) {
    return html`<div class="marks">${steps.map((step) => html`<${Mark} key=${step.step} state=${step.state} name="${participantName(step.participant)}: ${stateName(step, saga)}" />`)}</div>`;
  }
  const groups = Map.groupBy(steps, ({ state }) => state);
  return html`<div class="marks">${[...groups].map(([state, [first, ...others]]) => html`
    <${Mark} key=${state} state=${state} count=${others.length + 1} name="${others.length + 1} ${stateName(first, saga)}" />`)}</div>`;
}

// Shorter values stand on one line; longer texts than this scroll.
const ONE_LINE = 48;
const LINES_SHOWN = 18;

/** A value as JSON. A long one scrolls, so the keyboard must reach it. */
export function Json({ value, label }) {
  const indented = JSON.stringify(value, null, 2);
  const flat = indented.replace(/\n */g, " ");
  const text = flat.length <= ONE_LINE ? flat : indented;
  const reach = text.split("\n").length > LINES_SHOWN ? { tabindex: 0, role: "region", "aria-label": label } : {};
  return html`<pre class="json" ...${reach}>${text}</pre>`;
}

export const Loading = () => html`<p class="note" role="status"><span class="spinner"></span>${t("loading")}</p>`;

export const Empty = ({ icon = "cart", children }) =>
  html`<div class="empty"><span class="empty-icon"><${Icon} name=${icon} size="28" /></span><p>${children}</p></div>`;

export function Failure({ error, again }) {
  const reason = error.status === 0 ? t("noAnswer") : error.message;
  return html`<div class="failure" role="alert"><${Icon} name="attention" />
    <span>${t("failedLoad", { reason })}</span>
    ${again && html`<button class="button small" onClick=${again}>${t("retryLoad")}</button>`}</div>`;
}

/** Shows loaded data, a spinner, or an error. Data that was loaded once stays while it is reloaded. */
export function Loaded({ value, error, again, children }) {
  if (value) return children(value);
  return error ? html`<${Failure} error=${error} again=${again} />` : html`<${Loading} />`;
}

/** Copies a text. Over plain HTTP a browser has no clipboard for scripts, but takes the copy of a selection. */
async function copied(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text).then(() => true, () => false);
  const field = document.createElement("textarea");
  field.value = text;
  document.body.append(field);
  field.select();
  const isDone = document.execCommand("copy");
  field.remove();
  return isDone;
}

function useCopy() {
  const [isDone, setIsDone] = useState(false);
  const copy = async (text) => {
    if (!(await copied(text))) return;
    setIsDone(true);
    setTimeout(() => setIsDone(false), 1500);
  };
  return [isDone, copy];
}

export function Copy({ text, label }) {
  const [isDone, copy] = useCopy();
  const name = isDone ? t("copied") : `${t("copy")}: ${label}`;
  return html`<button class="ghost" onClick=${() => copy(text)} title=${name} aria-label=${name}><${Icon} name=${isDone ? "done" : "copy"} size="14" /></button>`;
}

/** A button with a name; its text is made when it is copied. */
export function CopyButton({ id, text, label }) {
  const [isDone, copy] = useCopy();
  return html`<button id=${id} class="button small" onClick=${() => copy(text())}><${Icon} name=${isDone ? "done" : "copy"} size="14" />${isDone ? t("copied") : label}</button>`;
}

/** A dialog over the page; the browser keeps the focus in it, and Escape closes it. */
export function Dialog({ title, onClose, children }) {
  const element = useRef();
  useEffect(() => {
    element.current.showModal();
    return () => element.current?.close();
  }, []);
  const outside = (event) => event.target === element.current && onClose();
  return html`<dialog ref=${element} onCancel=${(event) => { event.preventDefault(); onClose(); }} onClick=${outside} aria-labelledby="dialog-title">
    <div class="dialog"><h2 id="dialog-title">${title}</h2>${children}</div></dialog>`;
}
