//! What the connectors say to wrong options and columns, long before anything is opened.

use crate::testing::{column, metadata, table};
use arrow::datatypes::{DataType, TimeUnit};

fn error(columns: &[hitters_planner::table::Column], with: &[(&str, &str)]) -> String {
    table(columns, with)
        .err()
        .unwrap_or_else(|| panic!("{with:?} was accepted"))
        .to_string()
}

const KAFKA: [(&str, &str); 5] = [
    ("connector", "kafka"),
    ("bootstrap_servers", "localhost:9092"),
    ("topic", "t"),
    ("type", "source"),
    ("format", "json"),
];

fn kafka(more: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    let mut all: Vec<_> = KAFKA
        .iter()
        .filter(|(name, _)| !more.iter().any(|(other, _)| other == name))
        .copied()
        .collect();
    all.extend(more);
    all
}

#[test]
fn kafka_takes_arroyos_options() {
    let columns = [
        column("a", DataType::Int64, false),
        metadata("o", "offset_id", DataType::Int64),
        metadata("k", "key", DataType::BinaryView),
    ];
    let options = kafka(&[
        ("source.offset", "group"),
        ("source.group_id", "g"),
        ("source.read_mode", "read_committed"),
        ("client_configs", "queued.min.messages=1000, fetch.queue.backoff.ms=10"),
        ("auth.type", "sasl"),
        ("auth.mechanism", "PLAIN"),
        ("auth.protocol", "SASL_SSL"),
        ("auth.username", "u"),
        ("auth.password", "secret"),
        ("bad_data", "drop"),
        ("framing", "newline"),
        ("json.timestamp_format", "RFC3339"),
    ]);
    let described = table(&columns, &options).unwrap().spec.describe();
    assert!(
        described.contains("topic t at localhost:9092") && !described.contains("secret"),
        "{described}"
    );
    let sink = kafka(&[
        ("type", "sink"),
        ("sink.commit_mode", "exactly_once"),
        ("sink.key_field", "k"),
        ("sink.timestamp_field", "t"),
    ]);
    let columns = [
        column("k", DataType::Utf8View, true),
        column("t", DataType::Timestamp(TimeUnit::Nanosecond, None), true),
    ];
    table(&columns, &sink).unwrap();
}

#[test]
fn kafka_says_what_is_wrong_and_what_is_allowed() {
    let columns = [column("a", DataType::Int64, false)];
    for (with, expected) in [
        (
            kafka(&[("source.offset", "oldest")]),
            "allowed: 'latest', 'earliest', 'group'",
        ),
        (kafka(&[("source.offset", "group")]), "add source.group_id"),
        (kafka(&[("client_configs", "nonsense")]), "'nonsense' has no '='"),
        (
            kafka(&[("format", "avro")]),
            "allowed: 'json', 'raw_string', 'raw_bytes'",
        ),
        (kafka(&[("format", "raw_string")]), "declare value TEXT"),
        (kafka(&[("auth.type", "sasl")]), "option 'auth.mechanism' is missing"),
        (kafka(&[("type", "lookup")]), "allowed: 'source', 'sink'"),
        (kafka(&[("bad_data", "ignore")]), "allowed: 'fail', 'drop'"),
        (kafka(&[("offset", "earliest")]), "unknown option 'offset'"),
        (
            kafka(&[("type", "sink"), ("sink.key_field", "b")]),
            "the table has no column 'b'",
        ),
        (
            kafka(&[("type", "sink"), ("sink.key_field", "a")]),
            "column 'a' is BIGINT, it must be TEXT",
        ),
        (kafka(&[("json.include_schema", "true")]), "not supported"),
    ] {
        let error = error(&columns, &with);
        assert!(error.contains(expected), "{with:?}: {error}");
    }
    let error_of = |column| error(&[column], &kafka(&[]));
    assert!(
        error_of(metadata("m", "headers", DataType::Utf8View))
            .contains("there are offset_id BIGINT, partition INT, topic TEXT")
    );
    assert!(error_of(metadata("m", "partition", DataType::Int64)).contains("declare m INT"));
    assert!(error_of(column("b", DataType::BinaryView, true)).contains("decode(rtrim(b, '='), 'base64')"));
}

#[test]
fn redis_takes_arroyos_options_and_needs_keys_that_are_there() {
    let columns = [
        column("k", DataType::Utf8View, false),
        column("n", DataType::Utf8View, true),
        column("v", DataType::Int64, true),
    ];
    let redis = |more: &[(&'static str, &'static str)]| {
        let mut all = vec![
            ("connector", "redis"),
            ("type", "sink"),
            ("format", "json"),
            ("target.key_prefix", "p:"),
        ];
        if !more.iter().any(|(name, _)| *name == "cluster.addresses") {
            all.push(("address", "redis://:secret@localhost:6379"));
        }
        all.extend(more);
        all
    };
    for with in [
        redis(&[
            ("target", "string"),
            ("target.key_column", "k"),
            ("target.ttl_secs", "60"),
        ]),
        redis(&[
            ("target", "list"),
            ("target.operation", "prepend"),
            ("target.max_length", "10"),
        ]),
        redis(&[
            ("target", "hash"),
            ("target.field_column", "k"),
            ("username", "u"),
            ("password", "secret"),
        ]),
        redis(&[("target", "string"), ("cluster.addresses", "redis://a:1,redis://b:2")]),
        redis(&[("target", "string"), ("address", "rediss://localhost:6379")]),
    ] {
        let described = table(&columns, &with)
            .unwrap_or_else(|error| panic!("{with:?}: {error}"))
            .spec
            .describe();
        assert!(!described.contains("secret"), "{described}");
    }
    for (with, expected) in [
        (
            redis(&[("target", "string"), ("target.key_column", "n")]),
            "declare it: n TEXT NOT NULL",
        ),
        (
            redis(&[("target", "string"), ("target.key_column", "v")]),
            "it must be TEXT",
        ),
        (redis(&[("target", "hash")]), "option 'target.field_column' is missing"),
        (redis(&[("target", "zset")]), "allowed: 'string', 'list', 'hash'"),
        (
            redis(&[("target", "string"), ("target.ttl_secs", "0")]),
            "not a number of seconds above 0",
        ),
        (
            redis(&[("target", "string"), ("target.max_length", "5")]),
            "unknown option 'target.max_length'",
        ),
        (redis(&[]), "option 'target' is missing"),
    ] {
        let error = error(&columns, &with);
        assert!(
            error.contains(expected) && !error.contains("secret"),
            "{with:?}: {error}"
        );
    }
    let bad = [
        ("connector", "redis"),
        ("type", "sink"),
        ("format", "json"),
        ("target.key_prefix", ""),
        ("target", "string"),
        ("address", "localhost"),
    ];
    assert!(error(&columns, &bad).contains("redis://host:6379"));
}

#[test]
fn the_small_connectors_check_their_options() {
    let counter = [column("counter", DataType::Int64, false)];
    table(
        &counter,
        &[
            ("connector", "impulse"),
            ("event_rate", "10"),
            ("message_count", "5"),
            ("event_time_interval", "1000"),
        ],
    )
    .unwrap();
    assert!(error(&counter, &[("connector", "impulse")]).contains("event_rate"));
    assert!(error(&counter, &[("connector", "impulse"), ("event_rate", "-1")]).contains("above 0"));
    let other = [column("number", DataType::Int64, false)];
    assert!(
        error(&other, &[("connector", "impulse"), ("event_rate", "1")])
            .contains("counter BIGINT and subtask_index BIGINT")
    );
    table(&counter, &[("connector", "blackhole")]).unwrap();
    table(&counter, &[("connector", "stdout"), ("format", "json")]).unwrap();
    assert!(
        error(
            &counter,
            &[("connector", "stdout"), ("format", "json"), ("type", "source")]
        )
        .contains("allowed: 'sink'")
    );
    let file = [
        ("connector", "single_file"),
        ("path", "x"),
        ("type", "source"),
        ("format", "json"),
    ];
    assert!(error(&[metadata("p", "partition", DataType::Int32)], &file).contains("a file has no metadata"));
}
