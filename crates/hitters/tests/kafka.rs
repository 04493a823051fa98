//! From a real Kafka topic to answers, against an exact count of the same events: Zipf's law, two seconds of disorder,
//! partitions that fall silent; one and two workers. HITTERS_TEST_EVENTS sets the number of events (`make test-long`: 10
//! million).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use hitters_connectors::RunOptions;
use hitters_connectors::generate::{Events, Generate, Silence, to_topic};
use hitters_connectors::topics::{Outcome, TopicSpec, Topics};
use hitters_tests::services::Kafka;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use support::{Ran, run};

const PARTITIONS: i32 = 8;
const SECOND: i64 = 1000;

/// The stream: about ten windows of ten seconds, whatever the number of events.
fn stream() -> Generate {
    let events =
        std::env::var("HITTERS_TEST_EVENTS").map_or(1_000_000, |text| text.parse().expect("a number of events"));
    Generate {
        events,
        items: 100_000,
        rate: events as f64 / 100.0,
        partitions: 8,
        silences: vec![
            Silence {
                partition: 2,
                from: 15 * SECOND,
                to: 45 * SECOND,
            },
            Silence {
                partition: 5,
                from: 50 * SECOND,
                to: i64::MAX,
            },
            Silence {
                partition: 7,
                from: 0,
                to: 30 * SECOND,
            },
        ],
        ..Generate::default()
    }
}

/// (ts, item, amount) of every event, read from its JSON.
fn events(options: &Generate) -> Vec<(i64, String, i64)> {
    let mut events = Events::new(options).unwrap();
    let mut all = Vec::with_capacity(options.events as usize);
    while let Some(event) = events.next_event() {
        let value: Value = serde_json::from_slice(event.json).unwrap();
        let number = |key: &str| value[key].as_i64().unwrap();
        all.push((
            number("ts"),
            value["item"].as_str().unwrap().to_owned(),
            number("amount"),
        ));
    }
    all
}

/// A broker with the stream in a topic.
struct Topic {
    kafka: Kafka,
    folder: tempfile::TempDir,
    events: Vec<(i64, String, i64)>,
}

impl Topic {
    fn new() -> Self {
        let (kafka, options) = (Kafka::start(), stream());
        let servers = kafka.bootstrap_servers();
        let run = RunOptions::default();
        let spec = TopicSpec {
            name: "events".into(),
            partitions: Some(PARTITIONS),
            ..TopicSpec::default()
        };
        let created = Topics::connect(&servers, &[], &run)
            .unwrap()
            .ensure(&spec, true)
            .unwrap();
        assert_eq!(created, Outcome::Created);
        let sent = to_topic(&options, &servers, "events", &[], &run, false, &mut |_| true).unwrap();
        assert_eq!(sent, options.events);
        Self {
            kafka,
            folder: tempfile::tempdir().unwrap(),
            events: events(&options),
        }
    }

    /// Runs a SELECT over the topic and gives its rows.
    fn select(&self, name: &str, select: &str, parallelism: u32) -> Vec<Value> {
        let sql = format!(
            "CREATE TABLE events (
                ts BIGINT NOT NULL, item TEXT NOT NULL, region TEXT, amount BIGINT,
                t TIMESTAMP NOT NULL GENERATED ALWAYS AS (CAST(to_timestamp_millis(ts) AS TIMESTAMP)),
                WATERMARK FOR t AS (
                    coalesce(CAST(to_timestamp_millis(ts) AS TIMESTAMP), TIMESTAMP '1970-01-01 00:00:00') - INTERVAL '2 seconds'
                )
            ) WITH (connector = 'kafka', type = 'source', bootstrap_servers = '{}', topic = 'events', format = 'json',
                    'source.offset' = 'earliest');
            {select};",
            self.kafka.bootstrap_servers()
        );
        let path = self.folder.path().join(format!("{name}.sql"));
        fs::write(&path, sql).unwrap();
        let Ran { stdout, stderr, .. } = bounded(&path, parallelism);
        assert!(
            !stderr.contains("dropped"),
            "{name}: no row is late, none is bad\n{stderr}"
        );
        stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Weight by window start and item.
    fn exact(
        &self,
        windows: impl Fn(i64) -> Vec<i64>,
        weight: impl Fn(i64) -> i64,
    ) -> BTreeMap<i64, HashMap<&str, i64>> {
        let mut exact: BTreeMap<i64, HashMap<&str, i64>> = BTreeMap::new();
        for (ts, item, amount) in &self.events {
            for start in windows(*ts) {
                *exact.entry(start).or_default().entry(item).or_default() += weight(*amount);
            }
        }
        exact
    }
}

fn bounded(path: &Path, parallelism: u32) -> Ran {
    run([
        "run",
        &path.display().to_string(),
        "--bounded",
        "--parallelism",
        &parallelism.to_string(),
    ])
    .well()
}

/// `2023-11-14T22:13:20` as milliseconds; all windows of the stream are on that day.
fn millis(stamp: &str) -> i64 {
    let (day, time) = stamp.split_once('T').unwrap();
    assert_eq!(day, "2023-11-14");
    let parts: Vec<f64> = time.split(':').map(|part| part.parse().unwrap()).collect();
    1_699_920_000_000 + ((parts[0] * 3600.0 + parts[1] * 60.0 + parts[2]) * 1000.0).round() as i64
}

fn tumble(ts: i64) -> Vec<i64> {
    vec![ts - ts % (10 * SECOND)]
}

fn hop(ts: i64) -> Vec<i64> {
    let last = ts - ts % (5 * SECOND);
    (0..4).map(|slide| last - slide * 5 * SECOND).collect()
}

/// The answers over windows against the truth.
fn check_answers(rows: &[Value], exact: &BTreeMap<i64, HashMap<&str, i64>>) {
    assert_eq!(rows.len(), exact.len());
    let (mut listed, mut found) = (0, 0);
    for row in rows {
        let counts = &exact[&millis(row["s"].as_str().unwrap())];
        let answer: Value = serde_json::from_str(row["answer"].as_str().unwrap()).unwrap();
        assert_eq!(answer["total"].as_i64().unwrap(), counts.values().sum::<i64>());
        let mut ranked: Vec<i64> = counts.values().copied().collect();
        ranked.sort_unstable_by(|a, b| b.cmp(a));
        let smallest = ranked[99.min(ranked.len() - 1)];
        for item in answer["items"].as_array().unwrap() {
            let truth = counts[item["item"].as_str().unwrap()];
            let bound = |key: &str| item[key].as_i64().unwrap();
            assert!(
                bound("lower") <= truth && truth <= bound("upper"),
                "{truth} is not in {item}"
            );
            listed += 1;
            found += i64::from(truth >= smallest);
        }
    }
    let recall = found as f64 / listed as f64;
    assert!(
        listed >= 100 * exact.len() && recall >= 0.99,
        "recall {recall} over {listed} items"
    );
}

#[test]
fn answers_over_a_topic_hold_against_an_exact_count() {
    let topic = Topic::new();
    let tumbling = topic.exact(tumble, |_| 1);
    let hopping = topic.exact(hop, |_| 1);
    let weighted = topic.exact(tumble, |amount| amount);
    let mut sessions: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for (ts, item, _) in &topic.events {
        sessions.entry(item).or_default().push(*ts);
    }
    let mut session_rows: Vec<(String, i64, i64, i64)> = Vec::new();
    for (item, mut times) in sessions {
        times.sort_unstable();
        for run in times.chunk_by(|a, b| b - a < 5 * SECOND) {
            session_rows.push((
                item.to_owned(),
                run[0],
                run[run.len() - 1] + 5 * SECOND,
                run.len() as i64,
            ));
        }
    }
    session_rows.sort();
    for parallelism in [1, 2] {
        let answer = |window: &str, function: &str| {
            format!(
                "SELECT window.start AS s, answer FROM (SELECT {window} AS window, {function} AS answer FROM events GROUP BY 1)"
            )
        };
        let top = "approx_top_k(item, 100)";
        check_answers(
            &topic.select("tumble", &answer("tumble(INTERVAL '10 seconds')", top), parallelism),
            &tumbling,
        );
        let hop_call = "hop(INTERVAL '5 seconds', INTERVAL '20 seconds')";
        check_answers(&topic.select("hop", &answer(hop_call, top), parallelism), &hopping);
        let sum = "approx_top_sum(item, amount, 100)";
        check_answers(
            &topic.select("sum", &answer("tumble(INTERVAL '10 seconds')", sum), parallelism),
            &weighted,
        );

        let all = "SELECT window.start AS s, item, n, amount FROM (SELECT tumble(INTERVAL '10 seconds') AS window, item, \
                   count(*) AS n, sum(amount) AS amount FROM events GROUP BY 1, 2)";
        let rows = topic.select("exact", all, parallelism);
        assert_eq!(rows.len(), tumbling.values().map(HashMap::len).sum::<usize>());
        for row in &rows {
            let (start, item) = (millis(row["s"].as_str().unwrap()), row["item"].as_str().unwrap());
            assert_eq!(row["n"].as_i64(), tumbling[&start].get(item).copied());
            assert_eq!(row["amount"].as_i64(), weighted[&start].get(item).copied());
        }

        let ranked = "SELECT window.start AS s, item, n FROM (SELECT *, row_number() OVER (PARTITION BY window ORDER BY n DESC, item) AS rn \
                      FROM (SELECT hop(INTERVAL '5 seconds', INTERVAL '20 seconds') AS window, item, count(*) AS n FROM events GROUP BY 1, 2)) \
                      WHERE rn <= 100";
        let mut found: BTreeMap<i64, Vec<(i64, String)>> = BTreeMap::new();
        for row in topic.select("ranked", ranked, parallelism) {
            let ranks = found.entry(millis(row["s"].as_str().unwrap())).or_default();
            ranks.push((-row["n"].as_i64().unwrap(), row["item"].as_str().unwrap().to_owned()));
        }
        assert_eq!(found.len(), hopping.len());
        for (start, mut ranks) in found {
            ranks.sort();
            let mut expected: Vec<(i64, String)> = hopping[&start]
                .iter()
                .map(|(item, n)| (-n, (*item).to_owned()))
                .collect();
            expected.sort();
            expected.truncate(100);
            assert_eq!(ranks, expected);
        }

        let session = "SELECT item, window.start AS s, window.end AS e, n FROM (SELECT item, session(INTERVAL '5 seconds') AS window, \
                       count(*) AS n FROM events GROUP BY 1, 2)";
        let mut rows: Vec<(String, i64, i64, i64)> = topic
            .select("session", session, parallelism)
            .iter()
            .map(|row| {
                let text = |key: &str| row[key].as_str().unwrap();
                (
                    text("item").to_owned(),
                    millis(text("s")),
                    millis(text("e")),
                    row["n"].as_i64().unwrap(),
                )
            })
            .collect();
        rows.sort();
        assert!(
            rows == session_rows,
            "{} sessions for {}",
            rows.len(),
            session_rows.len()
        );
    }
}

#[test]
fn bad_rows_go_to_a_topic_and_a_run_without_rows_says_why() {
    let kafka = Kafka::start();
    let servers = kafka.bootstrap_servers();
    let topics = Topics::connect(&servers, &[], &RunOptions::default()).unwrap();
    for name in ["mixed", "letters"] {
        let spec = TopicSpec {
            name: name.into(),
            partitions: Some(1),
            ..TopicSpec::default()
        };
        assert_eq!(topics.ensure(&spec, true).unwrap(), Outcome::Created);
    }
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let table = |name: &str, topic: &str, more: &str| {
        format!(
            "CREATE TABLE {name} (value TEXT NOT NULL) WITH (connector = 'kafka', bootstrap_servers = '{servers}', topic = '{topic}', \
             format = 'raw_string'{more});\n"
        )
    };
    // Lines to a topic, read back as JSON: one of them is none.
    write("lines.txt", "{\"n\": 1}\nno JSON\n");
    let lines = format!(
        "CREATE TABLE lines (value TEXT NOT NULL) WITH (connector = 'single_file', type = 'source', path = '{}', format = 'raw_string');\n",
        folder.path().join("lines.txt").display()
    );
    let send = lines + &table("mixed", "mixed", ", type = 'sink'") + "INSERT INTO mixed SELECT value FROM lines;";
    run(["run", &write("send.sql", &send)]).well();
    let read = table("mixed", "mixed", ", type = 'source', bad_data = 'drop'")
        .replace("value TEXT NOT NULL", "n BIGINT NOT NULL")
        .replace("raw_string", "json")
        + "SELECT n FROM mixed;";
    write("read.sql", &read);
    let pipeline = write(
        "p.toml",
        &format!("sql = 'read.sql'\ndead_letter = {{ topic = 'letters', bootstrap_servers = '{servers}' }}\n"),
    );
    let nothing = run(["run", &pipeline, "--bounded"]).well();
    assert_eq!(nothing.stdout, "");
    assert!(nothing.stderr.contains("--from earliest"), "{}", nothing.stderr);
    let address = format!("kafka://{servers}/letters");
    for more in [vec![], vec!["--dead-letter", &address]] {
        let rows = run(["run", &pipeline, "--bounded", "--from", "earliest"]
            .iter()
            .chain(&more))
        .well();
        assert_eq!(rows.stdout, "{\"n\":1}\n");
        assert!(!rows.stderr.contains("--from"), "{}", rows.stderr);
    }
    let letters = table("letters", "letters", ", type = 'source'") + "SELECT value FROM letters;";
    let kept = run([
        "run",
        &write("letters.sql", &letters),
        "--bounded",
        "--from",
        "earliest",
    ])
    .well();
    assert_eq!(kept.stdout.lines().count(), 2, "one from each run\n{}", kept.stdout);
    assert!(
        kept.stdout.contains("no JSON") && kept.stdout.contains("mixed"),
        "{}",
        kept.stdout
    );
}
