//! Against a real broker, which the tests that run at a time share.

mod bounds;
mod exactly_once;
mod faults;
mod read;
mod speed;
mod write;

use crate::RunOptions;
use crate::testing::{bounded, column, node, read_all, reader, table};
use crate::topics::{Outcome, TopicSpec, Topics};
use arrow::array::AsArray;
use arrow::datatypes::{DataType, Int64Type};
use hitters_dataflow::source::Rows;
use hitters_planner::plan::SourceNode;
use hitters_planner::table::Column;
use hitters_tests::services::Kafka as Broker;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

/// A broker for the tests that run now: the last of them stops it.
pub(crate) fn broker() -> Arc<Broker> {
    static SHARED: Mutex<Weak<Broker>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    shared.upgrade().unwrap_or_else(|| {
        let fresh = Arc::new(Broker::start());
        *shared = Arc::downgrade(&fresh);
        fresh
    })
}

pub(crate) fn topic(broker: &Broker, name: &str, partitions: i32) {
    let topics = Topics::connect(&broker.bootstrap_servers(), &[], &bounded().0).unwrap();
    let spec = TopicSpec {
        name: name.into(),
        partitions: Some(partitions),
        replication: Some(1),
        ..TopicSpec::default()
    };
    assert_eq!(topics.ensure(&spec, true).unwrap(), Outcome::Created);
}

pub(crate) fn producer(broker: &Broker, more: &[(&str, &str)]) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.bootstrap_servers());
    for (name, value) in more {
        config.set(*name, *value);
    }
    config.create().unwrap()
}

pub(crate) fn send(broker: &Broker, topic: &str, partition: i32, messages: &[&str]) {
    let producer = producer(broker, &[]);
    for message in messages {
        producer
            .send(
                BaseRecord::<(), str>::to(topic)
                    .partition(partition)
                    .payload(message)
                    .timestamp(1_700_000_000_000),
            )
            .unwrap();
    }
    producer.flush(Duration::from_secs(20)).unwrap();
}

pub(crate) fn columns() -> Vec<Column> {
    vec![column("a", DataType::Int64, false)]
}

pub(crate) fn source_of(broker: &Broker, topic: &str, columns: &[Column], more: &[(&str, &str)]) -> SourceNode {
    let servers = broker.bootstrap_servers();
    let mut with = vec![
        ("connector", "kafka"),
        ("type", "source"),
        ("format", "json"),
        ("bootstrap_servers", servers.as_str()),
        ("topic", topic),
    ];
    if !more.iter().any(|(name, _)| *name == "source.offset") {
        with.push(("source.offset", "earliest"));
    }
    with.extend(more);
    node(&table(columns, &with).unwrap())
}

pub(crate) fn source(broker: &Broker, topic: &str, more: &[(&str, &str)]) -> SourceNode {
    source_of(broker, topic, &columns(), more)
}

pub(crate) fn read(run: RunOptions, node: &SourceNode, partitions: usize) -> Vec<Rows> {
    read_all(reader(run, node, None).unwrap().as_mut(), partitions).unwrap()
}

pub(crate) fn numbers(rows: Vec<Rows>) -> Vec<i64> {
    let mut all: Vec<i64> = rows
        .iter()
        .flat_map(|rows| rows.batch.column(0).as_primitive::<Int64Type>().values().to_vec())
        .collect();
    all.sort_unstable();
    all
}
