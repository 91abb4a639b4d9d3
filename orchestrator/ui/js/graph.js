// The graph of a definition as SVG: a box for each step, an arrow to each step that comes directly after it. With a
// saga, boxes have the state of its steps. The title of a box is its sentence for screen readers.

import { useEffect, useRef, useState } from "../vendor/preact/htm-preact.js";
import { participantName, t } from "./i18n.js";
import { layers, narrow, wide } from "./layout.js";
import { html, shape, stateName } from "./parts.js";

const HEIGHT = 50;
const GAP = { x: 56, y: 14 };
// Tried in turn: the length of arrows, and the least width of boxes with it.
const FITS = [{ x: GAP.x, least: 176 }, { x: 32, least: 148 }];
const WIDEST = 216;
const NARROW_NODE = { height: 48 };
// The widest narrow drawing: longer boxes would be empty.
const WIDEST_NARROW = 560;
// Sizes of letters in pixels, tried in turn.
const NAME_SIZES = [14, 13, 12];
const DETAIL_SIZES = [12.5, 11.5];
const PADDING = 3;
const ICON = 14;
const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif";

const pen = document.createElement("canvas").getContext("2d");

/** Fits a text into a width in pixels, by smaller letters or else by a cut; the whole text is in the title of the box. */
function fitted(text, width, weight, sizes) {
  for (const size of sizes) {
    pen.font = `${weight} ${size}px ${FONT}`;
    if (pen.measureText(text).width <= width) return { text, size };
  }
  let length = text.length;
  while (length > 1 && pen.measureText(`${text.slice(0, length)}…`).width > width) length -= 1;
  return { text: `${text.slice(0, length)}…`, size: sizes.at(-1) };
}

function useWidth(element) {
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const measure = () => setWidth(element.current?.clientWidth ?? 0);
    const observer = new ResizeObserver(measure);
    observer.observe(element.current);
    measure();
    return () => observer.disconnect();
  }, []);
  return width;
}

/** The wide form where it fits, with smaller boxes and shorter arrows if need be; else the narrow one. */
function placed(steps, room) {
  const columns = Math.max(...layers(steps).values()) + 1;
  for (const { x, least } of FITS) {
    const width = Math.min(WIDEST, Math.floor((room - (columns - 1) * x) / columns));
    const node = { width, height: HEIGHT };
    if (width >= least) return { ...wide(steps, node, { ...GAP, x }), node, form: "wide" };
  }
  const node = { ...NARROW_NODE, width: Math.min(room, WIDEST_NARROW) };
  const below = narrow(steps, node, GAP);
  return { ...below, node: { ...node, width: node.width - below.indent }, form: "narrow" };
}

function sentence(step, state) {
  const after = step.after.length === 0 ? t("graphFirst") : t("graphAfter", { steps: step.after.join(", ") });
  return [step.name, participantName(step.participant), state ?? t(`kind_${step.kind}`), after].join(", ");
}

function Node({ step, at, node, state, text, onOpen }) {
  const room = node.width - 24;
  const label = sentence(step, state && text);
  const open = onOpen && (() => onOpen(step.name));
  const press = open && ((event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    open();
  });
  const interaction = open ? { role: "button", tabindex: 0, onClick: open, onKeyDown: press } : { role: "img" };
  const isMarked = Boolean(state);
  // Most steps can be undone, so only the label says it.
  const about = isMarked ? text : step.kind !== "compensable" && t(`kind_${step.kind}`);
  const name = fitted(step.name, room - (isMarked ? 18 : 0), 650, NAME_SIZES);
  const below = fitted([participantName(step.participant), about].filter(Boolean).join(" · "), room, 400, DETAIL_SIZES);
  return html`<g class="node node-${state ?? "plain"} kind-${step.kind}" data-node=${step.name} data-state=${state} transform="translate(${at.x} ${at.y})" ...${interaction}>
    <title>${label}</title><rect width=${node.width} height=${node.height} rx="10" />
    ${isMarked && html`<path class="node-icon" d=${shape(state)} transform="translate(10 9) scale(${ICON / 24})" />`}
    <text class="node-name" x=${isMarked ? 30 : 12} y="21" style=${{ fontSize: `${name.size}px` }}>${name.text}</text>
    <text class="node-detail" x="12" y=${node.height - 11} style=${{ fontSize: `${below.size}px` }}>${below.text}</text></g>`;
}

const hasHappened = (state) => ["done", "compensating", "compensated"].includes(state);

/** `steps`: those of the definition. `saga`: with steps of its own, or none. `onOpen`: called with a step's name. */
export function Graph({ steps, saga, label, onOpen }) {
  const element = useRef();
  const width = useWidth(element);
  const room = width - 2 * PADDING;
  const drawing = room > 0 ? placed(steps, room) : null;
  const states = new Map((saga?.steps ?? []).map((step) => [step.step, { state: step.state, text: stateName(step, saga) }]));
  const byName = new Map(steps.map((step) => [step.name, step]));
  const isTaken = ({ from }) => from.every((name) => hasHappened(states.get(name)?.state));
  const picture = drawing && html`<svg class="graph" role="group" aria-label=${label} data-form=${drawing.form} width=${drawing.width + 2 * PADDING} height=${drawing.height + 2 * PADDING}
      viewBox="${-PADDING} ${-PADDING} ${drawing.width + 2 * PADDING} ${drawing.height + 2 * PADDING}">
    ${drawing.edges.map((edge) => html`<g class="edge ${isTaken(edge) ? "taken" : ""}" aria-hidden="true" data-edge="${edge.from.join(",")}>${edge.to.join(",")}"><path d=${edge.path} />
      ${edge.arrows.map(({ x, y, turn }) => html`<path class="arrow" d="M-8,-4.5L0,0L-8,4.5z" transform="translate(${x} ${y}) rotate(${turn})" />`)}</g>`)}
    ${drawing.nodes.map((at) => html`<${Node} key=${at.name} step=${byName.get(at.name)} at=${at} node=${drawing.node} state=${states.get(at.name)?.state} text=${states.get(at.name)?.text} onOpen=${onOpen} />`)}</svg>`;
  return html`<div class="graph-frame" ref=${element}>${picture}</div>`;
}
