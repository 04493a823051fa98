// Lines over time, on uPlot. Colours come from the style sheet, so that light and dark need nothing here.
import { h, fill } from "./dom.js";
import { clock, count, date, duration, short, time } from "./format.js";
import { places, running } from "./series.js";

/* global uPlot */

// So many lines have their name at their end.
const LABELS = 8;

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** `each day`, `every 2 hours`. */
export const stepName = (seconds) => (seconds === 86400 ? "each day" : seconds === 3600 ? "each hour" : seconds === 60 ? "each minute" : `every ${duration(seconds)}`);

export class Chart {
  /** `choose(name)` is called when a line is picked. */
  constructor() {
    this.plot = null;
    this.readout = h("p", { class: "readout", "aria-live": "polite" });
    this.box = h("div", { class: "plot", tabindex: "0", role: "group" });
    this.element = h("div", { class: "chart" }, this.readout, this.box);
    this.width = 0;
    new ResizeObserver(() => {
      const width = Math.floor(this.box.clientWidth);
      if (this.plot && width > 0 && width !== this.width) {
        this.width = width;
        this.plot.setSize({ width, height: this.height() });
      }
    }).observe(this.box);
    this.box.addEventListener("keydown", (event) => this.key(event));
    this.box.addEventListener("blur", () => this.plot?.setCursor({ left: -10, top: -10 }));
    for (const kind of ["touchstart", "touchmove"]) this.box.addEventListener(kind, (event) => this.touch(event), { passive: true });
  }

  height() {
    return Math.max(240, Math.min(340, Math.round(this.box.clientWidth * 0.46)));
  }

  key(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (!this.plot || by === undefined) return;
    event.preventDefault();
    const last = this.data.times.length - 1;
    const from = this.plot.cursor.idx ?? (by > 0 ? -1 : last + 1);
    const at = Math.max(0, Math.min(last, from + by));
    this.plot.setCursor({ left: this.plot.valToPos(this.data.times[at] / 1000, "x"), top: 10 });
  }

  touch(event) {
    const box = this.plot?.over.getBoundingClientRect();
    if (box) this.plot.setCursor({ left: event.touches[0].clientX - box.left, top: event.touches[0].clientY - box.top });
  }

  /** The values that `mode` draws, a column a series. */
  drawn(mode) {
    const series = this.data.series;
    if (mode === "total") return series.map((one) => running(one.estimate));
    if (mode === "rank") return places(series);
    if (mode === "stack") {
      const under = this.data.times.map(() => 0);
      const add = (values) => values.map((value, step) => (value === null ? null : (under[step] += value)));
      return [...series.map((one) => add(one.estimate)), add(this.data.other)];
    }
    return series.map((one) => one.estimate);
  }

  /** `data` of `columns`; `look`: `{ mode, zone, selected, colour(name) }`. */
  draw(data, look) {
    this.data = data;
    this.look = look;
    const { mode, selected } = look;
    this.plot?.destroy();
    this.plot = null;
    if (data.times.length === 0) return fill(this.box, h("p", { class: "empty" }, "Nothing to draw."));
    const drawn = this.drawn(mode).map((values, index) => ({ name: data.series[index]?.name ?? null, values, index }));
    // The chosen line comes last, so that it lies above the others.
    if (mode !== "stack") drawn.sort((a, b) => (a.name === selected) - (b.name === selected) || a.index - b.index);
    const values = drawn.map((line) => line.values);
    const names = drawn.map((line) => line.name);
    this.names = names;
    this.width = Math.floor(this.box.clientWidth);
    const few = data.times.length <= 45;
    const faint = css("--faint");
    const colour = (name) => (name === null ? faint : look.colour(name));
    const lines = drawn.map(({ name, index }) => {
      const chosen = selected !== null && name === selected;
      const back = selected !== null && !chosen;
      return {
        label: name ?? "others",
        stroke: back ? css("--line-back") : colour(name),
        width: mode === "stack" ? 1 : chosen ? 3 : back ? 1 : index < 8 ? 2 : 1.25,
        points: { show: few && mode !== "stack" && !back && (chosen || index < LABELS), size: chosen ? 8 : 5, fill: css("--surface") },
        spanGaps: mode === "rank",
      };
    });
    const bands = [];
    if (mode === "stack") {
      for (let i = names.length - 1; i >= 0; i--) {
        const tint = names[i] === null ? css("--stack-other") : (selected === null || names[i] === selected ? colour(names[i]) : css("--line-back"));
        lines[i].fill = i === 0 ? withAlpha(tint, 0.75) : undefined;
        if (i > 0) bands.push({ series: [i + 1, i], fill: withAlpha(tint, names[i] === null ? 1 : 0.75) });
      }
    }
    // The bounds of the chosen item, as a band.
    const extra = [];
    if (mode === "count" && selected !== null) {
      const one = data.series.find((candidate) => candidate.name === selected);
      if (one && one.upper.some((upper, step) => upper !== one.lower[step])) {
        const at = names.length + 1;
        extra.push(one.upper, one.lower);
        for (const label of ["upper", "lower"]) lines.push({ label, stroke: "transparent", width: 0, points: { show: false } });
        bands.push({ series: [at, at + 1], fill: withAlpha(colour(selected), 0.18) });
      }
    }
    const grid = { stroke: css("--grid"), width: 1 };
    const axis = { stroke: css("--muted"), font: `12px ${css("--font")}`, grid, ticks: { show: false } };
    const ranks = mode === "rank";
    // Names at the ends of the lines, where there is room for them.
    const labelled = this.width > 520 && mode !== "stack";
    const options = {
      width: this.width,
      height: this.height(),
      tzDate: (stamp) => uPlot.tzDate(new Date(stamp * 1000), look.zone),
      legend: { show: false },
      padding: [12, labelled ? 16 + 7.5 * Math.min(12, Math.max(...names.slice(0, LABELS).map((name) => (name ?? "others").length))) : 28, 0, 0],
      cursor: { y: false, points: { size: 9, width: 2, fill: (_, index) => lines[index - 1].stroke, stroke: () => css("--surface") }, drag: { x: false, y: false } },
      scales: {
        x: { time: true },
        y: ranks
          ? { dir: -1, range: [0.5, Math.max(2, names.length) + 0.5] }
          : { range: (_, __, high) => [0, high > 0 ? high * 1.06 : 1] },
      },
      axes: [
        {
          ...axis,
          space: 64,
          size: data.step >= 86400 ? 32 : 46,
          values: (_, splits, __, ___, step) =>
            splits.map((at, index) => {
              const ms = at * 1000;
              if (step >= 86400 * 28) return date(ms, look.zone);
              if (step >= 86400) return time(ms, look.zone, 86400, false);
              const label = clock(ms, look.zone, step < 60);
              return label.startsWith("00:00") || index === 0 ? `${label}\n${time(ms, look.zone, 86400, false)}` : label;
            }),
        },
        {
          ...axis,
          size: 52,
          values: (_, splits) => splits.map((value) => (Number.isInteger(value) && (!ranks || value >= 1) ? short(value, Math.max(...splits)) : "")),
          ...(ranks ? { splits: () => rankSplits(names.length) } : {}),
        },
      ],
      series: [{}, ...lines],
      bands,
      hooks: {
        drawClear: [(plot) => this.unknown(plot)],
        draw: labelled ? [(plot) => this.labels(plot, values)] : [],
        setCursor: [(plot) => this.read(plot.cursor.idx)],
      },
    };
    fill(this.box);
    // uPlot takes its size a moment later; what lies below must not move then.
    this.box.style.setProperty("min-height", `${this.height()}px`);
    this.plot = new uPlot(options, [data.times.map((ms) => ms / 1000), ...values, ...extra], this.box);
    const known = data.total.filter((total) => total !== null).length;
    this.box.setAttribute(
      "aria-label",
      `Chart: ${data.series.length} items at ${data.times.length} times, ${known} of them known. Left and right arrow keys read it.`,
    );
    this.read(null);
  }

  /** Steps that nobody knows are shaded, and a stretch of them says so where there is room. */
  unknown(plot) {
    const { total, times } = this.data;
    for (let step = 0; step < total.length; step++) {
      if (total[step] !== null) continue;
      const first = step;
      while (step + 1 < total.length && total[step + 1] === null) step++;
      this.shade(plot, times[first] / 1000, times[step] / 1000);
    }
  }

  shade(plot, first, last) {
    const { ctx, bbox } = plot;
    const ratio = devicePixelRatio;
    const half = this.data.step / 2;
    const left = Math.max(bbox.left, plot.valToPos(first - half, "x", true));
    const right = Math.min(bbox.left + bbox.width, plot.valToPos(last + half, "x", true));
    ctx.save();
    ctx.fillStyle = css("--unknown");
    ctx.fillRect(left, bbox.top, right - left, bbox.height);
    ctx.font = `${12 * ratio}px ${css("--font")}`;
    const text = "not known";
    if (ctx.measureText(text).width + 24 * ratio < right - left) {
      ctx.fillStyle = css("--muted");
      ctx.textAlign = "center";
      ctx.textBaseline = "top";
      ctx.fillText(text, (left + right) / 2, bbox.top + 8 * ratio);
    }
    ctx.restore();
  }

  /** Names at the ends of the leading lines, each at its own height. */
  labels(plot, values) {
    const { ctx } = plot;
    const ratio = devicePixelRatio;
    const { selected } = this.look;
    const ends = this.names
      .map((name, index) => ({ name, value: values[index].findLast((value) => value !== null), index }))
      .filter(({ name, index, value }) => value !== undefined && (selected === null ? index < LABELS : name === selected))
      .map((end) => ({ ...end, y: plot.valToPos(end.value, "y", true) }))
      .sort((a, b) => a.y - b.y || a.index - b.index);
    const gap = 14 * ratio;
    for (let i = 1; i < ends.length; i++) ends[i].y = Math.max(ends[i].y, ends[i - 1].y + gap);
    const bottom = plot.bbox.top + plot.bbox.height;
    for (let i = ends.length - 1; i >= 0; i--) ends[i].y = Math.min(ends[i].y, i === ends.length - 1 ? bottom : ends[i + 1].y - gap);
    ctx.save();
    ctx.font = `${12 * ratio}px ${css("--font")}`;
    ctx.textAlign = "left";
    ctx.textBaseline = "middle";
    for (const { name, y } of ends) {
      ctx.fillStyle = this.look.colour(name);
      ctx.fillText(name.length > 12 ? `${name.slice(0, 11)}…` : name, plot.bbox.left + plot.bbox.width + 8 * ratio, y);
    }
    ctx.restore();
  }

  /** Says in words what is under the cursor. */
  read(step) {
    const { mode, zone, selected } = this.look;
    if (step === null || step === undefined) {
      const what = { count: "Count", total: "Running total", rank: "Place", stack: "Count, stacked, with all others" }[mode];
      return fill(this.readout, h("span", { class: "when" }, `${what}, ${stepName(this.data.step)}`));
    }
    const at = h("span", { class: "when" }, time(this.data.times[step], zone, this.data.step));
    if (this.data.total[step] === null) return fill(this.readout, at, h("span", {}, "unknown"));
    const values = mode === "total" ? this.drawn("total") : this.data.series.map((one) => one.estimate);
    const order = this.data.series
      .map((one, index) => ({ name: one.name, value: values[index][step], index }))
      .sort((a, b) => (b.value ?? -1) - (a.value ?? -1) || a.index - b.index)
      .map((one, place) => ({ ...one, place: place + 1 }));
    const shown = order.slice(0, 6);
    if (selected !== null && !shown.some((one) => one.name === selected)) shown.push(...order.filter((one) => one.name === selected));
    fill(
      this.readout,
      at,
      shown.map(({ name, value, place }) =>
        h(
          "span",
          { class: name === selected ? "value chosen" : "value" },
          h("span", { class: "dot", style: { background: this.look.colour(name) }, "aria-hidden": "true" }),
          `${mode === "rank" ? `${place}. ` : ""}${name} `,
          h("b", {}, count(value)),
        ),
      ),
    );
  }
}

function rankSplits(n) {
  const by = n > 12 ? 5 : 1;
  return [1, ...Array.from({ length: n }, (_, index) => index + 1).filter((rank) => rank > 1 && rank % by === 0)];
}

function withAlpha(colour, alpha) {
  if (!/^#[0-9a-f]{6}$/i.test(colour)) return colour;
  return colour + Math.round(alpha * 255).toString(16).padStart(2, "0");
}
