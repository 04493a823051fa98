// The ranking: a row an item, with its bar, what is proven about it, and how its place changed.
import { h, spoken } from "./dom.js";
import { between, count, itemName, share } from "./format.js";

const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** How the place changed: `rank` now, `before` (a number, null: it was not listed, undefined: nobody knows). */
function change(rank, before) {
  if (before === undefined) return h("span", { class: "delta" });
  if (before === null) return h("span", { class: "delta new", title: "not listed before" }, "new", spoken(", not listed before"));
  if (before === rank) return h("span", { class: "delta same", "aria-hidden": "true" }, "·");
  const up = before > rank;
  const by = Math.abs(before - rank);
  return h(
    "span",
    { class: `delta ${up ? "up" : "down"}`, title: `${up ? "up" : "down"} from place ${before}` },
    h("span", { "aria-hidden": "true" }, `${up ? "▲" : "▼"}${by}`),
    spoken(`, ${up ? "up" : "down"} ${by}`),
  );
}

/** The bar: what is certain is solid, what is only possible is light, between whiskers. */
function bar(item, most, colour) {
  const part = (value) => `${most > 0 ? (100 * Number(value)) / most : 0}%`;
  const spread = Number(item.upper) - Number(item.lower);
  const uncertain = spread > 0;
  return h(
    "span",
    { class: "bar", "aria-hidden": "true", style: { "--colour": colour } },
    h("span", { class: "sure", style: { width: part(item.lower) } }),
    uncertain && h("span", { class: "maybe", style: { left: part(item.lower), width: part(spread) } }),
    uncertain && h("span", { class: "whisker", style: { left: part(item.lower), width: part(spread) } }),
    uncertain && h("span", { class: "tick", style: { left: part(item.estimate) } }),
  );
}

function mark(item, exact) {
  if (exact) return null;
  return item.certain
    ? h("span", { class: "mark certain", title: "proven to be among the true top" }, "✓", spoken(" certain"))
    : h("span", { class: "mark", title: "may not be among the true top: its bounds overlap with others" }, "≈", spoken(" uncertain"));
}

/**
 * Draws `answer` into `list`, an ordered list. Rows that stay move to their new place.
 * `look`: `{ selected, before: Map or null, colour(name), choose(name) }`.
 */
export function drawRanking(list, answer, look) {
  const old = new Map([...list.children].map((row) => [row.dataset.item, { row, top: row.getBoundingClientRect().top }]));
  const focused = list.contains(document.activeElement) ? document.activeElement.closest("li")?.dataset.item : null;
  const most = Math.max(1, ...answer.items.map((item) => Number(item.upper)));
  const rows = answer.items.map((item, index) => {
    const name = itemName(item);
    const row = h("li", { "data-item": name });
    const selected = look.selected === name;
    row.append(
      h(
        "button",
        {
          type: "button",
          class: "row",
          tabindex: (look.selected === null ? index === 0 : selected) ? "0" : "-1",
          "aria-pressed": String(selected),
          onclick: () => look.choose(selected ? null : name),
        },
        h("span", { class: "rank" }, String(item.rank)),
        change(item.rank, look.before ? (look.before.get(name) ?? null) : undefined),
        h("span", { class: "name", title: name }, name === "" ? h("em", {}, "(empty)") : name),
        mark(item, answer.exact),
        h("span", { class: "count" }, count(item.estimate)),
        h("span", { class: "share" }, share(item.share)),
        h("span", { class: "bounds" }, answer.exact ? "" : between(item)),
        bar(item, most, look.colour(name)),
      ),
    );
    return row;
  });
  list.replaceChildren(...rows);
  if (!rows.some((row) => row.firstChild.tabIndex === 0) && rows.length) rows[0].firstChild.tabIndex = 0;
  for (const row of rows) {
    const was = old.get(row.dataset.item);
    if (was && !still()) {
      const by = was.top - row.getBoundingClientRect().top;
      if (Math.abs(by) > 1 && Math.abs(by) < 2000) {
        row.animate([{ transform: `translateY(${by}px)` }, { transform: "none" }], { duration: 350, easing: "ease-out" });
      }
    }
  }
  if (focused !== null) rows.find((row) => row.dataset.item === focused)?.firstChild.focus({ preventScroll: true });
}

/** Arrow keys, Home and End go through the rows of a list. */
export function walk(list) {
  list.addEventListener("keydown", (event) => {
    const rows = [...list.querySelectorAll(".row")];
    const at = rows.indexOf(document.activeElement);
    if (at < 0) return;
    const to = { ArrowDown: at + 1, j: at + 1, ArrowUp: at - 1, k: at - 1, Home: 0, End: rows.length - 1 }[event.key];
    if (to === undefined || !rows[to]) return;
    event.preventDefault();
    rows[at].tabIndex = -1;
    rows[to].tabIndex = 0;
    rows[to].focus();
  });
}

/** What is not listed. */
export function drawOther(element, answer) {
  if (!answer.other) return element.replaceChildren();
  element.replaceChildren(
    h("span", { class: "name" }, "All others"),
    h("span", { class: "count" }, count(answer.other.estimate)),
    h("span", { class: "share" }, share(answer.other.share)),
    h(
      "span",
      { class: "bounds" },
      answer.exact ? "" : `${between(answer.other)}; none of them has more than ${count(answer.max_missed)}`,
    ),
  );
}
