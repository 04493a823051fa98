// The page: reads the address, asks the service, draws the answer.
import { Problem, ask, csv, follow, hasKey, pipelines, useKey } from "./api.js";
import { Chart } from "./chart.js";
import { drawCompare } from "./compare.js";
import { byId, fill, h } from "./dom.js";
import * as format from "./format.js";
import { drawGroups } from "./groups.js";
import { drawItem } from "./item.js";
import { drawOther, drawRanking, walk } from "./ranking.js";
import { columns } from "./series.js";
import { OPEN, common, read, write } from "./state.js";

// A chart of more lines is a chart of none; the ranking has all of them.
const LINES = 20;
const COLOURS = 8;
const STEPS_AROUND = 60;
const PAGES_OF_GROUPS = 5;
const KS = [5, 10, 20, 50, 100];
const PRESETS = ["15m", "1h", "6h", "1d", "7d", "4w"];
const NAMES = { "15m": "15 min", "1h": "Hour", "6h": "6 hours", "1d": "Day", "7d": "Week", "4w": "4 weeks" };

// Until it is known what there is to show, there is nothing to choose.
byId("controls").hidden = true;
document.querySelector(".views").hidden = true;

let state = read(location.search);
let all = [];
let asked = new AbortController();
let following = null;
/** What was answered last, for redrawing without asking. */
let shown = {};
let groupValues = new Map();
let compareStatus = null;
let freshness = null;
const chart = new Chart();
const ui = {};

const pipeline = () => all.find((one) => one.pipeline === state.pipeline);
const setOf = () => pipeline()?.sets.find((one) => one.set === state.set);
const zone = () => state.tz ?? "UTC";
const finest = () => Math.min(...(setOf()?.windows.map((tier) => tier.width_seconds) ?? [pipeline()?.window_seconds ?? 60]));
/** One window and no range: the newest, or the one that is still open. */
const windowOnly = () => state.from === null && (state.last === null || state.last === OPEN);
const kShown = () => state.k ?? Math.min(20, Math.max(10, pipeline()?.k ?? 10));

function question(extra = {}) {
  const query = common(state);
  for (const [name, value] of Object.entries(extra)) {
    if (value === null) query.delete(name);
    else query.set(name, value);
  }
  return query;
}

/** Colours by place in the ranking: the leaders have one each, the others share one. */
function colour(name) {
  const at = shown.order?.indexOf(name) ?? -1;
  if (at >= 0 && at < COLOURS) return getComputedStyle(document.documentElement).getPropertyValue(`--c${at}`).trim();
  return getComputedStyle(document.documentElement).getPropertyValue(name === state.item ? "--accent" : "--rest").trim();
}

// ------------------------------------------------------------------------------------------------------------ the address

function go(change, { replace = false, ask: again = true } = {}) {
  Object.assign(state, change);
  history[replace ? "replaceState" : "pushState"](null, "", write(state));
  if (again) refresh();
  else redraw();
}

addEventListener("popstate", () => {
  state = read(location.search);
  settle();
  refresh();
});

/** Fills what the address leaves open, and drops what does not fit the pipeline. */
function settle() {
  if (!all.some((one) => one.pipeline === state.pipeline)) state.pipeline = state.pipeline && all.length ? state.pipeline : (all[0]?.pipeline ?? null);
  const one = pipeline();
  if (!one) return;
  if (!one.sets.some((set) => set.set === state.set)) {
    const wanted = Object.keys(state.where);
    const fits = one.sets.filter((set) => wanted.every((name) => set.dimensions.includes(name)));
    const sorted = [...fits].sort((a, b) => a.dimensions.length - b.dimensions.length);
    state.set = (sorted[0] ?? one.sets[0])?.set ?? null;
  }
  const dimensions = setOf()?.dimensions ?? [];
  state.where = Object.fromEntries(Object.entries(state.where).filter(([name]) => dimensions.includes(name)));
  if (!format.knownZone(state.tz)) {
    // Windows of days are cut by the one who wrote the SQL; other zones would only cut through them.
    state.tz = finest() >= 86400 ? "UTC" : Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  }
  if (state.last === OPEN && !one.open) state.last = null;
  if (!one.ranges) Object.assign(state, { last: state.last === OPEN ? OPEN : null, from: null, to: null });
}

// ----------------------------------------------------------------------------------------------------------- the controls

function option(value, text, selected) {
  return h("option", { value, selected }, text);
}

function drawControls() {
  const one = pipeline();
  byId("controls").hidden = !one;
  document.querySelector(".views").hidden = !one;
  fill(byId("pipeline"), one ? null : option("", "…", true), all.map(({ pipeline: name }) => option(name, name, name === state.pipeline)));
  byId("pipeline").disabled = one && all.length < 2;
  const set = setOf();
  const dimensions = [];
  if (one && one.sets.length > 1) {
    const select = h("select", { "aria-label": "Set of dimensions" }, one.sets.map((candidate) => option(candidate.set, candidate.dimensions.length ? `by ${candidate.dimensions.join(", ")}` : "over all", candidate.set === state.set)));
    select.addEventListener("change", () => go({ set: select.value, where: {}, item: null }));
    dimensions.push(h("label", { class: "field" }, select));
  }
  for (const name of set?.dimensions ?? []) dimensions.push(dimension(name));
  fill(byId("dimensions"), dimensions.length ? dimensions : h("span", { class: "none" }, "over all"));

  const custom = state.from !== null;
  const width = finest();
  const kept = oldest();
  const presets = one?.ranges === false ? [] : PRESETS.filter((last, index) => format.seconds(last) >= 2 * width && (index === 0 || kept === null || format.seconds(PRESETS[index - 1]) < kept));
  if (state.last && state.last !== OPEN && !presets.includes(state.last)) presets.push(state.last);
  const preset = (last) => {
    byId("custom").hidden = true;
    // A window that grows is one to follow.
    go({ last, from: null, to: null, live: state.live || last === OPEN });
  };
  const segment = (text, pressed, press, title) => h("button", { type: "button", "aria-pressed": String(pressed), onclick: press, title }, text);
  fill(
    byId("ranges"),
    one?.open ? segment("Now", !custom && state.last === OPEN, () => preset(OPEN), "The window that is still open, as it grows") : null,
    segment("Newest", !custom && state.last === null, () => preset(null), "The newest closed window"),
    presets.map((last) => segment(NAMES[last] ?? last, !custom && state.last === last, () => preset(last), "Up to the newest closed window")),
    one?.ranges === false ? null : segment("From – to", custom || !byId("custom").hidden, openCustom),
  );
  if (custom) openCustom(false);
  const ks = [...new Set([...KS.filter((k) => one?.ranges !== false || k <= one.k), kShown()])].sort((a, b) => a - b);
  fill(byId("k"), ks.map((k) => option(k, String(k), k === kShown())));
  byId("tz").value = zone();
  byId("live").setAttribute("aria-pressed", String(state.live));
  byId("live").disabled = custom && state.to !== null;
  for (const tab of document.querySelectorAll("[role=tab]")) {
    const on = tab.dataset.view === state.view;
    tab.setAttribute("aria-selected", String(on));
    tab.tabIndex = on ? 0 : -1;
    if (tab.dataset.view === "compare") tab.hidden = one?.ranges === false;
    if (tab.dataset.view === "groups") tab.hidden = !one?.sets.some((candidate) => candidate.dimensions.length);
  }
  byId("view").setAttribute("aria-labelledby", `tab-${state.view}`);
}

/** Seconds from the oldest kept window to the newest; null if unknown. */
function oldest() {
  const tiers = setOf()?.windows ?? [];
  const spans = tiers.map((tier) => (Date.parse(tier.to) - Date.parse(tier.from)) / 1000).filter(Number.isFinite);
  return spans.length ? Math.max(...spans) : null;
}

/** A choice of the values of one dimension; long ones are typed, with suggestions. */
function dimension(name) {
  const values = groupValues.get(`${state.pipeline} ${state.set}`)?.get(name);
  const chosen = name in state.where ? state.where[name] : undefined;
  const change = (value) => {
    const where = { ...state.where };
    if (value === undefined) delete where[name];
    else where[name] = value;
    go({ where });
  };
  if (values && values.size > 100) {
    const id = `values-${name}`;
    const input = h("input", { list: id, value: chosen ?? "", placeholder: "all", autocomplete: "off", spellcheck: "false" });
    input.addEventListener("change", () => change(input.value === "" ? undefined : input.value));
    return h("label", { class: "field named" }, h("span", {}, name), input, h("datalist", { id }, [...values].filter((value) => value !== null).map((value) => option(value, value))));
  }
  // The texts of options may be empty or equal to words of ours: their number is what counts.
  const list = [...(values ?? (chosen === undefined ? [] : [chosen]))].sort((a, b) => String(a).localeCompare(String(b)));
  if (chosen !== undefined && !list.includes(chosen)) list.push(chosen);
  const select = h(
    "select",
    {},
    option("", "all", chosen === undefined),
    list.map((value, index) => option(String(index), value === null ? "(none)" : value === "" ? "(empty)" : value, chosen !== undefined && value === chosen)),
  );
  select.addEventListener("change", () => change(select.value === "" ? undefined : list[Number(select.value)]));
  return h("label", { class: "field named" }, h("span", {}, name), select);
}

function openCustom(focus = true) {
  byId("custom").hidden = false;
  const range = shown.top?.range ?? shown.compare?.range;
  // Windows of minutes and more need no seconds.
  const fine = finest() < 60;
  const set = (id, text, fallback) => {
    const day = /^\d{4}-\d\d-\d\d$/.test(text ?? "") ? `${text}T00:00:00` : text;
    const local = day && Number.isNaN(Number(day)) ? day.slice(0, 19) : fallback ? format.local(Date.parse(fallback), zone()) : "";
    byId(id).step = fine ? "1" : "60";
    byId(id).value = fine ? local : local.slice(0, 16);
  };
  set("from", state.from, range?.from);
  set("to", state.to, range?.to);
  if (focus) byId("from").focus();
}

/** The values of the dimensions of the set that is shown, asked once. */
async function learnGroups(signal) {
  const set = setOf();
  const key = `${state.pipeline} ${state.set}`;
  if (!set?.dimensions.length || groupValues.has(key)) return;
  const values = new Map(set.dimensions.map((name) => [name, new Set()]));
  const query = new URLSearchParams({ set: set.set, top: "1", limit: "100" });
  for (let page = 0; page < PAGES_OF_GROUPS; page++) {
    const answer = await ask(state.pipeline, "groups", query, signal);
    for (const { group } of answer.groups) for (const [name, value] of Object.entries(group)) values.get(name)?.add(value);
    if (!answer.next) break;
    query.set("cursor", answer.next);
  }
  groupValues.set(key, values);
  drawControls();
}

// ----------------------------------------------------------------------------------------------------------- the questions

/** Asks again, and draws what comes as it comes. An older question that is still open is given up. */
async function refresh() {
  asked.abort();
  asked = new AbortController();
  const { signal } = asked;
  drawControls();
  if (!pipeline()) return;
  byId("view").setAttribute("aria-busy", "true");
  clearTimeout(ui.slow);
  // Quick answers come without a flicker.
  ui.slow = setTimeout(() => !signal.aborted && skeleton(), 250);
  try {
    learnGroups(signal).catch(() => {});
    if (state.view === "compare") await refreshCompare(signal);
    else if (state.view === "groups") await refreshGroups(signal);
    else await refreshRanking(signal);
  } catch (error) {
    if (error.name === "AbortError" || signal.aborted) return;
    failed(error);
  } finally {
    if (!signal.aborted) {
      clearTimeout(ui.slow);
      byId("view").setAttribute("aria-busy", "false");
    }
  }
  startLive();
}

/** What is no part of the answer itself may fail without it; why, the question for the answer tells. */
const optional = (promise) => promise.catch(() => null);

async function refreshRanking(signal) {
  const name = state.pipeline;
  const k = kShown();
  const ranges = pipeline().ranges;
  const open = state.last === OPEN;
  // Against a whole window, one that is not over would always fall behind.
  const beforeAsked = ranges && !open ? optional(ask(name, "compare", question({ k, against: "previous" }), signal)) : Promise.resolve(null);
  const seriesAsked = ranges && !windowOnly() ? optional(ask(name, "series", question({ k: Math.min(k, LINES) }), signal)) : null;
  const top = await ask(name, "top", question({ k }), signal);
  const order = top.items.map(format.itemName);
  const items = order.slice(0, LINES);
  shown = { view: "ranking", top, order, k };
  // A single window has no course of its own: it is shown at the end of what came before.
  const around = windowOnly() && ranges && items.length ? optional(ask(name, "series", aroundQuestion(top, items), signal)) : null;
  clearTimeout(ui.slow);
  redraw();
  const [before, series] = await Promise.all([beforeAsked, seriesAsked ?? around]);
  if (signal.aborted) return;
  // Against a range that nobody knows, everything would look new.
  if (before?.against.complete && Number(before.total_before) > 0) shown.before = new Map(before.items.filter((item) => item.rank_before !== null).map((item) => [format.itemName(item), item.rank_before]));
  shown.series = series;
  await refreshItem(signal);
  redraw();
}

function aroundQuestion(top, items) {
  const width = (Date.parse(top.range.to) - Date.parse(top.range.from)) / 1000;
  const query = question({ last: `${width * STEPS_AROUND}s`, from: null, to: null, open: null, step: `${width}s` });
  for (const item of items) query.append("item", item);
  return query;
}

/** An item that is chosen but not listed: its bounds and its course are asked for. */
async function refreshItem(signal) {
  shown.estimate = null;
  shown.extra = null;
  if (state.item === null || !shown.top) return;
  const listed = shown.top.items.find((item) => format.itemName(item) === state.item);
  const drawn = shown.series?.series.some((one) => format.itemName(one) === state.item);
  const wanted = question({ item: state.item });
  const step = shown.series ? { step: `${shown.series.step_seconds}s` } : {};
  const course = windowOnly() ? aroundQuestion(shown.top, [state.item]) : question({ item: state.item, ...step });
  const [estimate, extra] = await Promise.all([
    listed || !pipeline().ranges ? null : optional(ask(state.pipeline, "estimate", wanted, signal)),
    drawn || !shown.series ? null : optional(ask(state.pipeline, "series", course, signal)),
  ]);
  if (signal.aborted) return;
  shown.estimate = estimate?.estimates[0] ?? null;
  shown.extra = extra;
}

async function refreshCompare(signal) {
  const answer = await ask(state.pipeline, "compare", question({ k: kShown(), against: state.against, open: null }), signal);
  shown = { view: "compare", compare: answer };
  clearTimeout(ui.slow);
  redraw();
}

async function refreshGroups(signal) {
  const one = pipeline();
  if (!setOf()?.dimensions.length) state.set = one.sets.find((set) => set.dimensions.length)?.set ?? state.set;
  drawControls();
  const query = question({ top: 1, limit: 100, last: null, from: null, to: null, open: null });
  const answer = await ask(state.pipeline, "groups", query, signal);
  shown = { view: "groups", groups: answer, list: answer.groups, next: answer.next };
  clearTimeout(ui.slow);
  redraw();
}

async function moreGroups() {
  try {
    const query = question({ top: 1, limit: 100, cursor: shown.next, last: null, from: null, to: null, open: null });
    const answer = await ask(state.pipeline, "groups", query, asked.signal);
    shown.list = [...shown.list, ...answer.groups];
    shown.next = answer.next;
    redraw();
  } catch (error) {
    if (error.name !== "AbortError") failed(error);
  }
}

// ---------------------------------------------------------------------------------------------------------------- drawing

function redraw() {
  drawControls();
  if (shown.view === "ranking" && state.view === "ranking") drawTop();
  else if (shown.view === "compare" && state.view === "compare") drawComparison();
  else if (shown.view === "groups" && state.view === "groups") drawAllGroups();
}

function title(text, rest) {
  fill(byId("title"), text, rest && h("span", { class: "when" }, rest));
  document.title = `${text}${rest ? `, ${rest}` : ""} · Hitters`;
}

const rangeText = (range) => format.range(Date.parse(range.from), Date.parse(range.to), zone());

function facts(answer, ...more) {
  freshness = { ...answer.freshness, at: Date.now() };
  drawFreshness();
  fill(byId("facts"), more.filter(Boolean).map((fact) => h("span", {}, fact)), answer.source && from(answer.source));
}

/** How much was read for an answer. */
function from(source) {
  const size = source.bytes >= 1e6 ? `${(source.bytes / 1e6).toFixed(1)} MB` : `${(source.bytes / 1e3).toFixed(1)} kB`;
  const windows = `from ${source.panes} ${source.panes === 1 ? "window" : "windows"}`;
  const groups = source.groups > 1 ? ` of ${source.groups} groups` : "";
  return h("span", { title: `read from ${source.stores.join(", ") || "no store"}: ${size}` }, `${windows}${groups}`);
}

function notices(answer) {
  const found = [];
  const range = answer.range ?? {};
  if (answer.source?.missing_stores?.length) {
    found.push(["warning", `${answer.source.missing_stores.join(", ")} does not answer. This is what the other stores know.`]);
  }
  if (range.complete === false && range.gaps?.length) {
    const gaps = range.gaps.map((gap) => rangeText(gap));
    const more = gaps.length > 2 ? ` and ${gaps.length - 2} more` : "";
    found.push(["warning", `Nothing is known of ${gaps.slice(0, 2).join(", ")}${more}: counts are of the rest.`]);
  } else if (range.complete === false) found.push(["note", "This window is still open: counts grow until it closes."]);
  if (answer.freshness?.stale) found.push(["note", "These groups have no window yet that others already have."]);
  if (answer.k !== undefined && answer.items && answer.items.length < answer.k && answer.items.length === answer.capacity) {
    found.push(["note", `The sketches track ${format.count(answer.capacity)} items, so no more are listed.`]);
  }
  fill(byId("notices"), found.map(([kind, text]) => h("p", { class: `notice ${kind}` }, text)));
}

/** The parts of the ranking's view, made once and kept, so that rows can move. */
function rankingParts() {
  if (ui.list?.isConnected) return ui;
  ui.list = h("ol", { class: "ranking", "aria-label": "Ranking" });
  walk(ui.list);
  ui.other = h("div", { class: "row other" });
  ui.modes = h("div", { class: "segments small", role: "group", "aria-label": "What the chart shows" });
  ui.item = h("section", { class: "panel item", "aria-label": "Item", hidden: true });
  ui.chartPanel = h("section", { class: "panel", "aria-label": "Over time" }, h("div", { class: "panel-head" }, h("h2", {}, "Over time"), ui.modes), chart.element);
  fill(
    byId("view"),
    h("div", { class: "columns" }, h("section", { class: "panel list", "aria-label": "Ranking" }, h("div", { class: "list-head", "aria-hidden": "true" }, h("span", {}, "Item"), h("span", {}, "Count"), h("span", {}, "Share")), ui.list, ui.other), h("div", { class: "side" }, ui.chartPanel, ui.item)),
  );
  return ui;
}

function drawTop() {
  const { top, order } = shown;
  const where = format.group(state.where);
  const listed = top.items.length;
  const open = top.range.open === true;
  title(`Top ${listed < shown.k && listed ? listed : shown.k}${where ? `, ${where}` : ""}`, `${rangeText(top.range)}${open ? ", still open" : ""}`);
  const what = `${top.kind === "sum" ? "in sum" : "in total"}${open ? " so far" : ""}`;
  const certain = top.exact
    ? top.total !== null && "every count is exact"
    : top.certain_leaders > 0
      ? `the first ${top.certain_leaders} ${top.certain_leaders === 1 ? "is" : "are"} proven, in their order`
      : null;
  const missed = top.exact || top.max_missed === null ? null : `no item below has more than ${format.count(top.max_missed)}`;
  facts(top, top.total === null ? null : `${format.count(top.total)} ${what}`, certain, missed, Number(top.skipped) > 0 && `${format.count(top.skipped)} without an item`);
  notices(top.total === null ? {} : top);
  if (top.total === null || listed === 0) {
    const text = top.total === null ? ["Nothing is known of this range.", "It lies before the oldest window that is kept, or a store is away."] : ["Nothing happened here.", "The windows of this range are closed and empty."];
    if (open) text.splice(0, 2, "Nothing was counted here yet.", "The window is still open.");
    return fill(byId("view"), h("div", { class: "panel blank" }, h("h2", {}, text[0]), h("p", {}, text[1])));
  }
  rankingParts();
  const choose = (item) => chooseItem(item);
  drawRanking(ui.list, top, { selected: state.item, before: shown.before ?? null, colour, choose });
  drawOther(ui.other, top);
  const modes = [
    ["count", "Count"],
    ["total", "Running total"],
    ["rank", "Place"],
    ["stack", "Stack"],
  ];
  fill(ui.modes, modes.map(([mode, text]) => h("button", { type: "button", "aria-pressed": String(state.chart === mode), onclick: () => go({ chart: mode }, { replace: true, ask: false }) }, text)));
  const data = shown.series ? columns(shown.series, shown.extra) : null;
  ui.chartPanel.hidden = pipeline().ranges === false || (shown.series === null && !data);
  if (data) {
    // In the order and the colours of the ranking.
    const place = new Map(order.map((name, index) => [name, index]));
    data.series.sort((a, b) => (place.get(a.name) ?? 1e6) - (place.get(b.name) ?? 1e6));
    chart.draw(data, { mode: state.chart, zone: zone(), selected: state.item, colour });
  }
  drawChosen(data);
}

function drawChosen(data) {
  ui.item.hidden = state.item === null;
  if (state.item === null) return;
  const listed = shown.top.items.find((item) => format.itemName(item) === state.item);
  const estimate = listed ?? shown.estimate;
  drawItem(ui.item, { name: state.item, estimate, rank: listed?.rank ?? null }, data, { zone: zone(), colour, choose: chooseItem });
}

async function chooseItem(item) {
  state.item = item;
  history.pushState(null, "", write(state));
  if (shown.view !== "ranking" || state.view !== "ranking") return go({ view: "ranking" }, { replace: true });
  redraw();
  try {
    await refreshItem(asked.signal);
    redraw();
    // Where the chart lies below the list, it comes to the one who asked for it.
    if (item !== null && ui.chartPanel?.getBoundingClientRect().top > innerHeight * 0.7) {
      (ui.chartPanel.hidden ? ui.item : ui.chartPanel).scrollIntoView({ block: "start" });
    }
  } catch (error) {
    if (error.name !== "AbortError") failed(error);
  }
}

function drawComparison() {
  const answer = shown.compare;
  const where = format.group(state.where);
  title(`What changed${where ? `, ${where}` : ""}`, rangeText(answer.range));
  facts(answer, `against ${rangeText(answer.against)}`);
  notices({ ...answer, range: answer.range.complete ? answer.against : answer.range });
  const againsts = [
    ["previous", "Just before"],
    ["day", "A day earlier"],
    ["week", "A week earlier"],
  ];
  const select = h("select", {}, againsts.map(([value, text]) => option(value, text, state.against === value)), againsts.some(([value]) => value === state.against) ? null : option(state.against, `from ${state.against}`, true));
  select.addEventListener("change", () => go({ against: select.value }));
  const body = h("div", {});
  drawCompare(body, answer, {
    status: compareStatus,
    filter: (status) => {
      compareStatus = compareStatus === status ? null : status;
      redraw();
    },
    choose: (item) => go({ item, view: "ranking" }),
    before: rangeText(answer.against),
    now: rangeText(answer.range),
  });
  fill(byId("view"), h("section", { class: "panel" }, h("div", { class: "panel-head" }, h("h2", {}, "Risers and fallers"), h("label", { class: "field named" }, h("span", {}, "Against"), select)), body));
}

function drawAllGroups() {
  const dimensions = setOf()?.dimensions ?? [];
  title(`Groups by ${dimensions.join(", ")}`, format.group(state.where));
  facts(shown.groups, `${shown.list.length}${shown.next ? " and more" : ""} groups`);
  notices(shown.groups);
  const panel = h("section", { class: "panel" });
  drawGroups(panel, shown.list, dimensions, { open: (where) => go({ where, view: "ranking", item: null }), more: shown.next ? moreGroups : null });
  fill(byId("view"), panel);
}

function skeleton() {
  if (shown.view === state.view && ui.list?.isConnected) return;
  fill(byId("view"), h("div", { class: "columns" }, h("div", { class: "panel" }, Array.from({ length: 10 }, (_, index) => h("div", { class: "ghost", style: { width: `${92 - index * 6}%` } }))), h("div", { class: "panel ghost-chart" })), h("p", { class: "visually-hidden", role: "status" }, "Loading"));
}

function failed(error) {
  clearTimeout(ui.slow);
  if (error.status === 401) return askForKey(error);
  if (error.type === "/problems/no-open-window" && pipeline()?.open) return waiting();
  const known = error instanceof Problem;
  const way =
    error.status === 404 && Array.isArray(error.allowed)
      ? h("p", {}, "There is: ", error.allowed.map((name, index) => [index ? ", " : "", String(name)]))
      : null;
  fill(byId("notices"));
  fill(byId("facts"));
  if (error.status === 0) title("No answer");
  else title("This cannot be shown");
  fill(
    byId("view"),
    h(
      "div",
      { class: "panel blank", role: "alert" },
      h("h2", {}, known && error.title ? capital(error.title) : "Something went wrong on this page"),
      h("p", {}, error.message),
      way,
      h("p", { class: "actions" }, h("button", { type: "button", class: "primary", onclick: () => (all.length ? refresh() : start()) }, "Try again"), all.length ? h("button", { type: "button", class: "secondary", onclick: reset }, "Start over") : null),
    ),
  );
  shown = {};
  if (!known) console.error(error);
}

/** The next window is open and empty: what comes into it is shown as it comes. */
function waiting() {
  fill(byId("notices"));
  fill(byId("facts"));
  title("Nothing yet", "still open");
  fill(byId("view"), h("div", { class: "panel blank", role: "status" }, h("h2", {}, "Nothing was counted here yet."), h("p", {}, "The window that is open now is empty.")));
  shown = {};
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function reset() {
  state = read("");
  settle();
  go({});
}

function drawFreshness() {
  const element = byId("freshness");
  if (!freshness?.complete_up_to) return fill(element, h("span", { class: "light old" }), "No window has closed yet");
  const lag = freshness.lag_seconds + (Date.now() - freshness.at) / 1000;
  const width = finest();
  // A window is published once it has closed: a lag of its width and some seconds is as fresh as it can be.
  const health = freshness.stale ? "stale" : lag <= 2 * width + 60 ? "fresh" : lag <= 10 * width + 300 ? "behind" : "old";
  const words = { stale: "stale", fresh: "up to date", behind: "behind", old: "behind" }[health];
  const at = Date.parse(freshness.complete_up_to);
  const fine = width < 3600;
  const full = `${format.date(at, zone())}, ${format.clock(at, zone(), fine)}`;
  const today = Date.now() - at < 43200e3;
  fill(
    element,
    h("span", { class: `light ${health}`, "aria-hidden": "true" }),
    h("span", { title: `Everything up to ${full} (${zone()}) is counted` }, h("span", { class: "until" }, `Complete up to ${today ? format.clock(at, zone(), fine) : full}`), h("span", { class: "lag" }, `${format.duration(lag)} ${health === "fresh" ? "ago" : words}`)),
  );
}

// ------------------------------------------------------------------------------------------------------------------- live

function startLive() {
  if (following?.question === liveQuestion()) return;
  following?.controller.abort();
  following = null;
  if (!state.live || state.view !== "ranking" || !pipeline() || (state.from && state.to)) return;
  const controller = new AbortController();
  following = { controller, question: liveQuestion() };
  let newest = null;
  let series = 0;
  follow(
    state.pipeline,
    new URLSearchParams(following.question),
    controller.signal,
    (top, what) => {
      if (state.view !== "ranking" || controller.signal.aborted) return;
      // Who looks at the open window is told of closed ones for the chart only.
      if (state.last !== OPEN || what === "open") {
        if (shown.view !== "ranking") shown = { view: "ranking", k: kShown(), series: null };
        const before = new Map((shown.top?.items ?? []).map((item) => [format.itemName(item), item.rank]));
        if (newest !== null && newest !== top.range.to && (what === "open" || top.range.complete !== false)) shown.before = before;
        newest = top.range.to;
        Object.assign(shown, { top, order: top.items.map(format.itemName) });
        redraw();
        if (what === "open") return;
      }
      if (shown.view !== "ranking") return;
      if (Date.now() - series > Math.max(5000, finest() * 250)) {
        series = Date.now();
        liveSeries(controller.signal);
      }
    },
    (how) => byId("live").classList.toggle("away", how === "away"),
  ).catch((error) => {
    if (error.status === 401) askForKey(error);
    else {
      state.live = false;
      fill(byId("notices"), h("p", { class: "notice warning" }, `Live updates ended: ${error.message}`));
      drawControls();
    }
  });
}

function liveQuestion() {
  return state.live ? question({ k: kShown() }).toString() : null;
}

async function liveSeries(signal) {
  if (!pipeline().ranges) return;
  const query = windowOnly() ? aroundQuestion(shown.top, shown.order.slice(0, LINES)) : question({ k: Math.min(kShown(), LINES) });
  const series = await optional(ask(state.pipeline, "series", query, signal));
  if (!series || signal.aborted || shown.view !== "ranking") return;
  shown.series = series;
  redraw();
}

// -------------------------------------------------------------------------------------------------------------- the rest

function askForKey(problem) {
  following?.controller.abort();
  following = null;
  byId("key-why").textContent = hasKey() ? `That key was not accepted: ${problem.message}` : "This service answers to whom it knows.";
  title("A key is needed");
  fill(byId("facts"));
  fill(byId("view"), h("div", { class: "panel blank" }, h("h2", {}, "A key is needed"), h("p", {}, problem.message), h("p", { class: "actions" }, h("button", { type: "button", class: "primary", onclick: () => askForKey(problem) }, "Enter a key"))));
  const dialog = byId("key-dialog");
  if (!dialog.open) dialog.showModal();
  byId("key").value = "";
  byId("key").focus();
}

function theme() {
  const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  try {
    localStorage.setItem("hitters.theme", next);
  } catch {
    // Then it is chosen for as long as the page is open.
  }
  redraw();
}

function listen() {
  byId("pipeline").addEventListener("change", (event) => {
    state = { ...read(""), pipeline: event.target.value, live: state.live };
    settle();
    go({});
  });
  byId("k").addEventListener("change", (event) => go({ k: Number(event.target.value) }));
  byId("tz").addEventListener("change", (event) => {
    const text = event.target.value.trim();
    const known = format.knownZone(text);
    event.target.setCustomValidity(known ? "" : "a time zone as Europe/Berlin or UTC");
    if (known) go({ tz: text });
    else event.target.reportValidity();
  });
  byId("tz").addEventListener("focus", (event) => event.target.select());
  byId("lookup").addEventListener("change", async (event) => {
    const text = event.target.value;
    event.target.value = "";
    if (text === "") return;
    event.target.blur();
    await chooseItem(text);
    ui.item?.querySelector("h2")?.focus({ preventScroll: true });
  });
  byId("controls").addEventListener("submit", (event) => {
    event.preventDefault();
    if (byId("custom").hidden || !byId("from").value || document.activeElement === byId("lookup")) return;
    go({ last: null, from: byId("from").value, to: byId("to").value || null });
  });
  byId("live").addEventListener("click", () => go({ live: !state.live }, { replace: true }));
  byId("theme").addEventListener("click", theme);
  byId("help-open").addEventListener("click", () => byId("help").showModal());
  byId("copy").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(location.href);
      byId("copy").textContent = "Copied";
    } catch {
      byId("copy").textContent = "Copy it from the address bar";
    }
    setTimeout(() => (byId("copy").textContent = "Copy link"), 2000);
  });
  byId("csv").addEventListener("click", async () => {
    const what = { ranking: "top", compare: "compare", groups: "groups" }[state.view];
    try {
      const blob = await csv(state.pipeline, what, question({ ...(what === "groups" ? { last: null, from: null, to: null } : { k: kShown() }), ...(what === "top" ? {} : { open: null }) }));
      const link = h("a", { href: URL.createObjectURL(blob), download: `${state.pipeline}-${what}.csv` });
      link.click();
      URL.revokeObjectURL(link.href);
    } catch (error) {
      failed(error);
    }
  });
  const tabs = [...document.querySelectorAll("[role=tab]")];
  for (const tab of tabs) {
    tab.addEventListener("click", () => go({ view: tab.dataset.view }));
    tab.addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!by) return;
      const open = tabs.filter((one) => !one.hidden);
      const next = open[(open.indexOf(tab) + by + open.length) % open.length];
      next.focus();
      next.click();
    });
  }
  byId("key-form").addEventListener("submit", () => {
    useKey(byId("key").value.trim());
    if (all.length) refresh();
    else start();
  });
  addEventListener("keydown", shortcut);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  setInterval(drawFreshness, 1000);
}

function shortcut(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (event.key === "Escape") {
    if (typing) event.target.blur();
    else if (state.item !== null) chooseItem(null);
    return;
  }
  if (typing) return;
  const views = { 1: "ranking", 2: "compare", 3: "groups" };
  if (views[event.key]) return byId(`tab-${views[event.key]}`).hidden ? undefined : go({ view: views[event.key] });
  const does = {
    "/": () => byId("lookup").focus(),
    l: () => byId("live").disabled || byId("live").click(),
    d: theme,
    "?": () => byId("help").showModal(),
  }[event.key];
  if (does) {
    event.preventDefault();
    does();
  } else if ((event.key === "ArrowDown" || event.key === "j") && event.target === document.body) {
    event.preventDefault();
    ui.list?.querySelector('.row[tabindex="0"]')?.focus();
  }
}

async function start() {
  fill(byId("zones"), ["UTC", ...(Intl.supportedValuesOf?.("timeZone") ?? [])].map((name) => option(name)));
  ui.slow = setTimeout(skeleton, 250);
  try {
    all = await pipelines();
  } catch (error) {
    return failed(error);
  }
  clearTimeout(ui.slow);
  if (all.length === 0) {
    title("No answers yet");
    return fill(byId("view"), h("div", { class: "panel blank" }, h("h2", {}, "No pipeline has published a window yet"), h("p", {}, "Answers appear here when the first window of a pipeline closes."), h("p", { class: "actions" }, h("button", { type: "button", class: "primary", onclick: start }, "Look again"))));
  }
  settle();
  history.replaceState(null, "", write(state));
  drawControls();
  if (!pipeline()) return failed(new Problem(404, { title: "No such pipeline", detail: `There is no pipeline called ${state.pipeline}.`, allowed: all.map((one) => one.pipeline) }));
  freshness = { ...pipeline().freshness, at: Date.now() };
  drawFreshness();
  await refresh();
}

listen();
start();
