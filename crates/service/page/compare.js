// Two ranges side by side: who rose, who fell, who is new, who is gone.
import { h, fill } from "./dom.js";
import { between, count, itemName, share, signed } from "./format.js";

const STATUS = [
  ["riser", "▲", "Risers"],
  ["faller", "▼", "Fallers"],
  ["new", "+", "New"],
  ["gone", "−", "Gone"],
  ["steady", "=", "Steady"],
];

/** A line from before to now on one scale, with the bounds of both as whiskers. */
function dumbbell(item, most) {
  const part = (value) => `${most > 0 ? (100 * Number(value ?? 0)) / most : 0}%`;
  const wide = (bounds) => Number(bounds.upper) > Number(bounds.lower);
  const whisker = (bounds, name) =>
    bounds && wide(bounds) && h("span", { class: `range ${name}`, style: { left: part(bounds.lower), width: part(bounds.upper - bounds.lower) } });
  const [a, b] = [Number(item.before?.estimate ?? 0), Number(item.now?.estimate ?? 0)];
  return h(
    "span",
    { class: `dumbbell ${item.status}`, "aria-hidden": "true" },
    h("span", { class: "link-line", style: { left: part(Math.min(a, b)), width: part(Math.abs(a - b)) } }),
    whisker(item.before, "before"),
    whisker(item.now, "now"),
    h("span", { class: "end before", style: { left: part(a) } }),
    h("span", { class: "end now", style: { left: part(b) } }),
  );
}

/** `look`: `{ status, filter(status), choose(name), before, now }` (the names of the two ranges). */
export function drawCompare(element, answer, look) {
  const number = (status) => answer.items.filter((item) => item.status === status).length;
  const shown = answer.items.filter((item) => look.status === null || item.status === look.status);
  const most = Math.max(1, ...answer.items.flatMap((item) => [Number(item.now?.upper ?? 0), Number(item.before?.upper ?? 0)]));
  const chip = (status, text, n) =>
    h("button", { type: "button", class: "chip", "aria-pressed": String(look.status === status), disabled: n === 0, onclick: () => look.filter(status) }, text, h("span", { class: "n" }, String(n)));
  fill(
    element,
    h("div", { class: "chips", role: "group", "aria-label": "Which changes" }, chip(null, "All", answer.items.length), STATUS.map(([status, sign, text]) => chip(status, h("span", {}, h("span", { class: `sign ${status}`, "aria-hidden": "true" }, sign), ` ${text}`), number(status)))),
    h(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": "Changes" },
      h(
        "table",
        { class: "compare" },
        h("caption", { class: "visually-hidden" }, `${look.now} against ${look.before}`),
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Item"), h("th", { scope: "col", class: "graph" }, h("span", { class: "key before" }), look.before, h("span", { class: "key now" }), look.now), h("th", { scope: "col", class: "right" }, "Before"), h("th", { scope: "col", class: "right" }, "Now"), h("th", { scope: "col", class: "right" }, "Change"), h("th", { scope: "col", class: "right wide" }, "Place"))),
        h(
          "tbody",
          {},
          shown.map((item) => {
            const name = itemName(item);
            const [, sign, text] = STATUS.find(([status]) => status === item.status) ?? ["", "", item.status];
            return h(
              "tr",
              { class: item.status },
              h("th", { scope: "row" }, h("span", { class: `sign ${item.status}`, title: text }, sign), h("button", { type: "button", class: "link", onclick: () => look.choose(name) }, name)),
              h("td", { class: "graph" }, dumbbell(item, most)),
              h("td", { class: "right", title: item.before ? between(item.before) : "" }, count(item.before?.estimate)),
              h("td", { class: "right", title: item.now ? between(item.now) : "" }, count(item.now?.estimate)),
              h("td", { class: `right strong ${item.status}`, title: item.change ? `${count(item.change.lower)} to ${count(item.change.upper)}` : "" }, signed(item.change?.estimate ?? null), item.proven ? "" : h("span", { class: "mark", title: "may be no change at all: its bounds hold 0" }, " ≈")),
              h("td", { class: "right wide" }, `${item.rank_before ?? "–"} → ${item.rank ?? "–"}`),
            );
          }),
        ),
      ),
    ),
    shown.length === 0 && h("p", { class: "empty" }, "None."),
    h("p", { class: "quiet" }, `In total ${count(answer.total_before)} before and ${count(answer.total)} now. Shares: `, shown.slice(0, 3).map((item, index) => `${index ? ", " : ""}${itemName(item)} ${share(item.share_before)} → ${share(item.share)}`), "."),
  );
}
