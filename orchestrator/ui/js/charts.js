// Throughput, durations and reasons of the sagas that ended within a range of time; the charts are drawn by uPlot. The
// same numbers are beside the charts as text, because a canvas is not accessible to screen readers.

import { useEffect, useRef, useState } from "../vendor/preact/htm-preact.js";
import uPlot from "../vendor/uplot/uPlot.esm.js";
import { go, withParameters } from "./address.js";
import { get } from "./api.js";
import { clock, explained, moment, number, span } from "./format.js";
import { language, t } from "./i18n.js";
import { Failure, Time, html } from "./parts.js";
import { sagasLink, sharedText } from "./sagas.js";
import { usePolling } from "./store.js";

const HEIGHT = 168;
// Minutes of each range, and how often it is read.
const RANGES = [{ minutes: "5", name: "fiveMinutes", everyMs: 2000 }, { minutes: "60", name: "anHour", everyMs: 10_000 }, { minutes: "1440", name: "aDay", everyMs: 30_000 }];

/** Reads the current colours of the style sheet, because a canvas cannot use CSS variables. */
function colours(names) {
  const probe = document.createElement("i");
  document.body.append(probe);
  const read = names.map((name) => {
    probe.className = `probe-${name}`;
    return getComputedStyle(probe).color;
  });
  probe.remove();
  return read;
}

const faded = (colour, alpha) => colour.replace("rgb(", "rgba(").replace(")", `, ${alpha})`);

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY_MS = 24 * HOUR * 1000;
// Distances of labels: of times of the day in seconds, of durations in milliseconds. All of them are round.
const TIME_STEPS = [...[1, 2, 5, 10, 15, 30].map((n) => n * MINUTE), ...[1, 2, 3, 4, 6, 8, 12].map((n) => n * HOUR)];
const DURATION_STEPS = [0.1, 0.2, 0.5, ...[1, 10, 100].flatMap((ten) => [ten, 2 * ten, 5 * ten]), ...[1, 2, 5, 10, 15, 30].map((n) => n * 1000),
  ...TIME_STEPS.map((s) => s * 1000), ...[1, 2, 5, 10, 20, 50, 100, 200, 500].map((n) => n * DAY_MS)];

// Width of a character of the labels, and the space beside them.
const CHARACTER = 7;
const BESIDE = 16;

/** The longest label decides the width of its axis, so that none is cut. */
const widthOf = (_, labels) => BESIDE + CHARACTER * Math.max(4, ...(labels ?? []).map((label) => String(label).length));

function axes({ format, steps, hasEnds }, grid, text) {
  const shared = { stroke: text, grid: { stroke: grid, width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
  const hour = new Intl.DateTimeFormat(language.get(), { timeStyle: "short" });
  return [
    // The labels need room on both sides.
    { ...shared, grid: { show: false }, size: 30, space: 70, incrs: TIME_STEPS, values: (_, splits) => splits.map((second) => hour.format(second * 1000)) },
    { ...shared, size: widthOf, space: 32, incrs: steps, values: (_, splits) => splits.map((value) => (hasEnds() ? format(value) : "")) },
  ];
}

const intervalOf = ([at]) => at[1] - at[0];

/** The values without a neighbour: a line does not show them. */
const alone = ({ data }, series) => [...data[series].keys()].filter((at) => data[series][at] !== null && (data[series][at - 1] ?? null) === null && (data[series][at + 1] ?? null) === null);

/** A chart that is drawn again when theme, language or width change, and otherwise only gets new data. */
function Chart({ data, series, format, steps, label, rangeS, onLook }) {
  const element = useRef();
  const chart = useRef(null);
  const latest = useRef(data);
  latest.current = data;
  const looked = useRef(onLook);
  looked.current = onLook;
  useEffect(() => {
    const draw = () => {
      chart.current?.destroy();
      const width = element.current.clientWidth;
      const names = series.map(({ colour }) => colour);
      const [grid, text, ...strokes] = colours(["grid", "muted", ...names]);
      const lines = series.map(({ fill, dash, width: thickness = 2 }, index) => ({
        stroke: strokes[index], fill: fill ? faded(strokes[index], fill) : undefined, dash, width: thickness,
        points: fill ? { show: false } : { show: true, size: 5, fill: strokes[index], filter: alone }, spanGaps: false, paths: fill ? uPlot.paths.bars({ size: [0.86, 40], align: 1, radius: 0.15 }) : undefined,
      }));
      const hasEnds = () => latest.current.slice(1).some((values) => values.some((value) => value !== null));
      chart.current = new uPlot({
        // Half of the last label of time is beyond the end of its axis.
        width, height: HEIGHT, padding: [10, 32, 0, 0], legend: { show: false },
        cursor: { y: false, points: { show: false }, drag: { x: false, y: false } }, hooks: { setCursor: [({ cursor: { idx } }) => looked.current(idx ?? null)] },
        scales: { x: { time: true, range: (_, __, max) => [max - rangeS, max + intervalOf(latest.current)] }, y: { range: (_, __, max) => [0, Math.max(max, 0.001) * 1.15] } },
        axes: axes({ format, steps, hasEnds }, grid, text), series: [{}, ...lines],
      }, latest.current, element.current);
    };
    draw();
    let width = element.current.clientWidth;
    const resized = new ResizeObserver(() => {
      if (element.current && element.current.clientWidth !== width) {
        width = element.current.clientWidth;
        draw();
      }
    });
    resized.observe(element.current);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    addEventListener("themechange", draw);
    dark.addEventListener("change", draw);
    return () => {
      resized.disconnect();
      removeEventListener("themechange", draw);
      dark.removeEventListener("change", draw);
      chart.current?.destroy();
      chart.current = null;
    };
  }, []);
  useEffect(() => chart.current?.setData(data), [data]);
  return html`<div class="chart" ref=${element} role="img" aria-label=${label}></div>`;
}

/** All intervals of the range up to now; those without an end have no durations, and leave a gap. */
function intervals({ now, minutes, interval_s: length, intervals: known }) {
  const end = Math.floor(new Date(now) / 1000 / length) * length;
  const count = (minutes * 60) / length + 1;
  const byTime = new Map(known.map((interval) => [interval.at, interval]));
  return Array.from({ length: count }, (_, index) => {
    const at = end - (count - 1 - index) * length;
    return byTime.get(at) ?? { at, completed: 0, compensated: 0, failed: 0, p50_ms: null, p90_ms: null, p99_ms: null };
  });
}

function Key({ items }) {
  return html`<dl class="key">${items.map(({ colour, dash, name, value }) => html`
    <div key=${name}><dt><i class="swatch probe-${colour} ${dash ? "dashed" : ""}"></i>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

/** A chart with its numbers: of the whole range, or of the interval under the pointer. */
function Panel({ id, title, about, empty, children }) {
  return html`<section class="card chart-card" data-testid=${id}><header><h2>${title}</h2><small>${about}</small></header>${children}${empty && html`<p class="chart-empty">${empty}</p>`}</section>`;
}

const RATES = [["COMPLETED", "completed"], ["COMPENSATED", "compensated"], ["FAILED", "failed"]];
const TIMES = ["p50", "p90", "p99"];

function Rates({ shown, recent, range }) {
  const [looked, look] = useState(null);
  const length = recent.interval_s;
  const column = (...names) => shown.map((interval) => names.reduce((sum, name) => sum + interval[name], 0) / length || null);
  const interval = shown[looked];
  const rate = (name) => (interval ? interval[name] / length : (recent.all?.[name] ?? 0) / (recent.minutes * 60));
  const perSecond = (n) => `${number(n, n < 10 ? 2 : 0)}${t("perSecond")}`;
  const items = RATES.map(([status, name]) => ({ colour: status, name: t(status), value: perSecond(rate(name)) }));
  const label = `${t("throughput")}: ${items.map(({ name, value }) => `${name} ${value}`).join(", ")}`;
  return html`<${Panel} id="throughput" title=${t("throughput")} about=${interval ? period(interval, length) : t("throughputIs")} empty=${!recent.all && t("quietRates", { range: t(range.name) })}>
    <${Key} items=${items} />
    <${Chart} key=${range.minutes} label=${label} format=${(n) => number(n, 2)} rangeS=${recent.minutes * 60} onLook=${look}
      data=${[shown.map(({ at }) => at), column("completed", "compensated", "failed"), column("completed", "failed"), column("failed")]}
      series=${[{ colour: "COMPENSATED", fill: 0.25, width: 1 }, { colour: "COMPLETED", fill: 0.85, width: 1 }, { colour: "FAILED", fill: 0.85, width: 1 }]} /></${Panel}>`;
}

function Durations({ shown, recent, range }) {
  const [looked, look] = useState(null);
  const interval = shown[looked];
  const of = interval ?? recent.all;
  const items = TIMES.map((name, index) => ({ colour: name, dash: index > 0, name, value: span(of?.[`${name}_ms`]) }));
  const label = `${t("latency")}: ${items.map(({ name, value }) => `${name} ${value}`).join(", ")}`;
  return html`<${Panel} id="latency" title=${t("latency")} about=${interval ? period(interval, recent.interval_s) : t("latencyIs")} empty=${!recent.all && t("quietTimes", { range: t(range.name) })}>
    <${Key} items=${items} />
    <${Chart} key=${range.minutes} label=${label} format=${span} steps=${DURATION_STEPS} rangeS=${recent.minutes * 60} onLook=${look}
      data=${[shown.map(({ at }) => at), ...TIMES.map((name) => shown.map((one) => one[`${name}_ms`]))]}
      series=${[{ colour: "p50", width: 2.5 }, { colour: "p90", dash: [6, 4] }, { colour: "p99", dash: [2, 3] }]} /></${Panel}>`;
}

/** The interval under the pointer, as times of the day. */
const period = ({ at }, length) => `${length < 600 ? clock(at * 1000) : moment(at * 1000)} – ${clock((at + length) * 1000)}`;

function Reasons({ recent, range }) {
  const { reasons } = recent;
  const most = Math.max(...reasons.map(({ sagas }) => sagas));
  return html`<section class="card reasons" data-testid="reasons"><header><h2>${t("refusals")}</h2><small>${t("refusalsIs")}</small></header>
    ${reasons.length === 0 ? html`<p class="note">${t("noRefusals", { range: t(range.name) })}</p>` : html`<ul>${reasons.map(({ reason, sagas, last_at: last }) => html`
      <li key=${reason} class="linked"><a class="row-link" href=${sagasLink({ status: "COMPENSATED", text: sharedText(reason) })}>${explained(reason)}</a><b>${number(sagas)}</b><small><${Time} at=${last}>${t("lastAt", { time: clock(last) })}</${Time}></small><i style=${{ width: `${(sagas / most) * 100}%` }}></i></li>`)}</ul>`}</section>`;
}

export function Charts({ search }) {
  const minutes = new URLSearchParams(search).get("range");
  const range = RANGES.find((one) => one.minutes === minutes) ?? RANGES[0];
  const [state, setState] = useState({});
  usePolling(async (isOver) => {
    try {
      const value = await get(`ui/api/recent?minutes=${range.minutes}`);
      if (!isOver()) setState({ value });
    } catch (error) {
      if (!isOver()) setState((before) => ({ ...before, error }));
    }
  }, range.everyMs, [range.minutes]);
  const choose = (one) => go(withParameters({ range: one === RANGES[0] ? "" : one.minutes }), { kept: { ...history.state, scroll: scrollY } });
  const { value: recent, error } = state;
  const isShown = recent && String(recent.minutes) === range.minutes;
  const shown = isShown ? intervals(recent) : [];
  return html`<section aria-label=${t("range")} class="ranges"><div role="group" aria-label=${t("range")}>${RANGES.map((one) => html`
      <button key=${one.minutes} class="button small" data-range=${one.minutes} aria-pressed=${one === range} onClick=${() => choose(one)}>${t(one.name)}</button>`)}</div>
      ${isShown && recent.since && html`<small data-testid="recent-since">${t("recentSince", { time: moment(recent.since) })}</small>`}</section>
    ${error && error.status !== 0 && html`<${Failure} error=${error} />`}
    <div class="charts">${isShown ? html`
      <${Rates} shown=${shown} recent=${recent} range=${range} /><${Durations} shown=${shown} recent=${recent} range=${range} /><${Reasons} recent=${recent} range=${range} />`
      : html`<section class="card chart-card skeleton"></section><section class="card chart-card skeleton"></section>`}</div>`;
}
