// What is shown, and nothing else: it stands in the address, so that a copied link shows the same.

const CHOICES = {
  view: ["ranking", "compare", "groups"],
  chart: ["count", "total", "rank", "stack"],
};

/** The choice of the window that is still open, in place of a length of time. */
export const OPEN = "open";

/** Reads the query string of an address. */
export function read(search) {
  const query = new URLSearchParams(search);
  const one = (name) => query.get(name) || null;
  const choice = (name) => (CHOICES[name].includes(query.get(name)) ? query.get(name) : CHOICES[name][0]);
  const where = {};
  for (const text of query.getAll("where")) {
    const at = text.indexOf("=");
    if (at < 0) where[text] = null;
    else where[text.slice(0, at)] = text.slice(at + 1);
  }
  const k = Number(query.get("k"));
  return {
    pipeline: one("pipeline"),
    set: one("set"),
    where,
    // The window that is still open is a choice among others: it stands where a length of time would.
    last: query.get("open") === "true" ? OPEN : one("last"),
    from: one("from"),
    to: one("to"),
    tz: one("tz"),
    k: Number.isInteger(k) && k > 0 ? Math.min(k, 1000) : null,
    view: choice("view"),
    chart: choice("chart"),
    item: query.has("item") ? query.get("item") : null,
    against: one("against") ?? "previous",
    live: query.get("live") === "1",
  };
}

/** What a question and an address have in common. */
export function common(state) {
  const query = new URLSearchParams();
  if (state.set) query.set("set", state.set);
  for (const [name, value] of Object.entries(state.where)) query.append("where", value === null ? name : `${name}=${value}`);
  if (state.last === OPEN) query.set("open", "true");
  else if (state.last) query.set("last", state.last);
  if (state.from) query.set("from", state.from);
  if (state.to) query.set("to", state.to);
  if (state.tz) query.set("tz", state.tz);
  return query;
}

/** The query string of an address. */
export function write(state) {
  const query = new URLSearchParams();
  if (state.pipeline) query.set("pipeline", state.pipeline);
  for (const [name, value] of common(state)) query.append(name, value);
  if (state.k) query.set("k", state.k);
  if (state.view !== "ranking") query.set("view", state.view);
  if (state.chart !== "count") query.set("chart", state.chart);
  if (state.item !== null) query.set("item", state.item);
  if (state.against !== "previous") query.set("against", state.against);
  if (state.live) query.set("live", "1");
  return `?${query}`;
}
