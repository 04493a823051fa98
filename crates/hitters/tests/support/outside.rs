//! A real Kafka and a real Redis, and everything that stands in them.

use hitters_connectors::RunOptions;
use hitters_connectors::generate::{Generate, to_topic};
use hitters_connectors::topics::{Outcome, TopicSpec, Topics};
use hitters_tests::services::{Kafka, Redis};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use redis::Commands;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// A broker and a server.
pub struct Outside {
    pub kafka: Kafka,
    pub redis: Redis,
}

/// Rows in Redis: by key, then by field (one without a name for strings).
pub type Shown = BTreeMap<String, BTreeMap<String, String>>;
/// Messages of a topic, sorted: key and payload. A message that came twice stands there twice.
pub type Published = Vec<(String, String)>;

impl Outside {
    /// Those that the tests which run now share: the last of them stops it.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Outside>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let fresh = Arc::new(Self {
                kafka: Kafka::start(),
                redis: Redis::start(),
            });
            *shared = Arc::downgrade(&fresh);
            fresh
        })
    }

    /// `${kafka}` and `${redis}` in SQL are these.
    pub fn fill(&self, sql: &str) -> String {
        sql.replace("${kafka}", &self.kafka.bootstrap_servers())
            .replace("${redis}", &self.redis.url())
    }

    /// Makes a topic.
    pub fn topic(&self, name: &str, partitions: i32) {
        let spec = TopicSpec {
            name: name.into(),
            partitions: Some(partitions),
            replication: Some(1),
            ..TopicSpec::default()
        };
        let topics = Topics::connect(&self.kafka.bootstrap_servers(), &[], &RunOptions::default()).unwrap();
        assert_eq!(topics.ensure(&spec, true).unwrap(), Outcome::Created);
    }

    /// Fills a topic with generated events.
    pub fn generate(&self, name: &str, options: &Generate) {
        let run = RunOptions::default();
        let sent = to_topic(
            options,
            &self.kafka.bootstrap_servers(),
            name,
            &[],
            &run,
            false,
            &mut |_| true,
        );
        assert_eq!(sent.unwrap(), options.events);
    }

    /// All that stands under a prefix, which is taken off.
    pub fn shown(&self, prefix: &str) -> Shown {
        let mut client = redis::Client::open(self.redis.url()).unwrap().get_connection().unwrap();
        let keys: Vec<String> = client.keys(format!("{prefix}*")).unwrap();
        let mut shown = Shown::new();
        for key in keys {
            let kind: String = redis::cmd("TYPE").arg(&key).query(&mut client).unwrap();
            let fields = match kind.as_str() {
                "hash" => client.hgetall(&key).unwrap(),
                "string" => BTreeMap::from([(String::new(), client.get(&key).unwrap())]),
                other => panic!("{key} is a {other}"),
            };
            shown.insert(key[prefix.len()..].to_string(), fields);
        }
        shown
    }

    /// All committed messages of a topic.
    pub fn published(&self, topic: &str) -> Published {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.kafka.bootstrap_servers())
            .set("group.id", "tests")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            .create()
            .unwrap();
        let wait = Duration::from_secs(30);
        let metadata = consumer.fetch_metadata(Some(topic), wait).unwrap();
        let partitions = metadata.topics()[0].partitions().len();
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition_offset(topic, partition as i32, Offset::Beginning)
                .unwrap();
        }
        consumer.assign(&list).unwrap();
        let (mut messages, mut ended) = (Published::new(), 0);
        let until = Instant::now() + wait;
        while ended < partitions {
            assert!(Instant::now() < until, "topic {topic} cannot be read to its end");
            let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap();
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => messages.push((text(message.key()), text(message.payload()))),
                Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
                Some(Err(error)) => panic!("{error}"),
                None => {}
            }
        }
        messages.sort_unstable();
        messages
    }
}

/// What differs between two sets of messages, for people.
pub fn differences(expected: &Published, found: &Published) -> String {
    let count = |messages: &Published| {
        let mut counts = BTreeMap::<(String, String), i64>::new();
        messages
            .iter()
            .for_each(|message| *counts.entry(message.clone()).or_default() += 1);
        counts
    };
    let (expected, found) = (count(expected), count(found));
    let keys: std::collections::BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    let differing = keys.into_iter().filter_map(|key| {
        let (want, have) = (expected.get(key).unwrap_or(&0), found.get(key).unwrap_or(&0));
        (want != have).then(|| format!("{have} instead of {want} of {key:?}"))
    });
    let differing: Vec<String> = differing.collect();
    format!(
        "{} messages differ: {:#?}",
        differing.len(),
        &differing[..differing.len().min(5)]
    )
}

/// What differs between two states of Redis, for people.
pub fn rows_that_differ(expected: &Shown, found: &Shown) -> String {
    let flat = |shown: &Shown| -> Published {
        let rows = shown.iter().flat_map(|(key, fields)| {
            fields
                .iter()
                .map(move |(field, row)| (format!("{key} {field}"), row.clone()))
        });
        rows.collect()
    };
    differences(&flat(expected), &flat(found))
}
