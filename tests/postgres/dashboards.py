#!/usr/bin/env python3
"""Asks the query service what dashboards ask a database before and while they draw: SQLAlchemy as Superset has it, and statements in the
shapes of Grafana's and Metabase's.

    tests/postgres/dashboards.py PORT KEY

The rows behind it are those of crates/postgres/tests/postgres.rs. Every check has the name of what it promises.
"""

import sys
from datetime import date, datetime, timedelta, timezone

import psycopg
import sqlalchemy
from checks import check, run_all
from sqlalchemy import create_engine, func, inspect, select, text

PORT, KEY = sys.argv[1:3]
NOON = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)
MINUTE = timedelta(minutes=1)


def engine(driver):
    return create_engine(f"postgresql+{driver}://me:{KEY}@127.0.0.1:{PORT}/hitters")


def rows(statement):
    with psycopg.connect(host="127.0.0.1", port=PORT, user="me", password=KEY, dbname="hitters", autocommit=True) as c:
        return c.execute(statement).fetchall()


@check
def sqlalchemy_finds_tables_and_columns():
    for driver in ("psycopg2", "psycopg"):
        one = engine(driver)
        found = inspect(one)
        assert found.get_schema_names() == ["public"], found.get_schema_names()
        assert sorted(found.get_table_names()) == ["cdn", "pipelines", "shop"], found.get_table_names()
        assert found.get_view_names() == [] and found.get_materialized_view_names() == []
        assert found.has_table("shop") and not found.has_table("nothing")
        columns = {column["name"]: column for column in found.get_columns("shop", "public")}
        assert isinstance(columns["count"]["type"], sqlalchemy.BIGINT), columns["count"]
        assert isinstance(columns["item"]["type"], sqlalchemy.TEXT) and columns["item"]["nullable"], columns["item"]
        assert columns["window_end"]["type"].timezone and columns["window_end"]["default"] is None, columns["window_end"]
        assert found.get_pk_constraint("shop")["constrained_columns"] == []
        for absent in (found.get_foreign_keys, found.get_indexes, found.get_unique_constraints, found.get_check_constraints):
            assert absent("shop") == [], absent
        assert found.get_table_comment("shop") == {"text": None}
        assert found.get_enums() == [] and found.get_sequence_names() == []
        one.dispose()


@check
def a_table_is_reflected_and_asked():
    one = engine("psycopg2")
    shop = sqlalchemy.Table("shop", sqlalchemy.MetaData(), schema="public", autoload_with=one)
    statement = select(shop.c.item, func.sum(shop.c.count)).where(shop.c.set == "region", shop.c.region.in_(["eu", "us"]))
    with one.connect() as connection:
        found = connection.execute(statement.group_by(shop.c.item).order_by(shop.c.item).limit(1000)).fetchall()
    assert found == [("a", 3), ("b", 9), ("c", 4)], found
    one.dispose()


@check
def a_saved_statement_is_a_dataset():
    inner = "SELECT time, item, count FROM series('shop', '3m', step => '1m') WHERE region = 'eu'"
    chart = f"""
        SELECT DATE_TRUNC('minute', time) AS time, item AS item, sum(count) AS "SUM(count)" FROM ({inner}) AS virtual_table
        WHERE time >= TO_TIMESTAMP('2026-01-31 12:00:00.000000', 'YYYY-MM-DD HH24:MI:SS.US')
          AND time < TO_TIMESTAMP('2026-01-31 12:01:00.000000', 'YYYY-MM-DD HH24:MI:SS.US') AND item IS NOT NULL
        GROUP BY DATE_TRUNC('minute', time), item ORDER BY "SUM(count)" DESC LIMIT 10000"""
    with engine("psycopg2").connect() as connection:
        assert connection.execute(text(f"SELECT * FROM ({inner}) AS inner_qry LIMIT 1001")).fetchall()
        found = connection.execute(text(chart)).fetchall()
    assert found == [(NOON, "a", 10), (NOON, "b", 2)], found
    day = rows("SELECT count(*) FROM shop WHERE window_end > TO_DATE('2026-01-31', 'YYYY-MM-DD')")
    assert day == [(8,)], day


@check
def grafana_builds_a_query_from_the_catalog():
    assert rows("SELECT current_setting('server_version_num')::int/100 AS version") == [(1600,)]
    assert rows("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'") == []
    assert rows("SELECT quote_ident(table_name) FROM information_schema.tables WHERE quote_ident(table_schema) = 'public' ORDER BY 1") == [("cdn",), ("pipelines",), ("shop",)]
    found = rows("""
        SELECT quote_ident(column_name) AS "column", data_type AS "type" FROM information_schema.columns
        WHERE CASE WHEN array_length(parse_ident('shop'), 1) = 2
            THEN quote_ident(table_schema) = (parse_ident('shop'))[1] AND quote_ident(table_name) = (parse_ident('shop'))[2]
            ELSE quote_ident(table_name) = 'shop' AND quote_ident(table_schema) IN ('public') END""")
    assert {("item", "text"), ("count", "bigint"), ("share", "double precision"), ("stale", "boolean"), ("window_end", "timestamp with time zone")} <= set(found), found


@check
def grafana_fills_its_range_and_its_steps_in():
    of_the_range = "time BETWEEN '2026-01-31T12:00:00Z' AND '2026-01-31T12:01:59.999999999Z'"
    steps = f"SELECT floor(extract(epoch from time)/60)*60 AS \"time\", item AS metric, sum(count) AS value FROM series('shop', k => 1, step => '1m') WHERE {of_the_range} AND region IN ('eu') GROUP BY 1, 2 ORDER BY 1, 2"
    found = [(float(at), item, value) for at, item, value in rows(steps)]
    start = NOON.timestamp()
    assert found == [(start, "a", 10), (start, None, 2), (start + 60, "a", 0), (start + 60, None, 0)], found
    from_to = rows("SELECT item, count FROM top_k('shop', k => 2, \"from\" => '2026-01-31T12:00:00Z', \"to\" => '2026-01-31T12:01:00Z')")
    assert from_to == [("a", 10), ("c", 4)], from_to
    in_seconds = rows("SELECT count(*) FROM shop WHERE extract(epoch from window_end) >= 1769860800 AND extract(epoch from window_end) <= 1769860980")
    assert in_seconds == [(8,)], in_seconds


@check
def metabase_syncs_tables_and_fields():
    assert rows("SHOW timezone") == [("UTC",)]
    tables = rows("""
        SELECT n.nspname, c.relname, CASE c.relkind WHEN 'r' THEN 'TABLE' ELSE NULL END AS kind, d.description, s.n_live_tup FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON c.relnamespace = n.oid
        LEFT JOIN pg_catalog.pg_description d ON c.oid = d.objoid AND d.objsubid = 0 AND d.classoid = 'pg_class'::regclass
        LEFT JOIN pg_stat_user_tables s ON n.nspname = s.schemaname AND c.relname = s.relname
        WHERE n.nspname !~ '^pg_' AND c.relkind IN ('r', 'p', 'v', 'f', 'm') ORDER BY kind, 1, 2""")
    assert [table[:4] for table in tables] == [("public", name, "TABLE", None) for name in ("cdn", "pipelines", "shop")], tables
    may = rows("SELECT t.tablename, pg_catalog.has_any_column_privilege(current_user, '\"' || replace(t.schemaname, '\"', '\"\"') || '\".\"' || t.tablename || '\"', 'select') FROM pg_catalog.pg_tables t WHERE t.schemaname !~ '^pg_' AND pg_catalog.has_schema_privilege(current_user, t.schemaname, 'usage') ORDER BY 1")
    assert may == [("cdn", True), ("pipelines", True), ("shop", True)], may
    fields = rows("""
        SELECT c.column_name, CASE WHEN c.udt_schema IN ('public', 'pg_catalog') THEN format('%s', c.udt_name) ELSE format('"%s"."%s"', c.udt_schema, c.udt_name) END AS kind,
            pk.column_name IS NOT NULL AS key, col_description(CAST(CAST(format('%I.%I', CAST(c.table_schema AS TEXT), CAST(c.table_name AS TEXT)) AS REGCLASS) AS OID), c.ordinal_position) AS said,
            column_default IS NULL AND is_nullable = 'NO' AND NOT (is_identity <> 'NO') AS required
        FROM information_schema.columns c
        LEFT JOIN (SELECT t.table_schema, t.table_name, k.column_name FROM information_schema.table_constraints t
            JOIN information_schema.key_column_usage k ON t.constraint_name = k.constraint_name WHERE t.constraint_type = 'PRIMARY KEY') pk
        ON c.table_schema = pk.table_schema AND c.table_name = pk.table_name AND c.column_name = pk.column_name
        WHERE c.table_schema !~ '^information_schema|pg_' AND c.table_name = 'shop'
        UNION ALL SELECT a.attname, format('%s', t.typname), false, NULL, false FROM pg_catalog.pg_class v
        JOIN pg_catalog.pg_attribute a ON a.attrelid = v.oid JOIN pg_catalog.pg_type t ON t.oid = a.atttypid WHERE v.relkind = 'm'
        ORDER BY 1""")
    assert ("item", "text", False, None, False) in fields and ("window_end", "timestamptz", False, None, False) in fields, fields
    keys = rows("""
        SELECT f.relname, a.attname, p.relname FROM pg_constraint c JOIN pg_class f ON c.conrelid = f.oid JOIN pg_attribute a ON c.conrelid = a.attrelid
        JOIN pg_class p ON c.confrelid = p.oid WHERE c.contype = 'f'::char AND a.attnum = ANY(c.conkey)""")
    assert keys == [], keys
    assert rows("SELECT typname FROM pg_type t WHERE t.oid IN (SELECT DISTINCT enumtypid FROM pg_enum e)") == []
    with psycopg.connect(host="127.0.0.1", port=PORT, user="me", password=KEY, dbname="hitters") as c:
        c.execute("SET ROLE NONE")


@check
def metabase_asks_its_questions():
    table = '"public"."shop"'
    sample = rows(f'SELECT {table}."item" AS "item", substring({table}."region", 1, 1234) AS "substring1" FROM {table} LIMIT 10000')
    assert len(sample) == 8, sample
    by_day = rows(f"""
        SELECT CAST({table}."window_end" AS date) AS "day", COUNT(*) AS "count", SUM({table}."count") AS "sum" FROM {table}
        WHERE {table}."window_end" >= timestamp with time zone '2026-01-31 00:00:00.000Z' AND {table}."set" = 'region' GROUP BY CAST({table}."window_end" AS date) ORDER BY "day" ASC""")
    assert by_day == [(date(2026, 1, 31), 3, 16)], by_day
    weeks = rows(f"SELECT (CAST(DATE_TRUNC('week', ({table}.\"window_end\" + (INTERVAL '1 day'))) AS timestamp) + (INTERVAL '-1 day')) AS w, count(distinct {table}.\"item\") FROM {table} GROUP BY 1")
    assert weeks == [(datetime(2026, 1, 25), 3)], weeks
    nested = rows("SELECT \"source\".\"item\" AS \"item\" FROM (SELECT item, count FROM top_k('shop', '3m') WHERE region = 'eu') AS \"source\" WHERE LOWER(\"source\".\"item\") LIKE '%a%' LIMIT 1048575")
    assert nested == [("a",)], nested


run_all(lambda function: function())
