//! `make bench-state`: state beyond memory. A hop of a week by an hour over 100,000 groups, each with 20 items an hour, in eight
//! partitions that all have all groups: sixteen million closed panes of a group, in a limit of 512 MB, with RocksDB.
//!
//! Before it, at a size that fits into memory, both backends beside each other. Events come straight from a source that
//! counts, with event time as fast as it can be taken. A run is looked at through its control socket and ended when the last
//! window of the week is published.
//!
//! HITTERS_BENCH_GROUPS (100,000), HITTERS_BENCH_HOURS (168) and HITTERS_BENCH_LIMIT (536870912) ask for other numbers.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod measure;

use measure::{Process, setting};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const PARTITIONS: u64 = 8;
/// Distinct items of a group in an hour, out of so many in all.
const ITEMS: u64 = 20;
const OF: u64 = 97;
const HOUR: u64 = 3_600_000_000_000;

/// A run to measure.
struct Case<'c> {
    name: &'c str,
    groups: u64,
    /// Width of the window; as many hours are read.
    hours: u64,
    /// Bytes; `None` for state in memory.
    limit: Option<u64>,
}

/// Writes a pipeline; gives its file.
fn pipeline(folder: &Path, case: &Case<'_>) -> String {
    let Case { groups, hours, .. } = *case;
    // Events of a partition in an hour; a partition sees every group two or three times.
    let events = groups * ITEMS / PARTITIONS;
    let apart = HOUR / events;
    let (mut sql, mut parts) = (String::new(), Vec::new());
    for partition in 0..PARTITIONS {
        sql += &format!(
            "CREATE TABLE part_{partition} (counter BIGINT NOT NULL,
               t TIMESTAMP NOT NULL GENERATED ALWAYS AS (CAST(to_timestamp_nanos(counter * {apart}) AS TIMESTAMP)), WATERMARK FOR t)
             WITH (connector = 'impulse', type = 'source', event_rate = '1000000', event_time_interval = '{apart}',
                   message_count = '{}');\n",
            events * (hours + 2)
        );
        parts.push(format!(
            "SELECT t, (counter % {events} + {}) % {groups} AS g,
               concat('item-', CAST((counter % {events} / {groups} * {PARTITIONS} + {partition} + counter / {events} * {ITEMS}
                 + counter % {events}) % {OF} AS TEXT)) AS item FROM part_{partition}",
            partition * (groups / 2)
        ));
    }
    sql += &format!(
        "CREATE VIEW events AS {};
         CREATE TABLE tops (g BIGINT, top TEXT) WITH (connector = 'blackhole', type = 'sink');
         INSERT INTO tops SELECT g, top FROM (
           SELECT hop(INTERVAL '1 hour', INTERVAL '{hours} hours') AS window, g,
                  approx_top_k_estimate(approx_top_k_accumulate(item, 64), 10) AS top FROM events GROUP BY 1, 2);\n",
        parts.join(" UNION ALL ")
    );
    std::fs::write(folder.join("state.sql"), sql).unwrap();
    let backend = case
        .limit
        .map_or(String::new(), |limit| format!("memory_limit = {limit}\n"));
    let kind = if case.limit.is_some() { "rocksdb" } else { "memory" };
    let toml = format!(
        "name = \"{}\"\nsql = \"state.sql\"\n{backend}[checkpoint]\ninterval = \"off\"\n[state]\nbackend = \"{kind}\"\n",
        case.name
    );
    let file = folder.join("state.toml");
    std::fs::write(&file, toml).unwrap();
    file.display().to_string()
}

/// What the run says of itself; `None` while it starts.
fn status(file: &str) -> Option<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hitters"));
    let asked = command
        .args(["status", "--json", file])
        .stderr(Stdio::null())
        .output()
        .unwrap();
    serde_json::from_slice(&asked.stdout).ok()
}

fn measure(case: &Case<'_>) {
    let folder = tempfile::tempdir().unwrap();
    let file = pipeline(folder.path(), case);
    let mut process = Process::start(&["run", "--quiet", "--parallelism", "2", &file]);
    let end = (case.hours * HOUR / 1_000_000) as i64;
    let (mut last, mut most_disk) = (Value::Null, 0);
    let mut looked = 0;
    while last["complete_until"].as_i64().unwrap_or(0) < end {
        std::thread::sleep(Duration::from_millis(if looked < 20 { 100 } else { 1000 }));
        looked += 1;
        if !process.runs() {
            let ended = process.end();
            panic!("{}: {}", ended.status, ended.stderr);
        }
        if let Some(now) = status(&file) {
            most_disk = most_disk.max(now["disk_bytes"].as_u64().unwrap_or(0));
            if looked % 30 == 0 {
                eprintln!(
                    "  {}: hour {}, {} MB on disk, {} MB of state in memory",
                    case.name,
                    now["complete_until"].as_i64().unwrap_or(0) / 3_600_000,
                    now["disk_bytes"].as_u64().unwrap_or(0) / 1_000_000,
                    now["state_bytes"].as_u64().unwrap_or(0) / 1_000_000
                );
            }
            last = now;
        }
    }
    let closing = |what: &str| last["closing_ms"][what].as_f64().unwrap_or(0.0) / 1000.0;
    let (median, longest) = (closing("median"), closing("longest"));
    let events = last["events"].as_u64().unwrap() as f64 / last["uptime_seconds"].as_f64().unwrap();
    let ended = process.kill();
    println!(
        "{:<22} {:>8} {:>6} {:>10.0} {:>9} {:>9} {:>9.2} {:>9.2} {:>8.0}",
        case.name,
        case.groups,
        case.hours,
        events,
        ended.peak_bytes / 1_000_000,
        most_disk / 1_000_000,
        median,
        longest,
        ended.seconds
    );
}

fn main() {
    let groups = setting("HITTERS_BENCH_GROUPS", 100_000);
    let hours = setting("HITTERS_BENCH_HOURS", 168);
    let limit = setting("HITTERS_BENCH_LIMIT", 512 << 20);
    println!(
        "a window of so many hours each hour; {ITEMS} items a group and hour, 64 tracked, {PARTITIONS} partitions, two workers\n"
    );
    println!(
        "{:<22} {:>8} {:>6} {:>10} {:>9} {:>9} {:>9} {:>9} {:>8}",
        "", "groups", "hours", "events/s", "RSS MB", "disk MB", "slide s", "longest", "seconds"
    );
    let (few, short) = ((groups / 20).max(1000), (hours / 7).max(2));
    for (name, limit) in [
        ("memory", None),
        ("rocksdb-512MB", Some(512 << 20)),
        ("rocksdb-32MB", Some(32 << 20)),
    ] {
        measure(&Case {
            name,
            groups: few,
            hours: short,
            limit,
        });
    }
    measure(&Case {
        name: "rocksdb-limit",
        groups,
        hours,
        limit: Some(limit),
    });
}
