#!/usr/bin/env python3
"""Asks the query service by SQL, as dashboards do, and compares every answer with that of REST.

    tests/postgres/check.py CONFIG

CONFIG is JSON: url (of REST), port (of the PostgreSQL protocol), keys by name: all, eu (only region = eu), foreign (another
pipeline), slow (one question a second), revoked; ca (PEM, for TLS) or null. The rows behind it are those of crates/postgres/tests/postgres.rs. Every check has
the name of what it promises.
"""

import contextlib
import json
import sys
import threading
import time
import urllib.parse
import urllib.request
from datetime import datetime, timedelta, timezone

import psycopg
from checks import check, run_all

CONFIG = json.loads(sys.argv[1])
NOON = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)
MINUTE = timedelta(minutes=1)


def connect(key="all", **more):
    options = {"host": "127.0.0.1", "port": CONFIG["port"], "user": "anybody", "dbname": "hitters", "connect_timeout": 10}
    if CONFIG["ca"]:
        options |= {"sslmode": "verify-full", "sslrootcert": CONFIG["ca"]}
    return psycopg.connect(password=CONFIG["keys"].get(key, key), autocommit=True, **(options | more))


def rest(path, **parameters):
    query = urllib.parse.urlencode(parameters, doseq=True)
    request = urllib.request.Request(f"{CONFIG['url']}/v1/pipelines/shop/{path}?{query}")
    request.add_header("Authorization", f"Bearer {CONFIG['keys']['all']}")
    with urllib.request.urlopen(request) as response:
        return json.load(response)


def rows(connection, text, parameters=None, **more):
    with connection.cursor(**more) as cursor:
        return cursor.execute(text, parameters).fetchall()


def refused(connection, text, state, *words):
    """The statement fails with this SQLSTATE, and says these words in its message or hint."""
    try:
        found = rows(connection, text)
    except psycopg.Error as error:
        said = f"{error.diag.message_primary} {error.diag.message_hint or ''}"
        assert error.sqlstate == state, f"{text}: {error.sqlstate}, not {state}: {said}"
        for word in words:
            assert word in said, f"{text}: no '{word}' in: {said}"
        return
    raise AssertionError(f"{text} gave {found[:3]}, and should be refused with {state}")


def of_rest(answer):
    return [(line["rank"], line["item"], line["estimate"], line["lower"], line["upper"]) for line in answer["items"]]


TOP = "SELECT rank, item, count, lower, upper FROM top_k"


@check
def answers_are_those_of_rest(c):
    for text, parameters in [
        ("('shop')", {}),
        ("('shop', '3m')", {"last": "3m"}),
        ("('shop', '3m', 1)", {"last": "3m", "k": 1}),
        ("('shop', '3m') WHERE region = 'eu'", {"last": "3m", "where": "region=eu"}),
        ("('shop', '3m', set => 'category,region')", {"last": "3m", "set": "category,region"}),
        ("('shop', '3m', group_key => 'category=shoes|region=eu')", {"last": "3m", "where": ["category=shoes", "region=eu"]}),
        ("('shop', \"from\" => '2026-01-31T12:00:00Z', \"to\" => '2026-01-31 12:01:00+00')", {"from": "2026-01-31T12:00:00Z", "to": "2026-01-31T12:01:00Z"}),
        ("('shop', \"from\" => timestamp '2026-01-31 12:00:00', \"to\" => timestamptz '2026-01-31 12:02:00Z' - interval '1 minute')", {"from": "2026-01-31T12:00:00Z", "to": "2026-01-31T12:01:00Z"}),
        ("('shop', \"from\" => '2026-01-31', tz => 'America/New_York')", {"from": "2026-01-31", "tz": "America/New_York"}),
        ("('shop', interval '3 minutes')", {"last": "3m"}),
    ]:
        assert rows(c, TOP + text) == of_rest(rest("top", **parameters)), text
    answer = rest("top", last="3m")
    about = rows(c, "SELECT total, max_missed, exact, complete, complete_up_to, panes, window_start, window_end, set, group_key, region FROM top_k('shop', '3m') LIMIT 1")
    at = datetime.fromisoformat
    assert about == [(answer["total"], answer["max_missed"], answer["exact"], answer["range"]["complete"], at(answer["freshness"]["complete_up_to"]),
        answer["source"]["panes"], at(answer["range"]["from"]), at(answer["range"]["to"]), "*", "*", None)], about


@check
def estimates_heavy_hitters_comparisons_and_trends_are_those_of_rest(c):
    answer = rest("estimate", item="c", last="3m")["estimates"][0]
    found = rows(c, "SELECT item, count, lower, upper, share FROM estimate('shop', 'c', '3m')")
    assert found == [("c", answer["estimate"], answer["lower"], answer["upper"], answer["share"])], found
    found = rows(c, "SELECT rank, item, count, lower, upper FROM heavy_hitters('shop', '3m', 0.2)")
    assert found == of_rest(rest("heavy-hitters", last="3m", phi=0.2)), found
    found = rows(c, "SELECT item, status, proven, count, count_before, change, change_lower, change_upper FROM compare('shop', '1m', against => '2026-01-31T12:00:00Z') ORDER BY item")
    answer = rest("compare", last="1m", against="2026-01-31T12:00:00Z")["items"]
    expected = [(line["item"], line["status"], line["proven"], line["now"]["estimate"], line["before"]["estimate"], *(line["change"][name] for name in ("estimate", "lower", "upper"))) for line in answer]
    assert found == sorted(expected), found
    found = rows(c, "SELECT item, direction, slope FROM trends('shop', '3m', step => '1m') WHERE region = 'eu'")
    answer = rest("trends", last="3m", step="1m", where="region=eu")["items"]
    assert found == [(line["item"], line["direction"], line["slope"]) for line in answer], found


@check
def series_are_gapless_and_tell_nothing_from_unknown(c):
    found = rows(c, "SELECT time, item, count, upper FROM series('shop', k => 2, step => '1m', \"from\" => '2026-01-31T11:59:00Z', \"to\" => '2026-01-31T12:03:00Z') WHERE region = 'eu' AND item = 'a'")
    assert found == [(NOON - MINUTE, "a", None, None), (NOON, "a", 10, 10), (NOON + MINUTE, "a", 0, 0), (NOON + 2 * MINUTE, "a", 3, 3)], found
    others = rows(c, "SELECT count FROM series('shop', '3m', 1, '1m') WHERE item IS NULL ORDER BY time")
    assert others == [(value,) for value in rest("series", last="3m", k=1, step="1m")["other"]["estimate"]], others
    history = rows(c, "SELECT time, count FROM item_history('shop', 'b', '3m', '1m') WHERE region = 'eu'")
    assert history == [(NOON, 2), (NOON + MINUTE, 0), (NOON + 2 * MINUTE, 9)], history


@check
def a_filter_of_time_as_grafana_writes_it_is_the_range(c):
    between = "time BETWEEN '2026-01-31T12:00:00Z' AND '2026-01-31T12:01:59Z'"
    found = rows(c, f"SELECT time AS \"time\", item AS metric, count AS value FROM series('shop', k => 1, step => '1m') WHERE {between} AND region = 'eu' ORDER BY 1, 2")
    assert found == [(NOON, "a", 10), (NOON, None, 2), (NOON + MINUTE, "a", 0), (NOON + MINUTE, None, 0)], found
    grouped = rows(c, f"SELECT floor(extract(epoch from time)/120)*120 AS \"time\", sum(count) AS value FROM item_history('shop', 'a', step => '1m') WHERE {between} GROUP BY 1 ORDER BY 1")
    assert [(float(at), int(value)) for at, value in grouped] == [(NOON.timestamp(), 10)], grouped


@check
def sql_goes_around_the_answers(c):
    top = rows(c, "SELECT t.item, t.count * 2 AS twice FROM top_k('shop', '3m') AS t WHERE count > 4 ORDER BY t.item DESC LIMIT 2")
    assert top == [("b", 22), ("a", 26)], top
    joined = rows(c, "WITH now AS (SELECT * FROM top_k('shop', '1m')), all_of_it AS (SELECT * FROM top_k('shop', '3m')) SELECT now.item, now.count, all_of_it.count FROM now JOIN all_of_it USING (item) ORDER BY 1")
    assert joined == [("a", 3, 13), ("b", 9, 11)], joined
    named = rows(c, "SELECT top_k.item FROM top_k('shop') ORDER BY top_k.rank LIMIT 1")
    assert named == [("b",)], named
    several = rows(c, "SELECT region, item, count, group_key FROM top_k('shop', '3m', 1) WHERE region IN ('eu', 'us') ORDER BY region")
    assert several == [("eu", "a", 13, "region=eu"), ("us", "c", 4, "region=us")], several
    wide = rows(c, "SELECT region, category FROM top_k('shop', '3m', 1) WHERE region = 'eu' AND category = 'shoes'")
    assert wide == [("eu", "shoes")], wide


@check
def parameters_go_everywhere_in_text_and_binary(c):
    text = "SELECT item, count FROM top_k(%s, %s, k => %s) WHERE region = %s AND count > %s"
    for binary in (False, True):
        for prepare in (False, True, True):
            with c.cursor(binary=binary) as cursor:
                found = cursor.execute(text, ("shop", "3m", 5, "eu", 1), prepare=prepare).fetchall()
            assert found == [("a", 13), ("b", 11)], found
    found = rows(c, "SELECT item FROM top_k(%b, %b, k => %b) WHERE region = %b", ("shop", "3m", 1, "eu"), binary=True)
    assert found == [("a",)], found
    found = rows(c, "SELECT time, count FROM item_history('shop', %s, step => '1m') WHERE time >= %s AND time < %s AND region = 'eu'", ("a", NOON, NOON + 2 * MINUTE))
    assert found == [(NOON, 10), (NOON + MINUTE, 0)], found
    found = rows(c, "SELECT item, total, share, exact, window_end FROM top_k('shop', \"from\" => %s, \"to\" => %s, k => 1)", (NOON, NOON + MINUTE), binary=True)
    assert found == [("a", 16, 0.625, True, NOON + MINUTE)], found
    simple = psycopg.ClientCursor(c).execute(text, ("shop", "3m", 5, "eu", 1)).fetchall()
    assert simple == [("a", 13), ("b", 11)], simple
    for name in ("shop'); DROP TABLE x --", "shop' OR '1'='1"):
        try:
            rows(c, "SELECT item FROM top_k(%s)", (name,))
        except psycopg.errors.UndefinedTable:
            continue
        raise AssertionError(f"{name} is no pipeline")


@check
def tables_are_found_in_the_catalog(c):
    found = rows(c, "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1")
    assert found == [("cdn",), ("pipelines",), ("shop",)], found
    columns = rows(c, "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'shop' AND column_name IN ('count', 'region', 'category', 'item') ORDER BY 1")
    assert [name for name, _ in columns] == ["category", "count", "item", "region"], columns
    joined = rows(c, "SELECT n.nspname, c.relname, a.attname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid WHERE c.relname = 'pipelines' AND n.nspname = 'public' AND a.attnum > 0 ORDER BY a.attnum LIMIT 2")
    assert joined == [("public", "pipelines", "pipeline"), ("public", "pipelines", "version")], joined
    assert rows(c, "SELECT current_database(), current_schema()") == [("hitters", "public")]
    assert rows(c, "SELECT version()")[0][0].startswith("PostgreSQL 16"), "version"
    listed = rows(c, "SELECT pipeline, set, dimensions, groups, ranges, complete_up_to FROM pipelines WHERE pipeline = 'shop' ORDER BY set")
    assert [line[1:4] for line in listed] == [("*", "", 1), ("category,region", "category,region", 2), ("region", "region", 2)], listed
    assert listed[0][4:] == (True, NOON + 3 * MINUTE), listed


@check
def a_driver_that_asks_for_primary_keys_hears_that_there_are_none(c):
    # In the shape of JDBC's getPrimaryKeys: fields of what a function returns.
    inner = "SELECT a.attname AS COLUMN_NAME, (information_schema._pg_expandarray(i.indkey)).n AS KEY_SEQ, t.relname AS PK_NAME FROM pg_catalog.pg_class t JOIN pg_catalog.pg_attribute a ON t.oid = a.attrelid JOIN pg_catalog.pg_index i ON a.attrelid = i.indrelid WHERE i.indisprimary"
    with c.cursor() as cursor:
        found = cursor.execute(f"SELECT result.COLUMN_NAME, result.KEY_SEQ, result.PK_NAME FROM ({inner}) result ORDER BY result.PK_NAME")
        names = {column.name for column in found.description}
        assert {"table_schem", "table_name", "column_name", "key_seq", "pk_name"} <= names, names
        assert found.fetchall() == []


@check
def the_table_of_a_pipeline_has_its_newest_windows(c):
    found = rows(c, "SELECT group_key, rank, item, count, region, stale FROM shop WHERE set = 'region' ORDER BY group_key, rank")
    assert found == [("region=eu", 1, "b", 9, "eu", False), ("region=eu", 2, "a", 3, "eu", False), ("region=us", 1, "c", 4, "us", True)], found
    assert rows(c, "SELECT DISTINCT region FROM shop WHERE region LIKE 'e%' ORDER BY 1") == [("eu",)]
    assert rows(c, "SELECT count(*) FROM shop") == [(8,)], rows(c, "SELECT * FROM shop")
    groups = rows(c, "SELECT region, item FROM groups('shop', 'region') ORDER BY 1")
    assert groups == [("eu", "b"), ("us", "c")], groups


@check
def what_is_wrong_has_a_state_and_says_what_is_allowed(c):
    refused(c, "SELECT * FROM top_k('none')", "42P01", "pipelines")
    refused(c, "SELECT * FROM top_k()", "22023", "which pipeline", "shop")
    refused(c, "SELECT * FROM top_k('shop', k => 0)", "22023", "max 1000")
    refused(c, "SELECT * FROM top_k('shop', '3m', 500)", "22023", "at most 100")
    refused(c, "SELECT * FROM top_k('shop', 'soon')", "22023", "15m")
    refused(c, "SELECT * FROM top_k('shop', tz => 'Mars')", "22023", "IANA")
    refused(c, "SELECT * FROM top_k('shop', kk => 1)", "42883", "top_k(pipeline, last, k")
    refused(c, "SELECT * FROM top_k('shop', set => 'nothing')", "42704", "region")
    refused(c, "SELECT * FROM top_k('shop') WHERE region LIKE 'e%'", "0A000", "region = 'value'")
    refused(c, "SELECT * FROM series('shop', '3m', step => '7s')", "22023", "multiple")
    refused(c, "SELECT * FROM nowhere", "42P01")
    refused(c, "SELECT nothing FROM top_k('shop')", "42703")
    refused(c, "SELEC 1", "42601")
    refused(c, "SELECT 1 +", "42601")
    refused(c, "SELECT * FROM top_k('shop', lower(item)) t", "42703")
    assert rows(c, "SELECT 1") == [(1,)], "the connection lives on"


@check
def nothing_is_written_or_read_beside_the_answers(c):
    for text in [
        "CREATE TABLE a (b INT)", "CREATE TABLE a AS SELECT 1", "CREATE VIEW a AS SELECT 1", "DROP TABLE shop", "INSERT INTO shop SELECT * FROM shop",
        "DELETE FROM shop", "UPDATE shop SET item = 'x'", "COPY shop TO '/tmp/hitters-must-not-be'", "COPY (SELECT 1) TO '/tmp/hitters-must-not-be'",
        "SELECT 1 AS a INTO other", "TRUNCATE shop", "ALTER TABLE shop ADD COLUMN x INT", "CREATE SCHEMA s", "CREATE FUNCTION f() RETURNS INT AS $$ SELECT 1 $$ LANGUAGE sql",
    ]:
        refused(c, text, "25006")
        refused_simple(c, text, "25006")
    refused(c, "SELECT * FROM '/etc/passwd'", "42P01")
    for text in ["SET datafusion.execution.batch_size = 1", "SET datafusion.runtime.memory_limit = '100G'", "SET role = admin", "SHOW nothing"]:
        refused_simple(c, text, "42704")
    refused_simple(c, "DECLARE d CURSOR FOR SELECT 1", "0A000", "fetch size")
    assert rows(c, "SHOW transaction_read_only") == [("on",)]


def refused_simple(connection, text, *expected):
    cursor = psycopg.ClientCursor(connection)
    try:
        cursor.execute(text)
    except psycopg.Error as error:
        assert error.sqlstate == expected[0], f"{text}: {error.sqlstate}: {error}"
        for word in expected[1:]:
            assert word in f"{error.diag.message_primary} {error.diag.message_hint}", f"{text}: {error}"
        return
    raise AssertionError(f"{text} should be refused")


@check
def transactions_and_settings_of_drivers_are_taken(c):
    with connect() as own:
        own.autocommit = False
        assert rows(own, "SELECT count(*) FROM top_k('shop')") == [(2,)]
        own.commit()
        refused(own, "SELECT nothing", "42703")
        refused(own, "SELECT 1", "25P02")
        own.rollback()
        assert rows(own, "SELECT 1") == [(1,)]
        own.rollback()
    for text in ["SET statement_timeout = '5s'", "SET TIME ZONE 'Europe/Berlin'", "SET extra_float_digits = 3", "SET application_name = 'x'", "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        "DISCARD ALL", "RESET ALL", "SET client_encoding TO 'UTF8'", "SET search_path TO public"]:
        psycopg.ClientCursor(c).execute(text)
    assert rows(c, "SHOW statement_timeout") == [("5000ms",)]
    c.execute("SET statement_timeout = 0")
    assert rows(c, "SHOW statement_timeout") == [("10000ms",)], "no longer than the service allows"
    refused_simple(c, "SET client_encoding TO 'LATIN1'", "22023")
    both = psycopg.ClientCursor(c).execute("SELECT 1; SELECT item FROM top_k('shop', k => 1)")
    both.nextset()
    assert both.fetchall() == [("b",)]


@check
def statements_end_in_time_and_within_memory(c):
    with connect() as own:
        own.execute("SET statement_timeout = 300")
        begun = time.monotonic()
        refused(own, "SELECT count(*) FROM generate_series(1, 100000000000) a WHERE a.value % 7 = 1", "57014", "300 ms")
        assert time.monotonic() - begun < 5
    refused(c, "SELECT * FROM generate_series(1, 100000000) a ORDER BY a.value % 1000003 DESC LIMIT 100000000", "53200")
    calls = ", ".join(f"top_k('shop') t{at}" for at in range(17))
    refused(c, f"SELECT 1 FROM {calls}", "54000", "16")
    refused_simple(c, "SELECT 1;" * 40, "54000")
    values = ", ".join(f"'{at}'" for at in range(60))
    refused(c, f"SELECT * FROM top_k('shop') WHERE region IN ({values})", "54000", "50")


@check
def a_statement_can_be_cancelled(c):
    with connect() as own:
        timer = threading.Timer(0.5, own.cancel_safe)
        timer.start()
        begun = time.monotonic()
        try:
            rows(own, "SELECT count(*) FROM generate_series(1, 100000000000) a, top_k('shop') WHERE a.value %% 7 = 1", ())
            raise AssertionError("it should be cancelled")
        except psycopg.errors.QueryCanceled:
            pass
        assert time.monotonic() - begun < 8
        timer.join()


@check
def nobody_gets_data_without_a_key_that_is_for_it(c):
    good = CONFIG["keys"]["all"]
    for wrong in ("", "hk_", good[:-1], good[3:], good + " ", "postgres", CONFIG["keys"]["expired"]):
        try:
            connect(wrong or " ")
        except psycopg.OperationalError as error:
            # A failed connection has no diagnostics in psycopg: its state is seen by psql.
            assert "no API key" in str(error), error
        else:
            raise AssertionError(f"'{wrong}' opened")
    with connect("eu") as eu:
        assert rows(eu, "SELECT item FROM top_k('shop', '3m', 1) WHERE region = 'eu'") == [("a",)]
        for text in ["SELECT * FROM top_k('shop')", "SELECT * FROM top_k('shop') WHERE region = 'us'", "SELECT * FROM top_k('shop') WHERE region IN ('eu', 'us')",
            "SELECT * FROM top_k('shop', set => '*')", "SELECT * FROM shop", "SELECT * FROM shop WHERE region = 'us'", "SELECT * FROM groups('shop', 'region')",
            "SELECT * FROM estimate('shop', 'a')", "SELECT * FROM series('shop', '3m')", "SELECT * FROM compare('shop', '1m')",
            "SELECT * FROM top_k('shop', group_key => 'region=us')"]:
            refused(eu, text, "42501", "region")
        assert rows(eu, "SELECT DISTINCT region FROM shop WHERE region = 'eu'") == [("eu",)]
    with connect("foreign") as foreign:
        refused(foreign, "SELECT * FROM top_k('shop')", "42501")
        refused(foreign, "SELECT * FROM top_k('none')", "42501")
        refused(foreign, "SELECT * FROM shop", "42P01")
        assert rows(foreign, "SELECT DISTINCT pipeline FROM pipelines") == [("cdn",)]
        assert rows(foreign, "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1") == [("cdn",), ("pipelines",)]
        assert "shop" not in str(rows(foreign, "SELECT relname FROM pg_catalog.pg_class"))


@check
def a_key_asks_as_often_as_it_may(c):
    with connect("slow") as slow:
        states = []
        for _ in range(5):
            try:
                rows(slow, "SELECT * FROM top_k('shop')")
                states.append(None)
            except psycopg.Error as error:
                states.append(error.sqlstate)
        assert states[0] is None and "53400" in states and set(states) == {None, "53400"}, states
        assert rows(slow, "SELECT 1") == [(1,)], "what asks for no answer is not counted"


@check
def a_key_that_is_revoked_ends(c):
    with connect("revoked") as revoked:
        assert rows(revoked, "SELECT count(*) FROM top_k('shop', k => 1)") == [(1,)]
        CONFIG["revoke"]()
        time.sleep(1.2)
        refused(revoked, "SELECT * FROM top_k('shop')", "28P01")
        refused(revoked, "SELECT 1", "28P01")


@check
def connections_are_bounded_and_come_back(c):
    with contextlib.ExitStack() as stack:
        said = None
        for _ in range(70):
            try:
                stack.enter_context(connect())
            except psycopg.OperationalError as error:
                said = str(error)
                break
        assert said and "too many connections" in said, said
    deadline = time.monotonic() + 5
    while True:
        try:
            connect().close()
            return
        except psycopg.OperationalError:
            assert time.monotonic() < deadline, "places do not come back"
            time.sleep(0.1)


@check
def rows_come_in_parts_as_the_driver_fetches_them(c):
    with c.cursor(binary=True) as cursor:
        stream = cursor.stream("SELECT time, item, count FROM series('shop', k => 3, step => '1m', \"from\" => '2026-01-31T00:00:00Z', \"to\" => '2026-02-01T00:00:00Z')")
        found = list(stream)
    # a day of minutes, three items and all others
    assert len(found) == 1440 * 4, len(found)
    assert sum(count or 0 for _, _, count in found) == 28


def main():
    def revoke():
        sys.stdout.write("revoke\n")
        sys.stdout.flush()
        assert sys.stdin.readline().strip() == "revoked"

    CONFIG["revoke"] = revoke

    def with_connection(function):
        with connect() as connection:
            function(connection)

    run_all(with_connection)


main()
