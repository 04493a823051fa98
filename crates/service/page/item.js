// One item: what is known about it, and when it passed others.
import { h, fill } from "./dom.js";
import { between, count, share, time } from "./format.js";
import { overtakes } from "./series.js";

const SHOWN = 12;

function passed(data, name, sums, zone, choose) {
  const found = overtakes(data, name, sums);
  if (found.length === 0) return h("p", { class: "quiet" }, sums ? "It passed nobody, and nobody passed it." : "No change of places.");
  const list = h(
    "ol",
    { class: "passed" },
    found.slice(-SHOWN).map(({ step, other, up, mine, theirs, proven }) =>
      h(
        "li",
        { class: up ? "up" : "down" },
        h("time", { datetime: new Date(data.times[step]).toISOString() }, time(data.times[step], zone, data.step)),
        h("span", { class: "what" }, h("span", { "aria-hidden": "true", class: "arrow" }, up ? "▲" : "▼"), up ? " passed " : " fell behind ", h("button", { type: "button", class: "link", onclick: () => choose(other) }, other)),
        h("span", { class: "score", title: proven ? "proven: their bounds do not overlap" : "by estimate: their bounds overlap" }, `${count(mine)} : ${count(theirs)}`, proven ? "" : " ≈"),
      ),
    ),
  );
  return [found.length > SHOWN && h("p", { class: "quiet" }, `The last ${SHOWN} of ${found.length}:`), list];
}

/**
 * `known`: `{ name, estimate: {estimate, lower, upper, share} or null, rank or null, maxMissed }`; `data` of `columns` or null.
 */
export function drawItem(element, known, data, look) {
  const { estimate } = known;
  const [inTotal, byStep] = data ? [true, false].map((sums) => passed(data, known.name, sums, look.zone, look.choose)) : [];
  fill(
    element,
    h(
      "div",
      { class: "item-head" },
      h("span", { class: "dot big", style: { background: look.colour(known.name) }, "aria-hidden": "true" }),
      h("h2", { tabindex: "-1" }, known.name || "(empty)"),
      h("button", { type: "button", class: "tool icon", "aria-label": "Back to all items", title: "Back to all items (Esc)", onclick: () => look.choose(null) }, "✕"),
    ),
    h(
      "dl",
      { class: "numbers" },
      h("div", {}, h("dt", {}, "Count"), h("dd", {}, estimate ? count(estimate.estimate) : "–")),
      h("div", {}, h("dt", {}, "Bounds"), h("dd", {}, estimate ? between(estimate) : "–")),
      h("div", {}, h("dt", {}, "Share"), h("dd", {}, share(estimate?.share))),
      h("div", {}, h("dt", {}, "Place"), h("dd", {}, known.rank ? String(known.rank) : "not listed")),
    ),
    data &&
      h(
        "section",
        { class: "overtakes" },
        h("h3", {}, "When it overtook, in the running total"),
        inTotal,
        h("details", {}, h("summary", {}, "Step by step"), byStep),
      ),
  );
}
