//! Messages that are no events: with sql/tables/messages.sql they count for nothing and change no window, wherever they stand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use support::no_events::{NO_EVENTS, send};
use support::outside::Outside;
use support::{command, ended, root};

const PARTITIONS: i32 = 2;
/// A second of event time, in milliseconds.
const SECOND: i64 = 1000;
/// Of the first event: the start of a window, years before Kafka gets it.
const START: i64 = 1_700_000_000_000;

const SQL: &str = "
SELECT CAST(window.start AS TEXT) AS opened, part, n, latest FROM (
    SELECT tumble(INTERVAL '10 seconds') AS window, part, count(*) AS n, max(t) AS latest
    FROM messages WHERE t > TIMESTAMP '1970-01-01 00:00:00' GROUP BY 1, 2);
";

/// The messages of a partition: an event a second, some of them late by more than the delay, some by less.
fn events(partition: i64) -> Vec<String> {
    let late = |second: i64| match second % 10 {
        3 => second - 1,
        7 => second - 30,
        _ => second,
    };
    (0..100)
        .map(|second| format!("{{\"ts\":{}}}", START + (late(second) + partition) * SECOND))
        .collect()
}

/// The same with every kind of message in between that is no event.
fn disturbed(events: Vec<String>) -> Vec<String> {
    let kinds = NO_EVENTS.iter().cycle();
    let pairs = kinds.zip(events);
    pairs
        .flat_map(|(no_event, event)| [(*no_event).to_owned(), event])
        .collect()
}

/// The rows of a topic, and what was said of late events.
fn rows(outside: &Outside, topic: &str, parallelism: &str) -> (Vec<String>, Option<String>) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("count.sql"), SQL).unwrap();
    let file = folder.path().join("count.toml");
    let messages = root().join("sql/tables/messages.sql");
    let text = format!(
        "sql = [{:?}, 'count.sql']\n[parameters]\nbootstrap_servers = '{}'\ntopic = '{topic}'\n",
        messages.display().to_string(),
        outside.kafka.bootstrap_servers()
    );
    std::fs::write(&file, text).unwrap();
    let ran = ended(command([
        "run",
        &file.display().to_string(),
        "--bounded",
        "--parallelism",
        parallelism,
    ]))
    .well();
    let mut rows: Vec<_> = ran.stdout.lines().map(str::to_owned).collect();
    rows.sort();
    let late = ran
        .stderr
        .lines()
        .find(|line| line.contains("came after the watermark"));
    (rows, late.map(|line| line.trim().to_owned()))
}

#[test]
fn messages_that_are_no_events_change_no_window() {
    let outside = Outside::shared();
    let servers = outside.kafka.bootstrap_servers();
    for topic in ["messages-events", "messages-disturbed"] {
        outside.topic(topic, PARTITIONS);
        for partition in 0..PARTITIONS {
            let events = events(partition.into());
            let sent = if topic == "messages-events" {
                events
            } else {
                disturbed(events)
            };
            send(&servers, topic, partition, &sent);
        }
    }
    let expected = rows(&outside, "messages-events", "1");
    assert_eq!(expected.0.len(), 21, "{expected:?}");
    // Ten of each partition, half a minute behind.
    assert!(
        expected.1.as_ref().is_some_and(|late| late.starts_with("20 events")),
        "{expected:?}"
    );
    for parallelism in ["1", "2"] {
        let found = rows(&outside, "messages-disturbed", parallelism);
        assert_eq!(found, expected, "parallelism {parallelism}");
    }
}
