//! What a topic says of itself: up to which checkpoint of which run its rows are there.
//!
//! The marker is a committed offset of a consumer group that has no members: group `hitters-<pipeline>-v<version>-<table>`,
//! partition 0 of the sink's topic, the number of the checkpoint as its metadata and the number of the attempt as its offset.
//! It is written in the same transaction as the rows, so it is there if and only if they are. Brokers forget it when no
//! checkpoint came for `offsets.retention.minutes` (a week by default).

use super::client::{Client, Servers, Watch, serve};
use rdkafka::consumer::{Consumer, ConsumerGroupMetadata};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;
use std::time::{Duration, Instant};

/// When to speak of an answer that does not come.
const SILENCE: Duration = Duration::from_secs(10);
/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(5);

/// The marker as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// The newest checkpoint whose rows are in the topic; 0: none.
    pub checkpoint: u64,
    /// Who wrote that.
    pub attempt: u64,
}

/// Where the marker of a sink is.
pub(super) struct Marker {
    servers: Servers,
    group: String,
    topic: String,
    member: Client,
    metadata: ConsumerGroupMetadata,
}

impl Marker {
    pub(super) fn open(servers: &Servers, topic: &str, group: &str, watch: &Watch) -> Result<Self, String> {
        let (member, metadata) = member(servers, group, Isolation::None, watch)?;
        Ok(Self {
            servers: servers.clone(),
            group: group.to_string(),
            topic: topic.to_string(),
            member,
            metadata,
        })
    }

    pub(super) fn group(&self) -> &str {
        &self.group
    }

    /// What a transaction commits to say so.
    pub(super) fn offsets(&self, mark: Mark) -> Result<(TopicPartitionList, &ConsumerGroupMetadata), String> {
        let mut list = TopicPartitionList::with_capacity(1);
        let attempt = i64::try_from(mark.attempt).map_err(|_| format!("attempt {} is too large", mark.attempt))?;
        let mut element = list.add_partition(&self.topic, 0);
        element
            .set_offset(Offset::Offset(attempt))
            .map_err(|error| error.to_string())?;
        element.set_metadata(mark.checkpoint.to_string());
        Ok((list, &self.metadata))
    }

    /// The marker; `None` if there is none. Waits for the brokers, and for a transaction that is about to change it.
    pub(super) fn read(&self, watch: &Watch) -> Result<Option<Mark>, String> {
        let (member, _) = member(&self.servers, &self.group, Isolation::Committed, watch)?;
        let found = self.ask(&member, watch)?;
        self.parse(&found)
    }

    /// Waits until the coordinator of the group can be spoken to. Does not wait for transactions: the next one ends what a
    /// broker that died in the middle of a commit left half done.
    pub(super) fn ready(&self, watch: &Watch) -> Result<(), String> {
        self.ask(&self.member, watch).map(|_| ())
    }

    fn ask(&self, member: &Client, watch: &Watch) -> Result<TopicPartitionList, String> {
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition(&self.topic, 0);
        ask(member, &list, watch).map_err(|error| {
            format!(
                "the marker of committed checkpoints cannot be read: group '{}' at {}: {error}; allow READ on this group",
                self.group,
                watch.servers()
            )
        })
    }

    fn parse(&self, found: &TopicPartitionList) -> Result<Option<Mark>, String> {
        let elements = found.elements();
        let Some((element, Offset::Offset(attempt))) = elements.first().map(|element| (element, element.offset()))
        else {
            return Ok(None);
        };
        match (element.metadata().parse(), u64::try_from(attempt)) {
            (Ok(checkpoint), Ok(attempt)) => Ok(Some(Mark { checkpoint, attempt })),
            _ => Err(format!(
                "group '{}' should hold the number of a checkpoint for partition 0 of topic '{}', and holds offset {attempt} with '{}': does something else commit in this group?",
                self.group,
                self.topic,
                element.metadata()
            )),
        }
    }
}

/// Whose offsets a client of a group sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Isolation {
    /// Those of the last transaction that was committed, at once.
    None,
    /// It waits for a transaction that is about to change them.
    Committed,
}

/// A client of a group that does not join it, and what transactions need to commit offsets in its name.
pub(super) fn member(
    servers: &Servers,
    group: &str,
    isolation: Isolation,
    watch: &Watch,
) -> Result<(Client, ConsumerGroupMetadata), String> {
    let level = match isolation {
        Isolation::None => "read_uncommitted",
        Isolation::Committed => "read_committed",
    };
    let settings = [
        ("group.id", group),
        ("enable.auto.commit", "false"),
        ("isolation.level", level),
    ];
    let member: Client = servers.create(&settings, watch)?;
    let metadata = member
        .group_metadata()
        .ok_or_else(|| format!("group '{group}' has no metadata"))?;
    Ok((member, metadata))
}

/// What a group has committed. Waits until its coordinator answers.
///
/// # Errors
///
/// A refusal.
pub(super) fn ask(member: &Client, list: &TopicPartitionList, watch: &Watch) -> Result<TopicPartitionList, KafkaError> {
    let begun = Instant::now();
    let mut silent = SILENCE;
    loop {
        let found = member.committed_offsets(list.clone(), ANSWER).and_then(|found| {
            found.elements().iter().try_for_each(|element| element.error())?;
            Ok(found)
        });
        match found {
            Err(error) if !refused(&error) => {
                serve(member);
                watch.remind();
                if begun.elapsed() >= silent {
                    silent *= 2;
                    let waited = begun.elapsed().as_secs();
                    watch.say(&format!(
                        "Kafka at {}: no committed offsets after {waited} s: the coordinator of the group is away, or waits for the end of a transaction (transaction.timeout.ms)",
                        watch.servers()
                    ));
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            found => {
                watch.alive();
                return found;
            }
        }
    }
}

/// Whether waiting does not help.
fn refused(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::InvalidGroupId
        )
    )
}
