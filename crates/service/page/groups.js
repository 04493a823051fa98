// The groups of a set, each with its newest window: the way down to one of them.
import { h, fill } from "./dom.js";
import { count, itemName } from "./format.js";

const value = (text) => (text === null ? h("em", {}, "(none)") : text === "" ? h("em", {}, "(empty)") : text);

/** `look`: `{ open(group), more: function or null }`. */
export function drawGroups(element, groups, dimensions, look) {
  if (groups.length === 0) return fill(element, h("p", { class: "empty" }, "There is no group yet."));
  const most = Math.max(1, ...groups.map((group) => Number(group.total ?? 0)));
  fill(
    element,
    h(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": "Groups" },
      h(
        "table",
        { class: "groups" },
        h("thead", {}, h("tr", {}, dimensions.map((name) => h("th", { scope: "col" }, name)), h("th", { scope: "col", class: "graph" }, "Newest window"), h("th", { scope: "col", class: "right" }, "Total"), h("th", { scope: "col" }, "Top item"), h("th", {}, h("span", { class: "visually-hidden" }, "Open")))),
        h(
          "tbody",
          {},
          [...groups]
            .sort((a, b) => Number(b.total ?? 0) - Number(a.total ?? 0))
            .map((group) =>
              h(
                "tr",
                {},
                dimensions.map((name, index) => h(index ? "td" : "th", index ? {} : { scope: "row" }, value(group.group[name] ?? null))),
                h("td", { class: "graph" }, h("span", { class: "bar", "aria-hidden": "true", style: { "--colour": "var(--accent)" } }, h("span", { class: "sure", style: { width: `${(100 * Number(group.total ?? 0)) / most}%` } }))),
                h("td", { class: "right" }, count(group.total)),
                h("td", {}, group.items[0] ? `${itemName(group.items[0])} (${count(group.items[0].estimate)})` : "–", group.stale && h("span", { class: "tag", title: "others have a newer window" }, "stale")),
                h("td", { class: "right" }, h("button", { type: "button", class: "link", onclick: () => look.open(group.group) }, "Open")),
              ),
            ),
        ),
      ),
    ),
    look.more && h("p", { class: "actions" }, h("button", { type: "button", class: "secondary", onclick: look.more }, "More groups")),
  );
}
