//! Where a run begins and ends in each partition: fixed once at the start, as plain offsets.

use super::From;
use super::client::{Client, Servers, Watch, check_topic, metadata, serve};
use crate::run::{Bound, MissingOffsets};
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The log of a partition as it stood at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Log {
    /// Offset of the oldest record kept.
    pub low: i64,
    /// Offset that the next record will get (with `read_committed`: the first that an open transaction may still hold back).
    pub high: i64,
    /// Where reading begins without a saved position.
    pub start: i64,
    /// Where it ends; `None`: never.
    pub end: Option<i64>,
}

/// Pause before a question is asked again.
const AGAIN: Duration = Duration::from_millis(200);

/// Questions to the brokers about one topic.
pub(crate) struct Offsets<'a> {
    pub client: &'a Client,
    pub servers: &'a Servers,
    pub watch: &'a Watch,
    pub topic: &'a str,
    pub timeout: Duration,
}

impl Offsets<'_> {
    /// All partitions with the ends of their logs; `start` and `end` are still the whole log.
    pub(crate) fn logs(&self) -> Result<BTreeMap<i32, Log>, String> {
        let found = metadata(
            self.client.client(),
            || serve(self.client),
            Some(self.topic),
            self.timeout,
        )?;
        let found = check_topic(found, self.topic, self.watch)?;
        let mut logs = BTreeMap::new();
        for partition in found.topics().iter().flat_map(|topic| topic.partitions()) {
            let number = partition.id();
            let doing = format!("asking for the ends of partition {number}");
            let (low, high) = self.patiently(&doing, || {
                self.client.fetch_watermarks(self.topic, number, self.timeout)
            })?;
            logs.insert(
                number,
                Log {
                    low,
                    high,
                    start: low,
                    end: Some(high),
                },
            );
        }
        Ok(logs)
    }

    /// Puts a bound of the run into `start` or `end`.
    pub(crate) fn bound(
        &self,
        logs: &mut BTreeMap<i32, Log>,
        bound: Bound,
        mut put: impl FnMut(&mut Log, i64),
    ) -> Result<(), String> {
        match bound {
            Bound::Earliest => logs.values_mut().for_each(|log| put(log, log.low)),
            Bound::Latest => logs.values_mut().for_each(|log| put(log, log.high)),
            Bound::Time(millis) => {
                let times = self.list(logs, Offset::Offset(millis))?;
                let found = self.patiently("asking for the offsets of a time", || {
                    self.client.offsets_for_times(times.clone(), self.timeout)
                })?;
                for element in found.elements() {
                    if let Some(log) = logs.get_mut(&element.partition()) {
                        let offset = match element.offset() {
                            Offset::Offset(offset) => offset.clamp(log.low, log.high),
                            // Everything is older.
                            _ => log.high,
                        };
                        put(log, offset);
                    }
                }
            }
        }
        Ok(())
    }

    /// Puts the starts that the table asks for.
    pub(crate) fn start(
        &self,
        logs: &mut BTreeMap<i32, Log>,
        from: From,
        group: Option<&str>,
        missing: MissingOffsets,
    ) -> Result<(), String> {
        match from {
            From::Earliest => self.bound(logs, Bound::Earliest, |log, offset| log.start = offset),
            From::Latest => self.bound(logs, Bound::Latest, |log, offset| log.start = offset),
            From::Group => self.committed(logs, group.unwrap_or_default(), missing),
        }
    }

    fn committed(&self, logs: &mut BTreeMap<i32, Log>, group: &str, missing: MissingOffsets) -> Result<(), String> {
        let member: Client = self
            .servers
            .create(&[("group.id", group), ("enable.auto.commit", "false")], self.watch)?;
        let all = self.list(logs, Offset::Invalid)?;
        let found = self.patiently(&format!("asking for the offsets of group '{group}'"), || {
            member.committed_offsets(all.clone(), self.timeout)
        })?;
        for element in found.elements() {
            let number = element.partition();
            let Some(log) = logs.get_mut(&number) else { continue };
            log.start = match element.offset() {
                Offset::Offset(offset) if offset < log.low && missing == MissingOffsets::Earliest => {
                    self.watch.say(&format!(
                        "{} records of partition {number} of topic '{}' are gone, from offset {offset} of group '{group}' on: reading begins at the oldest one kept, {}",
                        log.low - offset,
                        self.topic,
                        log.low
                    ));
                    log.low
                }
                Offset::Offset(offset) if offset < log.low => {
                    return Err(gone(
                        self.topic,
                        number,
                        offset,
                        &format!("the oldest record kept is {}", log.low),
                    ));
                }
                Offset::Offset(offset) => offset,
                _ => {
                    // As Arroyo does; but whoever named a group will want to know.
                    let what = format!(
                        "group '{group}' has no offset for partition {number} of topic '{}': it is read from its end on",
                        self.topic
                    );
                    self.watch.say(&what);
                    log.high
                }
            };
        }
        Ok(())
    }

    fn list(&self, logs: &BTreeMap<i32, Log>, offset: Offset) -> Result<TopicPartitionList, String> {
        let mut list = TopicPartitionList::with_capacity(logs.len());
        for number in logs.keys() {
            list.add_partition_offset(self.topic, *number, offset)
                .map_err(|error| error.to_string())?;
        }
        Ok(list)
    }

    /// Shares `limit` records out over the partitions: as evenly as their lengths allow, the lower numbers first.
    pub(crate) fn limit(logs: &mut BTreeMap<i32, Log>, limit: u64) {
        let length = |log: &Log| u64::try_from(log.end.unwrap_or(log.high) - log.start).unwrap_or(0);
        let mut by_length: Vec<_> = logs.iter().map(|(number, log)| (length(log), *number)).collect();
        by_length.sort_unstable();
        let (mut left, mut partitions) = (limit, by_length.len() as u64);
        for (length, number) in by_length {
            // The longer ones take what the shorter ones leave, one record more where it does not divide.
            let share = length.min(left.div_ceil(partitions));
            (left, partitions) = (left - share, partitions - 1);
            if let Some(log) = logs.get_mut(&number) {
                log.end = Some(log.start + i64::try_from(share).unwrap_or(i64::MAX));
            }
        }
    }

    /// Asks until there is an answer: a broker that has just started does not lead its partitions yet, and says so at once.
    fn patiently<T>(&self, doing: &str, ask: impl Fn() -> KafkaResult<T>) -> Result<T, String> {
        let begun = Instant::now();
        loop {
            match ask() {
                Err(error) if passes(&error) && begun.elapsed() < self.timeout => std::thread::sleep(AGAIN),
                answer => return answer.map_err(|error| self.failed(doing, error)),
            }
        }
    }

    fn failed(&self, doing: &str, error: KafkaError) -> String {
        serve(self.client);
        format!(
            "{doing} (topic '{}'): {}",
            self.topic,
            self.watch.unreachable(self.timeout, &error)
        )
    }
}

/// Whether it is about who leads or coordinates, which changes by itself.
fn passes(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{
        CoordinatorLoadInProgress, CoordinatorNotAvailable, LeaderNotAvailable, NotCoordinator, NotLeaderForPartition,
    };
    matches!(
        error.rdkafka_error_code(),
        Some(
            CoordinatorLoadInProgress
                | CoordinatorNotAvailable
                | LeaderNotAvailable
                | NotCoordinator
                | NotLeaderForPartition
        )
    )
}

/// The error of a position that the log does not hold any more; `why` says where the log begins.
pub(crate) fn gone(topic: &str, number: i32, position: i64, why: &str) -> String {
    format!(
        "offset {position} of partition {number} of topic '{topic}' is gone: {why}. Retention deleted records before they were read, so every count would silently be too low. Start again with --missing-offsets earliest to go on at the oldest record kept, or without the saved position from what is kept (--from earliest) or from the end (--from latest); and keep records longer (hitters topics --retention)"
    )
}
