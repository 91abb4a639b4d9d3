// Throughput and latency over the last five minutes, drawn by uPlot. The same numbers are beside the charts as text,
// because a canvas is not accessible to screen readers.

import { useEffect, useRef, useState } from "../vendor/preact/htm-preact.js";
import uPlot from "../vendor/uplot/uPlot.esm.js";
import { number, span } from "./format.js";
import { language, t } from "./i18n.js";
import { html } from "./parts.js";
import { useStore } from "./store.js";
import { summary } from "./summary.js";

const HEIGHT = 168;
const SPAN_S = 300;
// Rates jump from second to second; a bucket of some seconds shows the trend.
const BUCKET_S = 5;

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

function axes(format, grid, text) {
  const shared = { stroke: text, grid: { stroke: grid, width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
  const hour = new Intl.DateTimeFormat(language.get(), { timeStyle: "short" });
  return [
    { ...shared, grid: { show: false }, size: 30, space: 70, values: (_, splits) => splits.map((second) => hour.format(second * 1000)) },
    { ...shared, size: 62, space: 32, values: (_, splits) => splits.map(format) },
  ];
}

/** A chart that is drawn again when theme, language or width change, and otherwise only gets new data. */
function Chart({ data, series, format, label }) {
  const element = useRef();
  const chart = useRef(null);
  const latest = useRef(data);
  latest.current = data;
  useEffect(() => {
    const draw = () => {
      chart.current?.destroy();
      const width = element.current.clientWidth;
      const names = series.map(({ colour }) => colour);
      const [grid, text, ...strokes] = colours(["grid", "muted", ...names]);
      const lines = series.map(({ fill, dash, width: thickness = 2 }, index) => ({
        stroke: strokes[index], fill: fill ? faded(strokes[index], fill) : undefined, dash, width: thickness,
        points: { show: !fill, size: 5 }, spanGaps: true, paths: fill ? uPlot.paths.bars({ size: [0.86, 40], align: 1, radius: 0.15 }) : undefined,
      }));
      chart.current = new uPlot({
        width, height: HEIGHT, padding: [10, 6, 0, 0], legend: { show: false },
        cursor: { show: false },
        scales: { x: { time: true, range: (_, __, max) => [max - SPAN_S, max + BUCKET_S] }, y: { range: (_, __, max) => [0, Math.max(max, 0.001) * 1.15] } },
        axes: axes(format, grid, text), series: [{}, ...lines],
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

/** Groups the seconds into buckets up to now: sums of the counts, maxima of the quantiles. */
function buckets({ now, seconds }) {
  const end = Math.floor(new Date(now) / 1000 / BUCKET_S) * BUCKET_S;
  const count = SPAN_S / BUCKET_S + 1;
  const all = Array.from({ length: count }, (_, index) => ({ at: end - (count - 1 - index) * BUCKET_S, completed: 0, compensated: 0, failed: 0, p50: null, p90: null, p99: null }));
  const higher = (a, b) => (a === null ? b : Math.max(a, b));
  for (const second of seconds) {
    const bucket = all[(Math.floor(second.at / BUCKET_S) * BUCKET_S - all[0].at) / BUCKET_S];
    if (!bucket) continue;
    bucket.completed += second.completed;
    bucket.compensated += second.compensated;
    bucket.failed += second.failed;
    bucket.p50 = higher(bucket.p50, second.p50_ms);
    bucket.p90 = higher(bucket.p90, second.p90_ms);
    bucket.p99 = higher(bucket.p99, second.p99_ms);
  }
  return all;
}

function Key({ items }) {
  return html`<dl class="key">${items.map(({ colour, dash, name, value }) => html`
    <div><dt><i class="swatch probe-${colour} ${dash ? "dashed" : ""}"></i>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

function Panel({ title, about, children }) {
  return html`<section class="card chart-card"><header><h2>${title}</h2><small>${about}</small></header>${children}</section>`;
}

export function Charts() {
  const { value } = useStore(summary);
  const [shown, setShown] = useState(null);
  useEffect(() => {
    if (value) setShown(buckets(value));
  }, [value]);
  if (!shown) return html`<div class="charts"><section class="card chart-card skeleton"></section><section class="card chart-card skeleton"></section></div>`;
  const column = (read) => shown.map(read);
  // null draws no bar; 0 would draw one of height 0.
  const ended = (...names) => column((bucket) => names.reduce((sum, name) => sum + bucket[name], 0) / BUCKET_S || null);
  const at = column(({ at }) => at);
  const whole = shown.slice(-3, -1);
  const rate = (name) => whole.reduce((sum, bucket) => sum + bucket[name], 0) / (BUCKET_S * whole.length);
  const last = shown.findLast(({ p50 }) => p50 !== null);
  const isQuiet = !last;
  const perSecond = (n) => `${number(n, n < 10 ? 1 : 0)}${t("perSecond")}`;
  const rates = [["COMPLETED", "completed"], ["COMPENSATED", "compensated"], ["FAILED", "failed"]]
    .map(([status, name]) => ({ colour: status, name: t(status), value: perSecond(rate(name)) }));
  const times = [["p50", t("median")], ["p90", t("nine")], ["p99", t("ninetynine")]]
    .map(([name, text], index) => ({ colour: name, dash: index > 0, name: text, value: span(last?.[name]) }));
  const told = (items) => items.map(({ name, value: text }) => `${name} ${text}`).join(", ");
  return html`<div class="charts">
    <${Panel} title=${t("throughput")} about="${t("throughputIs")} · ${t("fiveMinutes")}">
      <${Key} items=${rates} />
      <${Chart} key="rates" label="${t("throughput")}: ${told(rates)}" format=${(n) => number(n, 1)}
        data=${[at, ended("completed", "compensated", "failed"), ended("completed", "failed"), ended("failed")]}
        series=${[{ colour: "COMPENSATED", fill: 0.25, width: 1 }, { colour: "COMPLETED", fill: 0.85, width: 1 }, { colour: "FAILED", fill: 0.85, width: 1 }]} />
    </${Panel}>
    <${Panel} title=${t("latency")} about="${t("latencyIs")} · ${t("fiveMinutes")}">
      <${Key} items=${times} />
      <${Chart} key="times" label="${t("latency")}: ${told(times)}" format=${span}
        data=${[at, column((b) => b.p50), column((b) => b.p90), column((b) => b.p99)]}
        series=${[{ colour: "p50", width: 2.5 }, { colour: "p90", dash: [6, 4] }, { colour: "p99", dash: [2, 3] }]} />
    </${Panel}>
    ${isQuiet && html`<p class="charts-quiet">${t("quiet")}</p>`}</div>`;
}
