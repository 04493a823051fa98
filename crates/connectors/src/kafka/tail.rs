//! A topic read as plain records, by a program that keeps its own positions: the archive of answers.

use super::batch::{Message, Queue};
use super::client::{Client, Servers, Watch, serve};
use super::offsets::{Log, Offsets, gone};
use super::reader::{Part, end_of_partition};
use super::source::CONSUMER_SETTINGS;
use crate::run::{MissingOffsets, Reporter};
use rdkafka::types::RDKafkaErrorCode;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Records taken from librdkafka at once.
const BATCH: usize = 256;
/// How long the brokers may take to say where the log ends.
const AGAIN: Duration = Duration::from_secs(2);
/// How often errors of the client are looked at.
const SERVE: Duration = Duration::from_millis(100);

/// One record.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its value; `None` for a tombstone.
    pub value: Option<&'a [u8]>,
}

/// Where reading begins in the partitions of a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Begin {
    /// Partitions that are read from their beginning, which was deleted already.
    pub cut: Vec<i32>,
    /// Partitions that lost records between their position and the oldest record kept.
    pub lost: Vec<i32>,
}

/// A topic being read, committed records only.
///
/// Memory is bounded by what librdkafka fetches ahead: 16 MB.
pub struct Tail {
    queue: Queue,
    topic: String,
    servers: Servers,
    timeout: Duration,
    logs: BTreeMap<i32, Log>,
    parts: BTreeMap<i32, Part>,
    served: Instant,
}

impl Tail {
    /// Connects, and looks how long the partitions are; waits for the brokers up to `timeout`.
    ///
    /// # Errors
    ///
    /// If no broker answers, or the topic is not there.
    pub fn open(
        bootstrap_servers: &str,
        client_configs: &[(String, String)],
        topic: &str,
        timeout: Duration,
        reporter: &Reporter,
    ) -> Result<Self, String> {
        let servers = Servers {
            bootstrap: bootstrap_servers.to_string(),
            settings: client_configs.to_vec(),
        };
        let watch = Watch::new(bootstrap_servers, reporter);
        let mut settings = CONSUMER_SETTINGS.to_vec();
        settings.push(("isolation.level", "read_committed"));
        let client: Client = servers.create(&settings, &watch)?;
        serve(&client);
        let mut tail = Self {
            queue: Queue::new(Arc::new(client), topic, BATCH)?,
            topic: topic.to_string(),
            servers,
            timeout,
            logs: BTreeMap::new(),
            parts: BTreeMap::new(),
            served: Instant::now(),
        };
        tail.logs = tail.look()?;
        Ok(tail)
    }

    fn look(&self) -> Result<BTreeMap<i32, Log>, String> {
        let offsets = Offsets {
            client: self.queue.client(),
            servers: &self.servers,
            watch: self.queue.watch(),
            topic: &self.topic,
            timeout: self.timeout,
        };
        offsets.logs()
    }

    /// Begins to read each partition at its position, one without a position at its beginning.
    ///
    /// # Errors
    ///
    /// If a position is gone (unless `missing` says to go on), or beyond the end.
    pub fn begin(&mut self, positions: &BTreeMap<i32, i64>, missing: MissingOffsets) -> Result<Begin, String> {
        // What is asked from now on is asked again.
        self.timeout = self.timeout.min(AGAIN);
        let mut begin = Begin::default();
        if let Some(number) = positions.keys().find(|number| !self.logs.contains_key(number)) {
            return Err(format!(
                "topic '{}' has no partition {number} any more: was it made anew?",
                self.topic
            ));
        }
        for (number, log) in self.logs.clone() {
            let position = match positions.get(&number) {
                None => {
                    if log.low > 0 {
                        begin.cut.push(number);
                    }
                    log.low
                }
                Some(position) if *position > log.high => {
                    return Err(format!(
                        "offset {position} of partition {number} of topic '{}' is beyond its end {}: was the topic made anew?",
                        self.topic, log.high
                    ));
                }
                Some(position) if *position < log.low && missing == MissingOffsets::Fail => {
                    return Err(gone(
                        &self.topic,
                        number,
                        *position,
                        &format!("the oldest record kept is {}", log.low),
                    ));
                }
                Some(position) if *position < log.low => {
                    begin.lost.push(number);
                    log.low
                }
                Some(position) => *position,
            };
            self.queue.start(number, position)?;
            self.parts.insert(number, Part::new(number, position, None, false));
        }
        Ok(begin)
    }

    /// Hands on records that are there, waiting for the first of them; at most some hundred. Says how many.
    ///
    /// # Errors
    ///
    /// If a partition cannot be read any more, or the first error of `take`. Outages are waited out, and spoken of.
    pub fn poll(
        &mut self,
        wait: Duration,
        mut take: impl FnMut(Record<'_>) -> Result<(), String>,
    ) -> Result<usize, String> {
        if self.served.elapsed() >= SERVE {
            serve(self.queue.client());
            self.queue.watch().remind();
            self.served = Instant::now();
        }
        self.queue.fetch(wait);
        let mut records = 0;
        for message in self.queue.messages() {
            let Some(part) = self.parts.get_mut(&message.partition()) else {
                continue;
            };
            match message.event() {
                None => {
                    self.queue.watch().alive();
                    let record = Record {
                        partition: message.partition(),
                        offset: message.offset(),
                        value: message.payload(),
                    };
                    take(record)?;
                    part.pass(message.offset());
                    records += 1;
                }
                Some(event) => {
                    if event == RDKafkaErrorCode::PartitionEOF {
                        self.queue.watch().alive();
                    }
                    end_of_partition(event, message as &Message, part, &self.topic)?;
                }
            }
        }
        Ok(records)
    }

    /// By partition, the offset of the next record to read.
    pub fn positions(&self) -> BTreeMap<i32, i64> {
        self.parts.iter().map(|(number, part)| (*number, part.next())).collect()
    }

    /// By partition, where the log ends now. New partitions are read from here on.
    ///
    /// # Errors
    ///
    /// If the brokers do not answer.
    pub fn ends(&mut self) -> Result<BTreeMap<i32, i64>, String> {
        let logs = self.look()?;
        for (number, log) in &logs {
            if !self.parts.contains_key(number) {
                self.queue.start(*number, log.low)?;
                self.parts.insert(*number, Part::new(*number, log.low, None, false));
            }
        }
        self.logs = logs;
        Ok(self.logs.iter().map(|(number, log)| (*number, log.high)).collect())
    }

    /// Whether all before these offsets was read.
    pub fn has_reached(&self, ends: &BTreeMap<i32, i64>) -> bool {
        ends.iter()
            .all(|(number, end)| self.parts.get(number).is_some_and(|part| part.next() >= *end))
    }
}
