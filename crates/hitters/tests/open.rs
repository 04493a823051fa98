//! `run --serve` answers the window that is still open: what is counted so far, and at its end what the window says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use hitters_connectors::generate::Generate;
use hitters_tests::services::Kafka;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use support::serving::Serving;
use support::{command, events, run as run_to_end};

const SINK: &str = "
CREATE TABLE tops (pipeline TEXT NOT NULL, version BIGINT NOT NULL, \"set\" TEXT NOT NULL, group_key TEXT NOT NULL,
                   window_start BIGINT NOT NULL, window_end BIGINT NOT NULL, answer TEXT, sketch BYTEA)
WITH (connector = 'single_file', type = 'sink', path = '${out}', format = 'json');
";

/// A run of this SQL that answers.
fn start(folder: &tempfile::TempDir, sql: &str, more: &str) -> Serving {
    let out = folder.path().join("out.ndjson").display().to_string();
    fs::write(folder.path().join("q.sql"), format!("{SINK}{sql}")).unwrap();
    let text = format!("name = 'live'\nsql = 'q.sql'\n{more}\n[parameters]\nout = '{out}'\n");
    let file = folder.path().join("live.toml");
    fs::write(&file, text).unwrap();
    let file = file.display().to_string();
    Serving::spawn(command(["run", &file, "--serve", "127.0.0.1:0", "--parallelism", "2"]))
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn an_open_window_grows_until_it_closes_and_then_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let sql = "
        CREATE TABLE numbers WITH (connector = 'impulse', event_rate = '1000');
        INSERT INTO tops
        SELECT 'live' AS pipeline, 1 AS version, '*' AS \"set\", '*' AS group_key,
               CAST(extract(epoch FROM window.start) AS BIGINT) * 1000 AS window_start,
               CAST(extract(epoch FROM window.end) AS BIGINT) * 1000 AS window_end, approx_top_k_estimate(sketch, 3) AS answer, sketch
        FROM (SELECT tumble(INTERVAL '3 seconds') AS window, approx_top_k_accumulate(CAST(counter % 3 AS TEXT), 64) AS sketch
              FROM numbers GROUP BY 1);";
    let service = start(&folder, sql, "");
    let path = "/v1/pipelines/live.tops/top?k=3";
    let mut seen: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let until = Instant::now() + Duration::from_secs(12);
    while Instant::now() < until {
        let (status, _, body) = service.get(&format!("{path}&open=true"), None);
        if status == 200 {
            let top: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(
                (&top["range"]["open"], &top["range"]["complete"]),
                (&true.into(), &false.into())
            );
            let total = number(&top["total"]);
            let items: u64 = top["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|item| number(&item["lower"]))
                .sum();
            // Nothing was evicted, so that every count is the true one.
            assert_eq!(items, total, "{top}");
            assert!(total <= 3000, "{top}");
            let window = top["range"]["from"].as_str().unwrap().to_owned();
            seen.entry(window).or_default().push(total);
        }
        std::thread::sleep(Duration::from_millis(250));
    }
    // At least two of them were seen growing, and closed with all of their rows.
    let grown = |totals: &Vec<u64>| totals.is_sorted() && totals.first() < totals.last();
    assert!(seen.values().filter(|totals| grown(totals)).count() >= 2, "{seen:?}");
    // And on the command line, where it is told apart from a closed one.
    let ask = |more: &[&str]| {
        let arguments = ["query", "live.tops", "-k", "3", "--url", &service.url];
        run_to_end(arguments.iter().chain(more))
    };
    // For a moment after one has closed none may be open.
    let mut asked = ask(&["--open"]);
    while asked.code == Some(2) && Instant::now() < until + Duration::from_secs(5) {
        asked = ask(&["--open"]);
    }
    let asked = asked.well();
    assert!(asked.stderr.contains("the window is still open"), "{}", asked.stderr);
    assert_eq!(asked.stdout.lines().count(), 5, "{}", asked.stdout);
    assert!(!ask(&[]).well().stderr.contains("still open"));
    let closed = service.json(path);
    assert_eq!(
        (&closed["range"]["open"], &closed["total"]),
        (&false.into(), &3000.into())
    );
    let (_, _, text) = service.get("/metrics", None);
    for line in [
        "hitters_run_events_total{pipeline=\"live\",version=\"1\"} ",
        "hitters_run_windows_total",
        "hitters_run_state_bytes",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[test]
fn an_open_window_over_partitions_and_workers_has_every_row_once() {
    let kafka = Kafka::start();
    let options = Generate {
        events: 60_000,
        rate: 2000.0,
        partitions: 4,
        ..Generate::default()
    };
    events::fill(&kafka, "events", &options);
    let servers = kafka.bootstrap_servers();
    // A tumble and a hop over the same rows, counted by sketches (by partition) and exactly (by worker), with a step behind.
    let sql = format!(
        "
        CREATE TABLE events (
            ts BIGINT NOT NULL, item TEXT NOT NULL, category TEXT,
            t TIMESTAMP NOT NULL GENERATED ALWAYS AS (CAST(to_timestamp_millis(ts) AS TIMESTAMP)),
            WATERMARK FOR t AS (
                coalesce(CAST(to_timestamp_millis(ts) AS TIMESTAMP), TIMESTAMP '1970-01-01 00:00:00') - INTERVAL '2 seconds'))
        WITH (connector = 'kafka', type = 'source', bootstrap_servers = '{servers}', topic = 'events', format = 'json',
              'source.offset' = 'earliest');
        CREATE TABLE hops (window_start TIMESTAMP NOT NULL, window_end TIMESTAMP NOT NULL, answer TEXT)
        WITH (connector = 'single_file', type = 'sink', path = '${{out}}.hops', format = 'json');
        INSERT INTO tops
        SELECT 'live' AS pipeline, 1 AS version, 'category' AS \"set\", concat('category=', coalesce(category, '%00')) AS group_key,
               CAST(extract(epoch FROM window.start) AS BIGINT) * 1000 AS window_start,
               CAST(extract(epoch FROM window.end) AS BIGINT) * 1000 AS window_end, approx_top_k_estimate(sketch, 5) AS answer, sketch
        FROM (SELECT category, tumble(INTERVAL '20 seconds') AS window, approx_top_k_accumulate(item, 1024) AS sketch
              FROM events GROUP BY 1, 2);
        INSERT INTO hops
        SELECT window.start, window.end, answer FROM (
            SELECT hop(INTERVAL '5 seconds', INTERVAL '20 seconds') AS window, approx_top_k(item, 5) AS answer
            FROM events GROUP BY 1);"
    );
    let folder = tempfile::tempdir().unwrap();
    let service = start(
        &folder,
        &sql,
        "idle_timeout = '3s'\nidle_close = '8s'\n[checkpoint]\ninterval = '300ms'",
    );
    // 30 s of event time: one window closes by its watermark, the last ones stay open until the silence is long enough.
    let path = |table: &str, more: &str| format!("/v1/pipelines/live.{table}/{more}");
    let total = |top: &Value| number(&top["total"]);
    let mut last: Option<Value> = None;
    let mut hops: BTreeMap<String, u64> = BTreeMap::new();
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        assert!(Instant::now() < until, "the last window does not close");
        let (status, _, body) = service.get(&path("tops", "top?open=true&k=5"), None);
        if status == 200 {
            let open: Value = serde_json::from_str(&body).unwrap();
            if let Some(last) = last
                .as_ref()
                .filter(|last| last["range"]["from"] == open["range"]["from"])
            {
                assert!(total(&open) >= total(last), "{last}\n{open}");
            }
            last = Some(open);
        }
        let (status, _, body) = service.get(&path("hops", "top?open=true&k=5"), None);
        if status == 200 {
            let open: Value = serde_json::from_str(&body).unwrap();
            hops.insert(open["range"]["to"].as_str().unwrap().to_owned(), total(&open));
        }
        let newest = service.get(&path("tops", "top?set=category&k=5"), None);
        if newest.0 == 200 {
            let closed: Value = serde_json::from_str(&newest.2).unwrap();
            if let Some(open) = last
                .as_ref()
                .filter(|open| open["range"]["to"] == closed["range"]["to"])
            {
                // Everything had been read long before: the window says what it said while it was open.
                for part in ["total", "items", "max_missed", "exact", "other"] {
                    assert_eq!(closed[part], open[part], "{part}");
                }
                break;
            }
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    // Of a hop: the open ones that were seen are the closed ones, or fewer rows of them.
    assert!(!hops.is_empty());
    // Whatever else closes at that time is written before it ends.
    service.running.signal("TERM");
    service.running.end();
    let text = written(folder.path(), "out.ndjson.hops");
    let mut compared = 0;
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let end = format!(
            "{}Z",
            row["window_end"].as_str().unwrap_or_default().trim_end_matches('Z')
        );
        if let Some(open) = hops.get(&end) {
            let answer: Value = match &row["answer"] {
                Value::String(text) => serde_json::from_str(text).unwrap(),
                nested => nested.clone(),
            };
            assert!(*open <= total(&answer), "{end}: {open} {answer}");
            compared += 1;
        }
    }
    assert!(compared > 0, "{hops:?}\n{text}");
    // A run that nobody looked at has written the same, byte by byte.
    let other = folder.path().join("other.ndjson").display().to_string();
    let file = folder.path().join("live.toml").display().to_string();
    let state = folder.path().join("other").display().to_string();
    let (out, bounded) = (
        format!("out={other}"),
        ["--bounded", "--parallelism", "2", "--state", &state],
    );
    run_to_end(["run", &file, "--param", &out].iter().chain(&bounded)).well();
    for name in ["", ".hops"] {
        let (looked_at, undisturbed) = (
            written(folder.path(), &format!("out.ndjson{name}")),
            written(folder.path(), &format!("other.ndjson{name}")),
        );
        assert!(
            looked_at == undisturbed && !looked_at.is_empty(),
            "{looked_at}\n{undisturbed}"
        );
    }
}

/// What stands in a file of a sink. It has a name with more behind until its run is over.
fn written(folder: &Path, name: &str) -> String {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let named = |path: &PathBuf| {
        let rest = path
            .file_name()
            .unwrap()
            .to_string_lossy()
            .strip_prefix(name)
            .map(str::to_owned);
        rest.is_some_and(|rest| !rest.starts_with(".hops"))
    };
    let mut files: Vec<PathBuf> = files.filter(|path| path.is_file()).filter(named).collect();
    files.sort();
    assert_eq!(files.len(), 1, "{files:?}");
    fs::read_to_string(&files[0]).unwrap()
}
