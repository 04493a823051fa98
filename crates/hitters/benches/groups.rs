//! `make bench-groups`: what very many groups cost in memory, and what a memory limit says to them.
//!
//! 100,000 groups of 20 items each in one window, every group in every one of eight partitions: 800,000 states, the most that
//! such a topic can ask for. HITTERS_BENCH_GROUPS asks for another number of groups.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod measure;

use hitters_tests::services::Kafka;
use measure::{Process, setting};
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;
use std::time::Duration;

const PARTITIONS: u64 = 8;
const ITEMS: u64 = 20;

const SQL: &str = "CREATE TABLE events (ts BIGINT NOT NULL, group_key TEXT NOT NULL, item TEXT NOT NULL,
    t TIMESTAMP NOT NULL GENERATED ALWAYS AS (CAST(to_timestamp_millis(ts) AS TIMESTAMP)),
    WATERMARK FOR t)
  WITH (connector = 'kafka', type = 'source', bootstrap_servers = '{servers}', topic = 'events', format = 'json',
        'source.offset' = 'earliest');
";

const QUERIES: [(&str, &str); 2] = [
    (
        "approx_top_k(item, 10) by group",
        "SELECT group_key, approx_top_k(item, 10) AS answer FROM events GROUP BY tumble(INTERVAL '1 hour'), group_key;",
    ),
    (
        "count(*) by group and item",
        "SELECT group_key, item, count(*) AS n FROM events GROUP BY tumble(INTERVAL '1 hour'), group_key, item;",
    ),
];

fn main() {
    let groups = setting("HITTERS_BENCH_GROUPS", 100_000);
    let kafka = Kafka::start();
    let servers = kafka.bootstrap_servers();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, query: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, SQL.replace("{servers}", &servers) + query).unwrap();
        path
    };
    measure::topics(&file("topics.sql", QUERIES[0].1), PARTITIONS as i32);
    generate(&servers, groups);
    println!(
        "{groups} groups of {ITEMS} items, each group in each of {PARTITIONS} partitions, one window, two threads\n"
    );
    println!(
        "{:<34} {:>10} {:>12} {:>16} {:>12}",
        "", "events/s", "state MB", "bytes a group", "peak MB"
    );
    let arguments = ["run", "--quiet", "--json", "--bounded", "--parallelism", "2"];
    let mut state = 0;
    for (number, (name, query)) in QUERIES.iter().enumerate() {
        let path = file("query.sql", query);
        let ran = Process::start(&[&arguments[..], &[path.to_str().unwrap()]].concat()).end();
        assert!(ran.status.success(), "{}", ran.stderr);
        let summary = ran.summary();
        let bytes = summary["peak_state_bytes"].as_u64().unwrap();
        if number == 0 {
            state = bytes;
        }
        println!(
            "{name:<34} {:>10.0} {:>12} {:>16} {:>12}",
            summary["events_per_second"].as_f64().unwrap(),
            bytes / 1_000_000,
            bytes / groups,
            ran.peak_bytes / 1_000_000
        );
    }
    let limit = (state / 2).to_string();
    let path = file("query.sql", QUERIES[0].1);
    let more = ["--memory-limit", &limit, path.to_str().unwrap()];
    let ran = Process::start(&[&arguments[..], &more].concat()).end();
    assert_eq!(ran.status.code(), Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("memory limit"), "{}", ran.stderr);
    println!(
        "\nwith --memory-limit {limit}: ended after {:.1} s at {} MB peak memory with\n  {}",
        ran.seconds,
        ran.peak_bytes / 1_000_000,
        ran.stderr.trim().replace('\n', "\n  ")
    );
}

/// Every item of every group in every partition once, within one hour of event time.
fn generate(servers: &str, groups: u64) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("linger.ms", "20")
        .set("compression.type", "lz4")
        .set("queue.buffering.max.messages", "1000000")
        .create()
        .unwrap();
    let mut event = String::new();
    for number in 0..groups * ITEMS * PARTITIONS {
        use std::fmt::Write;
        let turn = number / PARTITIONS;
        event.clear();
        write!(
            event,
            "{{\"ts\":{},\"group_key\":\"group-{}\",\"item\":\"item-{}\"}}",
            1_700_002_800_000 + turn * 3_000_000 / (groups * ITEMS),
            turn % groups,
            turn / groups
        )
        .unwrap();
        loop {
            let partition = (number % PARTITIONS) as i32;
            match producer.send(BaseRecord::<(), str>::to("events").partition(partition).payload(&event)) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    producer.poll(Duration::from_millis(10));
                }
                Err((error, _)) => panic!("{error}"),
            }
        }
        if number % 1000 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    producer.flush(Duration::from_secs(120)).unwrap();
}
