//! Where the log of a topic stands, and where a group of readers begins in it: what `hitters` has to know and to say for a run that
//! reads elsewhere.

use super::Topics;
use crate::kafka::offsets::Offsets;
use crate::run::Bound;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;

impl Topics {
    /// By partition the offset of the first record at or behind a place; at the end of a log the offset that its next record will
    /// get.
    ///
    /// # Errors
    ///
    /// If the topic is not there, or the brokers do not answer.
    pub fn positions(&self, topic: &str, bound: Bound) -> Result<BTreeMap<i32, i64>, String> {
        let offsets = Offsets {
            client: &self.client,
            servers: &self.servers,
            watch: &self.watch,
            topic,
            timeout: self.timeout,
        };
        let mut logs = offsets.logs()?;
        offsets.bound(&mut logs, bound, |log, offset| log.start = offset)?;
        Ok(logs.into_iter().map(|(number, log)| (number, log.start)).collect())
    }

    /// Says where a group that has no members begins to read a topic.
    ///
    /// # Errors
    ///
    /// If the brokers do not answer or do not allow it, or the group has members.
    pub fn commit(&self, topic: &str, group: &str, positions: &BTreeMap<i32, i64>) -> Result<(), String> {
        let settings = [("group.id", group), ("enable.auto.commit", "false")];
        let member: BaseConsumer<_> = self.servers.create(&settings, &self.watch)?;
        let mut list = TopicPartitionList::with_capacity(positions.len());
        for (number, next) in positions {
            let added = list.add_partition_offset(topic, *number, Offset::Offset(*next));
            added.map_err(|error| format!("offset {next} of partition {number}: {error}"))?;
        }
        member
            .commit(&list, CommitMode::Sync)
            .map_err(|error| format!("the offsets of group '{group}' in topic '{topic}' cannot be set: {error}"))
    }
}
