//! The main job, `hitters run flights`, against an exact count of the same file that shares no code with the engine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use flate2::read::GzDecoder;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::LazyLock;
use support::{Ran, root, run};

const DAY: i64 = 86_400_000;

/// What counts of one flight.
struct Flight {
    /// Scheduled departure, New York's standard time, in milliseconds.
    time: i64,
    carrier: String,
    tailnum: Option<String>,
    origin: String,
    dest: String,
    delay: i64,
}

/// Milliseconds since the epoch of `2013-01-01T10:15:00Z` (days by the civil calendar; 2013 and 2014 are no leap years).
fn millis(text: &str) -> i64 {
    let part = |range: std::ops::Range<usize>| text[range].parse::<i64>().unwrap();
    let before = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334][part(5..7) as usize - 1];
    let days = (part(0..4) - 2013) * 365 + before + part(8..10) - 1;
    const DAYS_TO_2013: i64 = 43 * 365 + 11;
    (DAYS_TO_2013 + days) * DAY + (part(11..13) * 3600 + part(14..16) * 60 + part(17..19)) * 1000
}

static FLIGHTS: LazyLock<Vec<Flight>> = LazyLock::new(|| {
    let file = BufReader::new(GzDecoder::new(
        File::open(root().join("data/flights.ndjson.gz")).unwrap(),
    ));
    file.lines()
        .map(|line| {
            let row: Value = serde_json::from_str(&line.unwrap()).unwrap();
            let text = |key: &str| row[key].as_str().map(str::to_owned);
            Flight {
                time: millis(row["scheduled"].as_str().unwrap()) - 5 * 3_600_000,
                carrier: text("carrier").unwrap(),
                tailnum: text("tailnum"),
                origin: text("origin").unwrap(),
                dest: text("dest").unwrap(),
                delay: row["dep_delay"].as_i64().unwrap_or(0).max(0),
            }
        })
        .collect()
});

/// Weight by item.
type Counts = HashMap<String, u64>;

/// Exact weights by (window start, group) and item; an item of `None` is not counted.
fn exact<'a>(
    width: i64,
    group: impl Fn(&'a Flight) -> &'a str,
    item: impl Fn(&'a Flight) -> Option<(&'a str, u64)>,
) -> BTreeMap<(i64, String), (Counts, u64)> {
    let mut windows: BTreeMap<(i64, String), (Counts, u64)> = BTreeMap::new();
    for flight in FLIGHTS.iter() {
        let start = flight.time - flight.time.rem_euclid(width);
        let (counts, skipped) = windows.entry((start, group(flight).to_owned())).or_default();
        match item(flight) {
            Some((item, weight)) => *counts.entry(item.to_owned()).or_default() += weight,
            None => *skipped += 1,
        }
    }
    windows
}

/// Runs the pipeline, and reads a table of its results.
fn results(folder: &Path, arguments: &[&str]) -> Ran {
    let results = format!("results={}", folder.display());
    run([&["run", "flights", "--param", &results], arguments].concat()).well()
}

fn rows(folder: &Path, table: &str) -> Vec<Value> {
    let text = fs::read_to_string(folder.join(format!("{table}.ndjson"))).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Checks every row of a table: the shape, the totals, and that every interval holds the true count.
fn check(rows: &[Value], pipeline: &str, width: i64, k: usize, truth: &BTreeMap<(i64, String), (Counts, u64)>) {
    assert_eq!(rows.len(), truth.len());
    for row in rows {
        let start = row["window_start"].as_i64().unwrap();
        assert_eq!(row["window_end"].as_i64().unwrap(), start + width);
        assert_eq!(
            (row["pipeline"].as_str(), row["version"].as_i64()),
            (Some(pipeline), Some(1))
        );
        let group = row["group_key"]
            .as_str()
            .unwrap()
            .trim_start_matches("origin=")
            .to_owned();
        let (counts, skipped) = &truth[&(start, group)];
        let answer: Value = serde_json::from_str(row["answer"].as_str().unwrap()).unwrap();
        let total: u64 = counts.values().sum();
        assert_eq!(answer["total"].as_u64(), Some(total));
        assert_eq!(answer["skipped"].as_u64(), Some(*skipped));
        let items = answer["items"].as_array().unwrap();
        assert_eq!(items.len(), k.min(counts.len()));
        let mut ranked: Vec<(&str, u64)> = counts.iter().map(|(item, count)| (item.as_str(), *count)).collect();
        ranked.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        let mut listed = Vec::new();
        for (rank, item) in items.iter().enumerate() {
            let number = |key: &str| item[key].as_u64().unwrap();
            let name = item["item"].as_str().unwrap();
            let true_count = counts[name];
            assert!(
                number("lower") <= true_count && true_count <= number("upper"),
                "{name} is {true_count}: {item}"
            );
            assert!(
                (number("lower")..=number("upper")).contains(&number("estimate")),
                "{item}"
            );
            assert_eq!(number("rank") as usize, rank + 1);
            if answer["exact"].as_bool().unwrap() {
                assert_eq!((name, true_count), ranked[rank]);
                assert_eq!(number("lower"), number("upper"));
            }
            if item["certain"].as_bool().unwrap() {
                assert!(
                    ranked.iter().filter(|(_, count)| *count > true_count).count() < k,
                    "{name} is not in the top {k}"
                );
            }
            listed.push(name);
        }
        let missed = ranked
            .iter()
            .filter(|(item, _)| !listed.contains(item))
            .map(|(_, count)| *count)
            .max()
            .unwrap_or(0);
        assert!(missed <= answer["max_missed"].as_u64().unwrap());
        let leaders = answer["certain_leaders"].as_u64().unwrap() as usize;
        let worst_leader = listed[..leaders]
            .iter()
            .map(|item| counts[*item])
            .min()
            .unwrap_or(u64::MAX);
        assert!(
            ranked
                .iter()
                .filter(|(item, _)| !listed[..leaders].contains(item))
                .all(|(_, count)| *count <= worst_leader)
        );
        let other: u64 = total - listed.iter().map(|item| counts[*item]).sum::<u64>();
        let number = |key: &str| answer["other"][key].as_u64().unwrap();
        assert!(number("lower") <= other && other <= number("upper"));
    }
}

#[test]
fn the_sample_holds_all_flights() {
    assert_eq!(FLIGHTS.len(), 336_776);
    assert_eq!(FLIGHTS.iter().filter(|flight| flight.tailnum.is_none()).count(), 2_512);
    assert!(FLIGHTS.is_sorted_by_key(|flight| flight.time));
}

#[test]
fn the_answers_hold_against_an_exact_count() {
    let folder = tempfile::tempdir().unwrap();
    let ran = results(folder.path(), &[]);
    let destinations = rows(folder.path(), "destinations");
    check(
        &destinations,
        "flights.destinations",
        DAY,
        5,
        &exact(DAY, |flight| &flight.origin, |flight| Some((flight.dest.as_str(), 1))),
    );
    assert!(
        destinations
            .iter()
            .all(|row| row["answer"].as_str().unwrap().contains("\"exact\":true"))
    );
    let aircraft = rows(folder.path(), "aircraft");
    check(
        &aircraft,
        "flights.aircraft",
        28 * DAY,
        5,
        &exact(
            28 * DAY,
            |_| "*",
            |flight| flight.tailnum.as_deref().map(|tailnum| (tailnum, 1)),
        ),
    );
    assert!(
        aircraft
            .iter()
            .any(|row| row["answer"].as_str().unwrap().contains("\"exact\":false")),
        "256 tracked items should not be enough"
    );
    let weight = |flight: &'static Flight| Some((flight.carrier.as_str(), flight.delay as u64));
    check(
        &rows(folder.path(), "delays"),
        "flights.delays",
        7 * DAY,
        5,
        &exact(7 * DAY, |_| "*", weight),
    );
    for expected in [
        "The busiest destinations",
        "2013-12-31 00:00 to 2014-01-01 00:00",
        "origin=EWR",
        "(other)",
        "(total)",
        "certain",
    ] {
        assert!(ran.stdout.contains(expected), "{expected} is not in\n{}", ran.stdout);
    }
    assert!(
        ran.stderr.contains("336,776 events") && ran.stderr.contains("events/s"),
        "{}",
        ran.stderr
    );
}

#[test]
fn the_same_input_gives_the_same_bytes_whatever_the_parallelism() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    results(folders[0].path(), &["--parallelism", "1", "--quiet"]);
    results(folders[1].path(), &["--parallelism", "2", "--quiet"]);
    for table in ["destinations", "aircraft", "delays"] {
        let sorted = |folder: &Path| {
            let text = fs::read_to_string(folder.join(format!("{table}.ndjson"))).unwrap();
            let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(folders[0].path()), sorted(folders[1].path()), "{table}");
    }
}

#[test]
fn a_sketch_of_the_results_can_be_inspected() {
    let folder = tempfile::tempdir().unwrap();
    results(folder.path(), &["--quiet"]);
    let row = rows(folder.path(), "aircraft").pop().unwrap();
    let shown = run([
        "sketch",
        "inspect",
        row["sketch"].as_str().unwrap(),
        "--k",
        "5",
        "--json",
    ])
    .well();
    let (shown, answer): (Value, Value) = (
        serde_json::from_str(&shown.stdout).unwrap(),
        serde_json::from_str(row["answer"].as_str().unwrap()).unwrap(),
    );
    assert_eq!(shown, answer);
    let table = run(["sketch", "inspect", row["sketch"].as_str().unwrap()])
        .well()
        .stdout;
    assert!(table.contains("capacity: 256") && table.contains("(total)"), "{table}");
}

#[test]
fn the_summary_can_be_read_by_a_program() {
    let folder = tempfile::tempdir().unwrap();
    let summary: Value =
        serde_json::from_str(&results(folder.path(), &["--json", "--quiet", "--param", "k=3"]).stdout).unwrap();
    assert_eq!(summary["events"], 336_776);
    assert_eq!(summary["stopped"], false);
    let table = &summary["tables"][0];
    assert_eq!(
        (table["table"].as_str(), table["rows"].as_u64()),
        (Some("destinations"), Some(1_095))
    );
    assert_eq!(table["last_answers"][2]["group"], "origin=LGA");
    assert_eq!(table["last_answers"][2]["answer"]["items"].as_array().unwrap().len(), 3);
}
