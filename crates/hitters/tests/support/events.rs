//! Topics with generated events.

use hitters_connectors::RunOptions;
use hitters_connectors::generate::{Generate, to_topic};
use hitters_connectors::topics::{TopicSpec, Topics};
use hitters_tests::services::Kafka;

/// Creates a topic with as many partitions as the events have, and sends them all.
pub fn fill(kafka: &Kafka, topic: &str, options: &Generate) {
    let (servers, run) = (kafka.bootstrap_servers(), RunOptions::default());
    let spec = TopicSpec {
        name: topic.into(),
        partitions: Some(options.partitions as i32),
        ..TopicSpec::default()
    };
    let topics = Topics::connect(&servers, &[], &run).unwrap();
    topics.ensure(&spec, true).unwrap();
    to_topic(options, &servers, topic, &[], &run, false, &mut |_| true).unwrap();
}
