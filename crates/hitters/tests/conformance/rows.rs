//! The rows of a pipeline, from Redis and from its topic of results, by their keys.

use super::World;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use redis::Commands;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Rows by the place that they are at: `redis KEY`, `redis KEY FIELD`, `topic KEY`.
pub type Rows = BTreeMap<String, Value>;

/// Keeps rows of windows that end by then. Rows without an end are of the newest window, which is one of those that close the others:
/// these hold the same events, at a time that does not matter.
pub fn until(rows: &mut Rows, until: i64) {
    let end = |row: &Value| row["window_end"].as_i64().or(row["until"].as_i64());
    rows.retain(|_, row| end(row).is_none_or(|end| end <= until));
    let later = |row: &&mut Value| end(row).is_none() && row["window_start"].as_i64() > Some(until);
    rows.values_mut()
        .filter(later)
        .for_each(|row| row["window_start"] = "later".into());
}

impl World {
    /// All rows of a pipeline's first version, of windows that end by `until`. The progress is left out: it says how far an engine
    /// is, not what it found.
    pub fn rows(&self, pipeline: &str, until: i64) -> Rows {
        let mut rows = self.redis_rows(pipeline, 1);
        rows.extend(self.topic_rows(&format!("{pipeline}.results")));
        self::until(&mut rows, until);
        rows
    }

    /// The rows for analysts of windows that begin before `until`, each once: a cluster may write them again.
    pub fn item_rows(&self, pipeline: &str, until: i64) -> BTreeSet<String> {
        let rows = self.messages(&format!("{pipeline}.rows")).into_iter();
        let rows = rows.filter(|(_, row)| row["window_start"].as_i64().is_some_and(|start| start < until));
        rows.map(|(_, row)| row.to_string()).collect()
    }

    /// What a version has written to Redis, without its progress and the number of the embedded engine's run.
    pub fn redis_rows(&self, pipeline: &str, version: u64) -> Rows {
        let mut connection = redis::Client::open(self.redis.url()).unwrap().get_connection().unwrap();
        let keys: Vec<String> = connection.keys(format!("hh:{pipeline}:v{version}:*")).unwrap();
        let mut rows = Rows::new();
        let is_row = |key: &&String| ![":progress", ":attempt"].iter().any(|end| key.ends_with(end));
        for key in keys.iter().filter(is_row) {
            let kind: String = redis::cmd("TYPE").arg(key).query(&mut connection).unwrap();
            match kind.as_str() {
                "string" => {
                    let text: String = connection.get(key).unwrap();
                    rows.insert(format!("redis {key}"), serde_json::from_str(&text).unwrap());
                }
                "hash" => {
                    let fields: BTreeMap<String, String> = connection.hgetall(key).unwrap();
                    for (field, text) in fields {
                        rows.insert(format!("redis {key} {field}"), serde_json::from_str(&text).unwrap());
                    }
                }
                other => panic!("{key} is a {other}"),
            }
        }
        rows
    }

    /// How many events a version has read, by its own word.
    pub fn read(&self, pipeline: &str, version: u64) -> u64 {
        let mut connection = redis::Client::open(self.redis.url()).unwrap().get_connection().unwrap();
        let rows: BTreeMap<String, String> = connection
            .hgetall(format!("hh:{pipeline}:v{version}:progress"))
            .unwrap();
        let offset = |row: &String| serde_json::from_str::<Value>(row).unwrap()["offset"].as_u64().unwrap();
        rows.values().map(offset).sum()
    }

    /// The last row of each key of a topic; none if there is no such topic.
    fn topic_rows(&self, topic: &str) -> Rows {
        let keyed = |(key, row): (Option<String>, Value)| {
            let key = key.unwrap_or_else(|| panic!("{topic} has a row without a key: {row}"));
            (format!("topic {key}"), row)
        };
        self.messages(topic).into_iter().map(keyed).collect()
    }

    /// All messages of a topic, those of a partition in order; none if there is no such topic.
    fn messages(&self, topic: &str) -> Vec<(Option<String>, Value)> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.kafka.bootstrap_servers())
            .set("group.id", "conformance")
            .set("enable.auto.commit", "false")
            .create()
            .unwrap();
        let wait = Duration::from_secs(10);
        let metadata = consumer.fetch_metadata(None, wait).unwrap();
        let Some(found) = metadata.topics().iter().find(|one| one.name() == topic) else {
            return Vec::new();
        };
        let (mut list, mut left) = (TopicPartitionList::new(), 0);
        for partition in found.partitions() {
            let (low, high) = consumer.fetch_watermarks(topic, partition.id(), wait).unwrap();
            left += high - low;
            list.add_partition_offset(topic, partition.id(), Offset::Beginning)
                .unwrap();
        }
        consumer.assign(&list).unwrap();
        let mut rows = Vec::new();
        while left > 0 {
            let message = consumer.poll(wait).expect("the topic has further messages").unwrap();
            left -= 1;
            let row: Value = serde_json::from_slice(message.payload().unwrap()).unwrap();
            let key = message.key().map(|key| String::from_utf8_lossy(key).into_owned());
            rows.push((key, row));
        }
        rows
    }
}
