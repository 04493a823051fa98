//! Committed offsets of a group, for people and tools that watch how far a run has read. Recovery goes by checkpoints.
//!
//! A thread of its own commits, one after the other, always the newest positions that it was given: a slow broker delays no
//! checkpoint, and an older commit never overwrites a newer one.

use super::client::{Client, Servers, Watch, serve};
use super::marker::{Isolation, member};
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::Builder;
use std::time::Duration;

/// By partition what to read next.
type Positions = Vec<(i32, i64)>;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long the last offsets may take at the end of a run.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// Commits the offsets of one topic in one group.
pub(super) struct Progress {
    sender: Option<Sender<Positions>>,
    ended: Receiver<()>,
}

impl Progress {
    pub(super) fn open(servers: &Servers, topic: &str, group: &str, watch: Watch) -> Result<Self, String> {
        let (client, _) = member(servers, group, Isolation::None, &watch)?;
        let (sender, receiver) = channel();
        let (end, ended) = channel();
        let (topic, group) = (topic.to_string(), group.to_string());
        let commit = move || {
            commit_all(&client, &topic, &group, &watch, &receiver);
            // Nobody may wait any more.
            let _ = end.send(());
        };
        Builder::new()
            .name("offsets".into())
            .spawn(commit)
            .map_err(|error| format!("cannot start a thread: {error}"))?;
        Ok(Self {
            sender: Some(sender),
            ended,
        })
    }

    /// Takes positions to commit, and returns at once.
    pub(super) fn commit(&self, positions: &[(i32, i64)]) {
        if let Some(sender) = &self.sender {
            // The thread ends after its sender only.
            let _ = sender.send(positions.to_vec());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.sender = None;
        let _ = self.ended.recv_timeout(LAST_WAIT);
    }
}

fn commit_all(client: &Client, topic: &str, group: &str, watch: &Watch, receiver: &Receiver<Positions>) {
    let mut said = None;
    while let Ok(mut positions) = receiver.recv() {
        let mut pause = FIRST_PAUSE;
        loop {
            positions = receiver.try_iter().last().unwrap_or(positions);
            let Err(why) = commit(client, topic, &positions) else {
                watch.alive();
                said = None;
                break;
            };
            serve(client);
            watch.remind();
            if said.as_ref() != Some(&why) {
                watch.say(&format!(
                    "the offsets of group '{group}' for topic '{topic}' are not committed: {why}; trying again"
                ));
                said = Some(why);
            }
            match receiver.recv_timeout(pause) {
                Ok(newer) => positions = newer,
                Err(RecvTimeoutError::Timeout) => {}
                // The run is over. One more try, without waiting for better times.
                Err(RecvTimeoutError::Disconnected) => {
                    let _ = commit(client, topic, &positions);
                    return;
                }
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

fn commit(client: &Client, topic: &str, positions: &[(i32, i64)]) -> Result<(), String> {
    let mut list = TopicPartitionList::with_capacity(positions.len());
    for (partition, next) in positions {
        let added = list.add_partition_offset(topic, *partition, Offset::Offset(*next));
        added.map_err(|error| format!("offset {next} of partition {partition}: {error}"))?;
    }
    client
        .commit(&list, CommitMode::Sync)
        .map_err(|error| error.to_string())
}
