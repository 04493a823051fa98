//! What is written.

use super::*;
use crate::Factory;
use crate::testing::{lines, metadata};
use arrow::array::Array;
use arrow::datatypes::TimeUnit;
use hitters_dataflow::sink::SinkFactory;
use std::time::Instant;

#[test]
fn the_sink_writes_keys_times_and_transactions() {
    let broker = broker();
    let servers = broker.bootstrap_servers();
    for (name, mode) in [("plain", "at_least_once"), ("exact", "exactly_once")] {
        topic(&broker, name, 3);
        let columns = [
            column("a", DataType::Int64, false),
            column("k", DataType::Utf8View, true),
            column("t", DataType::Timestamp(TimeUnit::Nanosecond, None), false),
        ];
        let with = [
            ("connector", "kafka"),
            ("type", "sink"),
            ("format", "json"),
            ("bootstrap_servers", servers.as_str()),
            ("topic", name),
            ("sink.key_field", "k"),
            ("sink.timestamp_field", "t"),
            ("sink.commit_mode", mode),
            ("client_configs", "compression.codec=zstd"),
        ];
        let answers = table(&columns, &with).unwrap();
        let mut sink =
            SinkFactory::open(&Factory::new(bounded().0).unwrap(), Some(&answers), answers.schema()).unwrap();
        // Rows to write, decoded from what a source table would read.
        topic(&broker, &format!("{name}-in"), 1);
        send(
            &broker,
            &format!("{name}-in"),
            0,
            &[
                r#"{"a":1,"k":"x","t":"2023-11-14T22:13:20.5"}"#,
                r#"{"a":2,"k":"x","t":"2023-11-14T22:13:21"}"#,
                r#"{"a":3,"t":"2023-11-14T22:13:22"}"#,
            ],
        );
        for rows in read(
            bounded().0,
            &source_of(&broker, &format!("{name}-in"), &columns, &[]),
            1,
        ) {
            sink.write(&rows.batch).unwrap();
            sink.flush().unwrap();
        }
        sink.close().unwrap();
        let all = [
            columns[0].clone(),
            metadata("key", "key", DataType::BinaryView),
            metadata("time", "timestamp", DataType::Int64),
        ];
        let node = source_of(&broker, name, &all, &[("source.read_mode", "read_committed")]);
        // The broker writes the markers of a committed transaction in its own time.
        let until = Instant::now() + Duration::from_secs(20);
        let rows = loop {
            let rows = read(bounded().0, &node, 3);
            if rows.iter().map(|rows| rows.batch.num_rows()).sum::<usize>() >= 3 || Instant::now() > until {
                break rows;
            }
        };
        let homes: Vec<_> = rows
            .iter()
            .filter(|rows| rows.batch.column(1).null_count() < rows.batch.num_rows())
            .map(|rows| rows.partition)
            .collect();
        assert!(
            !homes.is_empty() && homes.iter().all(|home| *home == homes[0]),
            "a key has one partition: {homes:?}"
        );
        let mut got = lines(rows.into_iter().map(|rows| rows.batch));
        got.sort();
        assert_eq!(
            got,
            [
                r#"{"a":1,"key":"eA==","time":1700000000500}"#,
                r#"{"a":2,"key":"eA==","time":1700000001000}"#,
                r#"{"a":3,"key":null,"time":1700000002000}"#,
            ]
        );
    }
}
