//! What reading a table on Arroyo costs, and where it loses or never gets rows.

use super::Cluster;
use super::findings::Findings;
use super::tables::Facts;
use crate::create_table::CreateTable;
use crate::error::Error;

/// Without these, librdkafka stops at 100,000 messages and waits a second: about 150,000 rows/s a subtask instead of four to
/// five times as many.
const FETCH: &str = "queued.min.messages=1000000,fetch.queue.backoff.ms=10";

pub(crate) fn check(statement: &CreateTable, facts: &Facts, cluster: &Cluster, found: &mut Findings) {
    if facts.sink {
        return;
    }
    match facts.connector.as_str() {
        "kafka" => kafka(facts, cluster, found),
        "single_file" => file(facts, found),
        "impulse" => impulse(statement, facts, cluster, found),
        _ => {}
    }
}

fn kafka(facts: &Facts, cluster: &Cluster, found: &mut Findings) {
    let configs = facts.option("client_configs").unwrap_or_default();
    if !configs.contains("queued.min.messages") {
        let key = if configs.is_empty() {
            "connector"
        } else {
            "client_configs"
        };
        found.warning(
            Error::new("with the default settings of the Kafka client a backlog is read at about 150,000 rows/s by each subtask")
                .at(facts.place(key))
                .hint(format!("client_configs = '{FETCH}' makes it four to five times that, for some 400 MB of memory")),
        );
    }
    if let Some(partitions) = cluster.partitions
        && partitions > cluster.parallelism
    {
        found.error(
            Error::new(format!(
                "parallelism {} is below the {partitions} partitions: Arroyo keeps a watermark for each subtask, so that most rows of a \
                 backlog are dropped as late",
                cluster.parallelism
            ))
            .at(facts.place("topic"))
            .hint(format!("set parallelism = {partitions} in the pipeline file")),
        );
    }
}

fn file(facts: &Facts, found: &mut Findings) {
    if facts.option("path").is_some_and(|path| path.ends_with(".gz")) {
        found.error(
            Error::new("Arroyo reads the lines of a file as they are and does not unpack them")
                .at(facts.place("path"))
                .hint("unpack the file first"),
        );
    }
    if !matches!(facts.option("wait_for_control"), Some("false" | "no")) {
        found.warning(
            Error::new("Arroyo waits after every line of the file, for a checkpoint or an order to go on")
                .at(facts.place("wait_for_control"))
                .hint("add wait_for_control = 'false' to WITH"),
        );
    }
}

fn impulse(statement: &CreateTable, facts: &Facts, cluster: &Cluster, found: &mut Findings) {
    let interval = facts
        .option("event_time_interval")
        .and_then(|text| text.trim().parse::<i64>().ok());
    // Below a millisecond between rows somebody has probably read the documentation, which says microseconds.
    if interval.is_some_and(|nanos| nanos < 1_000_000) {
        found.warning(
            Error::new("event_time_interval is in nanoseconds, whatever Arroyo's documentation says")
                .at(facts.place("event_time_interval"))
                .hint("for microseconds, multiply by 1000"),
        );
    }
    if facts.option("message_count").is_some() && cluster.parallelism > 1 {
        found.warning(
            Error::new(format!(
                "on Arroyo each of the {} subtasks makes so many rows of its own",
                cluster.parallelism
            ))
            .at(facts.place("message_count"))
            .hint("the embedded engine makes them once; set parallelism = 1 to compare"),
        );
    }
    if statement.watermarks.is_empty() && facts.option("message_count").is_some() {
        found.warning(
            Error::new(
                "on Arroyo the event times of impulse begin at the present, so that every run has other windows",
            )
            .at(facts.place("message_count"))
            .hint("compute an event time from the counter in a generated column if rows are to be compared"),
        );
    }
}
