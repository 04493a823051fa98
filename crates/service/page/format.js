// Numbers and times as people read them. Counts above 2^53 come as strings and stay exact.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** 12,345; exact at any size. */
export function count(value) {
  if (value === null || value === undefined) return "–";
  return whole.format(typeof value === "string" ? BigInt(value) : value);
}

/** For axes and charts. */
export const number = (value) => (value === null || value === undefined ? null : Number(value));
/** One of the numbers of an axis that goes up to `most`. */
export const short = (value, most) => (most < 10000 || value === 0 ? whole.format(value) : compact.format(value));

export function share(value) {
  if (value === null || value === undefined) return "–";
  const percent = value * 100;
  const digits = percent >= 10 || percent === 0 ? 1 : percent >= 0.1 ? 2 : 3;
  return `${percent.toFixed(digits)} %`;
}

export const signed = (value) => (Number(value) > 0 ? `+${count(value)}` : count(value).replace("-", "−"));

/** `exactly 5`, or `5 to 8`. */
export function between(bounds) {
  if (bounds.lower === null || bounds.lower === undefined) return "unknown";
  return String(bounds.lower) === String(bounds.upper) ? "exact" : `${count(bounds.lower)} to ${count(bounds.upper)}`;
}

const UNITS = [
  [31557600, "year"],
  [86400, "day"],
  [3600, "hour"],
  [60, "min"],
];

/** `2.4 s`, `3 min`, `12 years`. */
export function duration(seconds) {
  if (seconds < 60) return `${seconds < 10 ? Math.max(0, seconds).toFixed(1) : Math.round(seconds)} s`;
  for (const [size, name] of UNITS) {
    if (seconds >= size) {
      const n = Math.floor(seconds / size);
      return `${n} ${name}${n === 1 || name === "min" ? "" : "s"}`;
    }
  }
  return `${seconds} s`;
}

/** The seconds of `90s`, `15m`, `1h`, `7d`, `2w`. */
export function seconds(text) {
  const parts = /^(\d+)(s|m|h|d|w)$/.exec(text ?? "");
  return parts ? Number(parts[1]) * { s: 1, m: 60, h: 3600, d: 86400, w: 604800 }[parts[2]] : null;
}

export function knownZone(zone) {
  try {
    new Intl.DateTimeFormat("en", { timeZone: zone });
    return Boolean(zone);
  } catch {
    return false;
  }
}

const formats = new Map();
function formatter(zone, options) {
  const key = zone + JSON.stringify(options);
  if (!formats.has(key)) formats.set(key, new Intl.DateTimeFormat("en-GB", { timeZone: zone, hourCycle: "h23", ...options }));
  return formats.get(key);
}

/** Year, month (1 to 12), day, hour, minute, second in a zone. */
export function parts(ms, zone) {
  const options = { year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric" };
  return Object.fromEntries(formatter(zone, options).formatToParts(ms).map(({ type, value }) => [type, Number(value)]));
}

const midnight = (ms, zone) => {
  const at = parts(ms, zone);
  return at.hour === 0 && at.minute === 0 && at.second === 0;
};

/** A time as short as `step` seconds allow: a day, a minute, a second. */
export function time(ms, zone, step, weekday = true) {
  const day = { day: "numeric", month: "short", ...(weekday ? { weekday: "short" } : {}) };
  if (step >= 86400) return formatter(zone, day).format(ms);
  const clock = { hour: "2-digit", minute: "2-digit", ...(step % 60 ? { second: "2-digit" } : {}) };
  return formatter(zone, { ...day, ...clock }).format(ms);
}

export function clock(ms, zone, withSeconds) {
  return formatter(zone, { hour: "2-digit", minute: "2-digit", ...(withSeconds ? { second: "2-digit" } : {}) }).format(ms);
}

export const date = (ms, zone) => formatter(zone, { day: "numeric", month: "short", year: "numeric" }).format(ms);

/** `25 – 31 Dec 2013` for whole days, else with times; the end of whole days is the last of them. */
export function range(from, to, zone) {
  if (midnight(from, zone) && midnight(to, zone)) {
    const last = to - 1;
    const [a, b] = [parts(from, zone), parts(last, zone)];
    if (a.year === b.year && a.month === b.month && a.day === b.day) return date(from, zone);
    if (a.year === b.year && a.month === b.month) return `${a.day} – ${date(last, zone)}`;
    if (a.year === b.year) return `${formatter(zone, { day: "numeric", month: "short" }).format(from)} – ${date(last, zone)}`;
    return `${date(from, zone)} – ${date(last, zone)}`;
  }
  const fine = (from / 1000) % 60 !== 0 || (to / 1000) % 60 !== 0;
  const same = date(from, zone) === date(to, zone);
  const start = `${date(from, zone)}, ${clock(from, zone, fine)}`;
  return same ? `${start} – ${clock(to, zone, fine)}` : `${start} – ${date(to, zone)}, ${clock(to, zone, fine)}`;
}

/** For an input of datetime-local. */
export function local(ms, zone) {
  const at = parts(ms, zone);
  const two = (value) => String(value).padStart(2, "0");
  return `${at.year}-${two(at.month)}-${two(at.day)}T${two(at.hour)}:${two(at.minute)}:${two(at.second)}`;
}

/** The name of an item: its text, or its bytes. */
export const itemName = (item) => item.item ?? `base64:${item.item_base64}`;

/** `origin = JFK`, for people. */
export function group(where) {
  return Object.entries(where)
    .map(([name, value]) => `${name} ${value === null ? "(none)" : value === "" ? "(empty)" : value}`)
    .join(", ");
}
