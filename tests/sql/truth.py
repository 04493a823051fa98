#!/usr/bin/env python3
"""What the queries in queries/ must answer, computed without any engine: goldens/NAME.json.

    python3 tests/sql/truth.py            writes inputs/ and goldens/
    python3 tests/sql/truth.py --check    fails if a file there is not what it should be

Each function below is named after its query and returns the rows that the query writes, as a list of dictionaries; their
order does not matter. The SQL says what is asked, this file says it again in Python, from the same inputs. Times are
milliseconds since the epoch, UTC.
"""

import datetime
import json
import pathlib
import random
import sys
from collections import defaultdict

HERE = pathlib.Path(__file__).parent
START = 1_700_000_040_000  # 2023-11-14T22:14:00Z, a whole minute
MINUTE = 60_000


# Inputs ---------------------------------------------------------------------------------------------------------------


def make_orders():
    """500 orders of half an hour, up to twelve seconds out of order, with NULLs and things that need quoting."""
    random.seed(7)
    items = ["apple", "pear", "plum", "fig", 'quoted "kiwi"', "melone é", "a,b"]
    rows = []
    for number in range(500):
        at = START + number * 3_600 + random.randint(0, 900)
        rows.append(
            {
                "ts": at - (random.randint(1, 12_000) if random.random() < 0.2 else 0),
                "number": number,
                "customer": f"c{min(int(random.paretovariate(0.8)), 9)}",
                "item": random.choices(items, [20, 12, 7, 5, 3, 2, 1])[0],
                "region": random.choice(["eu", "us", "asia", None]),
                "amount": random.choice([None, -5] + [random.randint(1, 1_000) for _ in range(18)]),
                "price": random.randint(4, 400) / 4,
                "tags": random.choice([[], None, ["new"], ["new", "sale"], ["sale", "sale", "gift"]]),
                "detail": {"color": random.choice(["red", "blue"]), "size": {"cm": random.randint(1, 9)}},
            }
        )
    return rows


def make_clicks():
    """300 clicks in order, with a time as text."""
    random.seed(8)
    rows = []
    for number in range(300):
        at = START + number * 6_100
        stamp = datetime.datetime.fromtimestamp(at / 1000, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
        rows.append(
            {
                "at": f"{stamp}.{at % 1000:03}Z",
                "item": random.choice(["apple", "pear", "plum", "fig", "nut"]),
                "visitor": random.randint(1, 40),
            }
        )
    return rows


def make_visits():
    """Visits of three people with long pauses, in order."""
    random.seed(9)
    rows, at = [], START
    for _ in range(200):
        at += random.choice([1_000, 5_000, 20_000, 20_000, 400_000])
        rows.append({"ts": at, "who": random.choice(["ann", "bob", "cem"]), "pages": random.randint(1, 5)})
    return rows


def make_raw():
    """Lines that are JSON of several shapes, or none at all."""
    lines = []
    for row in ORDERS[:120]:
        lines.append(json.dumps({"ts": row["ts"], "user": {"id": row["customer"]}, "amount": row["amount"]}))
    lines[17] = "this is no JSON"
    lines[40] = '{"ts": "later", "user": 5}'
    lines[41] = "{}"
    return lines


ORDERS, CLICKS, VISITS = make_orders(), make_clicks(), make_visits()
INPUTS = {
    "orders.json": [json.dumps(row) for row in ORDERS],
    "clicks.json": [json.dumps(row) for row in CLICKS],
    "visits.json": [json.dumps(row) for row in VISITS],
    "raw.txt": make_raw(),
    "broken.json": [json.dumps(row) for row in ORDERS[:50]]
    + ["{", '{"ts": "no number", "item": "x"}', '{"item": "no ts"}', "[1]", ""]
    + [json.dumps(row) for row in ORDERS[50:60]],
}


# What SQL means -------------------------------------------------------------------------------------------------------


def iso(millis):
    """A TIMESTAMP as JSON writes it: no zone, a fraction only if there is one."""
    stamp = datetime.datetime.fromtimestamp(millis // 1000, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{stamp}.{millis % 1000:03}" if millis % 1000 else stamp


def click_time(row):
    return int(datetime.datetime.fromisoformat(row["at"].replace("Z", "+00:00")).timestamp() * 1000 + 0.5)


def tumble(at, width):
    start = at - at % width
    return [(start, start + width)]


def hop(at, slide, width):
    last = at - at % slide
    return [(start, start + width) for start in range(last - width + slide, last + slide, slide)]


def sessions(rows, gap, key):
    """(key, start, end, rows) of each session."""
    by_key = defaultdict(list)
    for row in rows:
        by_key[key(row)].append(row)
    for one, its in by_key.items():
        its.sort(key=lambda row: row["ts"])
        run = [its[0]]
        for row in its[1:]:
            if row["ts"] - run[-1]["ts"] >= gap:
                yield one, run[0]["ts"], run[-1]["ts"] + gap, run
                run = []
            run.append(row)
        yield one, run[0]["ts"], run[-1]["ts"] + gap, run


def groups(rows, windows, key, at=lambda row: row["ts"]):
    """Rows by (window, key), ordered by it."""
    found = defaultdict(list)
    for row in rows:
        for window in windows(at(row)):
            found[(window, key(row))].append(row)
    return sorted(found.items(), key=lambda pair: (pair[0][0], str(pair[0][1])))


def by_minute(rows, key, at=lambda row: row["ts"]):
    return groups(rows, lambda time: tumble(time, MINUTE), key, at)


def total(values):
    """SUM: NULL only if there is nothing but NULL."""
    values = [value for value in values if value is not None]
    return sum(values) if values else None


def everything(_row):
    return None


def item(row):
    return row["item"]


def counts(rows, at=lambda row: row["ts"]):
    """{window: {item: count}} by minute."""
    found = defaultdict(dict)
    for (window, key), its in by_minute(rows, item, at):
        found[window][key] = len(its)
    return found


def answer(kind, k, capacity, weights, skipped=0):
    """The text of an exact answer: `weights` is (item, weight) for each row that counts."""
    sums = defaultdict(int)
    for one, weight in weights:
        sums[one] += weight
    # Items of weight 0 were seen, so they are tracked and can be listed.
    ranked = sorted(sums.items(), key=lambda pair: (-pair[1], pair[0].encode()))
    listed, rest = ranked[:k], ranked[k:]
    other = sum(weight for _, weight in rest)
    value = {
        "format": 1,
        "kind": kind,
        "k": k,
        "capacity": capacity,
        "total": sum(sums.values()),
        "skipped": skipped,
        "exact": True,
        "certain_leaders": len(listed),
        "max_missed": rest[0][1] if rest else 0,
        "items": [
            {"rank": rank, "item": one, "estimate": weight, "lower": weight, "upper": weight, "certain": True}
            for rank, (one, weight) in enumerate(listed, 1)
        ],
        "other": {"estimate": other, "lower": other, "upper": other},
    }
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


# The queries ----------------------------------------------------------------------------------------------------------


def tumble_count():
    return [
        {"window_start": iso(window[0]), "window_end": iso(window[1]), "item": key, "orders": len(rows), "amount": total(r["amount"] for r in rows)}
        for (window, key), rows in by_minute(ORDERS, item)
    ]


def tumble_by_alias():
    return [{"s": iso(window[0]), "orders": len(rows)} for (window, _), rows in by_minute(ORDERS, everything)]


def hop_sums():
    return [
        {"s": iso(window[0]), "e": iso(window[1]), "region": key, "amount": total(r["amount"] for r in rows), "n": len(rows)}
        for (window, key), rows in groups(ORDERS, lambda at: hop(at, 30_000, 120_000), lambda row: row["region"])
    ]


def hop_as_tumble():
    return tumble_by_alias()


def session_by_visitor():
    return [
        {"who": who, "s": iso(start), "e": iso(end), "visits": len(rows), "pages": sum(r["pages"] for r in rows), "longest": max(r["pages"] for r in rows)}
        for who, start, end, rows in sessions(VISITS, 60_000, lambda row: row["who"])
    ]


def session_of_all():
    return [{"s": iso(start), "e": iso(end), "visits": len(rows)} for _, start, end, rows in sessions(VISITS, 30_000, everything)]


def session_by_nulls():
    def key(row):
        return (row["pages"] > 0, row["who"] if row["pages"] > 3 else None, row["who"] if row["pages"] <= 3 else None)

    return [
        {"seen": seen, "many": many, "few": few, "s": iso(start), "e": iso(end), "visits": len(rows)}
        for (seen, many, few), start, end, rows in sessions(VISITS, 300_000, key)
    ]


def join_inner():
    orders, clicks = counts(ORDERS), counts(CLICKS, click_time)
    return [
        {"s": iso(window[0]), "item": one, "orders": n, "clicks": clicks[window][one]}
        for window, items in orders.items()
        for one, n in items.items()
        if one in clicks.get(window, {})
    ]


def join_outer(left, right):
    orders, clicks = counts(ORDERS), counts(CLICKS, click_time)
    rows = []
    for window in sorted(set(orders) | set(clicks)):
        o, c = orders.get(window, {}), clicks.get(window, {})
        for one in sorted(set(o) | set(c)):
            if (one in o or right) and (one in c or left):
                rows.append({"ordered": one if one in o else None, "clicked": one if one in c else None, "orders": o.get(one), "clicks": c.get(one)})
    return rows


def join_left():
    return join_outer(True, False)


def join_full():
    return join_outer(True, True)


def view_of_view():
    kept = [row for row in ORDERS if row["region"] == "eu" and row["amount"] is not None and row["amount"] > 100]
    return [{"s": iso(window[0]), "n": len(rows), "most": max(r["amount"] for r in rows)} for (window, _), rows in by_minute(kept, everything)]


def cte_nested():
    result = []
    for (window, _), rows in by_minute(ORDERS, everything):
        amounts = [r["amount"] * 2 for r in rows if r["amount"] is not None and r["amount"] >= 0]
        if amounts:
            result.append({"s": iso(window[0]), "doubled": sum(amounts), "n": len(amounts)})
    return result


def unnest_tags():
    tagged = [dict(row, tag=tag) for row in ORDERS for tag in row["tags"] or []]
    return [{"s": iso(window[0]), "tag": tag, "n": len(rows)} for (window, tag), rows in by_minute(tagged, lambda row: row["tag"])]


def top_by_window():
    result = []
    for window, items in counts(ORDERS).items():
        for rank, (one, n) in enumerate(sorted(items.items(), key=lambda pair: (-pair[1], pair[0].encode()))[:3], 1):
            result.append({"s": iso(window[0]), "rank": rank, "item": one, "n": n})
    return result


def top_by_region():
    by_region = defaultdict(list)
    for (window, (region, one)), rows in by_minute(ORDERS, lambda row: (row["region"], row["item"])):
        by_region[(window, region)].append((one, len(rows)))
    result = []
    for (window, region), items in by_region.items():
        one, n = sorted(items, key=lambda pair: (-pair[1], pair[0].encode()))[0]
        result.append({"s": iso(window[0]), "region": region, "item": one, "n": n})
    return result


def union_all():
    both = [(row["ts"], row["item"]) for row in ORDERS if row["item"] != "fig"] + [(click_time(row), row["item"]) for row in CLICKS]
    return [{"s": iso(window[0]), "item": one, "n": len(rows)} for (window, one), rows in by_minute(both, lambda row: row[1], lambda row: row[0])]


def regroup():
    return [
        {"s": iso(window[0]), "items": len(items), "most": max(items.values()), "orders": sum(items.values())}
        for window, items in counts(ORDERS).items()
    ]


def raw_json():
    result = defaultdict(lambda: [0, 0])
    for line in INPUTS["raw.txt"]:
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if not isinstance(value.get("ts"), int):
            continue
        window = tumble(value["ts"], MINUTE)[0]
        group = result[(window, value["user"]["id"])]
        group[0] += 1
        group[1] += value["amount"] or 0
    return [{"s": iso(window[0]), "who": who, "n": n, "amount": amount} for (window, who), (n, amount) in result.items()]


def json_operators():
    return [
        {"number": row["number"], "color": row["detail"]["color"], "cm": row["detail"]["size"]["cm"], "has": True}
        for row in ORDERS
        if row["detail"]["size"]["cm"] > 6
    ]


def memory_table():
    small = [row for row in ORDERS if row["amount"] is not None and row["amount"] < 50]
    return [{"s": iso(window[0]), "region": region, "n": len(rows)} for (window, region), rows in by_minute(small, lambda row: row["region"])]


def generated_columns():
    return [
        {"key": f"{row['customer']}/{row['item']}", "cents": int(row["price"] * 100), "time": iso(row["ts"])}
        for row in ORDERS
        if row["customer"] == "c9"
    ]


def filter_and_having():
    result = []
    for (window, one), rows in by_minute(ORDERS, item):
        if len(rows) > 4:
            dear = [r for r in rows if r["amount"] is not None and r["amount"] > 500]
            result.append({"s": iso(window[0]), "item": one, "n": len(rows), "dear": len(dear)})
    return result


def aggregates():
    result = []
    for (window, _), rows in by_minute(ORDERS, everything):
        amounts = [r["amount"] for r in rows if r["amount"] is not None]
        result.append(
            {
                "s": iso(window[0]),
                "rows": len(rows),
                "amounts": len(amounts),
                "low": min(amounts),
                "high": max(amounts),
                "mean": sum(amounts) / len(amounts),
                "customers": len({r["customer"] for r in rows}),
                "price": sum(r["price"] for r in rows),
                "any_asia": any(r["region"] == "asia" for r in rows if r["region"]),
            }
        )
    return result


def nested_top():
    return [
        {"s": iso(window[0]), "top": [{"item": one, "n": n} for one, n in sorted(items.items(), key=lambda pair: (-pair[1], pair[0].encode()))[:2]]}
        for window, items in counts(ORDERS).items()
    ]


def expressions():
    return [
        {
            "number": row["number"],
            "name": row["item"].upper(),
            "size": "none" if row["amount"] is None else "small" if row["amount"] < 100 else "large",
            "region": row["region"] or "nowhere",
            "minute": iso(row["ts"] - row["ts"] % MINUTE),
            "weight": max(row["amount"] or 0, 0),
        }
        for row in ORDERS
        if row["number"] % 25 == 0
    ]


def event_time_field():
    return [{"s": iso(window[0]), "n": len(rows)} for (window, _), rows in by_minute(CLICKS, everything, click_time)]


def bad_data_drop():
    good = [json.loads(line) for line in INPUTS["broken.json"] if line.startswith('{"ts": 1')]
    return [{"s": iso(window[0]), "n": len(rows)} for (window, _), rows in by_minute(good, everything)]


def late_rows():
    """No delay at all: a row is late if its window ended before, or at, the latest time that was read before it."""
    watermark, kept = 0, []
    for row in ORDERS:
        if tumble(row["ts"], 2_000)[0][1] > watermark:
            kept.append(row)
        watermark = max(watermark, row["ts"])
    assert len(kept) < len(ORDERS)
    return [{"s": iso(window[0]), "n": len(rows)} for (window, _), rows in groups(kept, lambda at: tumble(at, 2_000), everything)]


def approx_top_k():
    return [
        {"s": iso(window[0]), "region": region, "answer": answer("count", 3, 1024, [(r["item"], 1) for r in rows])}
        for (window, region), rows in groups(ORDERS, lambda at: tumble(at, 5 * MINUTE), lambda row: row["region"])
    ]


def approx_top_sum():
    result = []
    for (window, _), rows in groups(ORDERS, lambda at: tumble(at, 5 * MINUTE), everything):
        good = [(r["item"], r["amount"]) for r in rows if r["amount"] is not None and r["amount"] >= 0]
        result.append({"s": iso(window[0]), "answer": answer("sum", 2, 1024, good, len(rows) - len(good))})
    return result


def sketch_combine():
    return [
        {"s": iso(window[0]), "answer": answer("count", 4, 256, [(r["item"], 1) for r in rows])}
        for (window, _), rows in groups(ORDERS, lambda at: tumble(at, 5 * MINUTE), everything)
    ]


QUERIES = [
    tumble_count, tumble_by_alias, hop_sums, hop_as_tumble, session_by_visitor, session_by_nulls, session_of_all, join_inner,
    join_left, join_full, view_of_view, cte_nested, unnest_tags, top_by_window, top_by_region, union_all, regroup, raw_json,
    json_operators, memory_table, generated_columns, filter_and_having, aggregates, nested_top, expressions,
    event_time_field, bad_data_drop, late_rows, approx_top_k, approx_top_sum, sketch_combine,
]  # fmt: skip


def main(check):
    files = {HERE / "inputs" / name: lines for name, lines in INPUTS.items()}
    for query in QUERIES:
        files[HERE / "goldens" / f"{query.__name__}.json"] = [json.dumps(row) for row in query()]
    wrong = []
    for path, lines in files.items():
        text = "".join(line + "\n" for line in lines)
        if not check:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            wrong.append(str(path))
    sql = {path.stem for path in (HERE / "queries").glob("*.sql")}
    wrong += [f"queries/{name}.sql has no function here" for name in sorted(sql - {query.__name__ for query in QUERIES})]
    wrong += [f"queries/{query.__name__}.sql is missing" for query in QUERIES if query.__name__ not in sql]
    if wrong:
        raise SystemExit("not as it should be: " + ", ".join(wrong))


if __name__ == "__main__":
    main("--check" in sys.argv[1:])
