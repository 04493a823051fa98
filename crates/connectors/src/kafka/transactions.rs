//! Rows in transactions: those of a flush, or those of a checkpoint together with its number and the offsets of the sources.
//!
//! A transaction is short: its rows are all there before it begins, and are kept until it is committed. What a broker aborts
//! is sent again; outages are waited out. A producer that was fenced (by the next run of the pipeline, or because the broker
//! gave up on a transaction that took too long: Kafka gives both the same error) looks at the [`Marker`]: a larger attempt
//! there means that this run is over; else it begins anew, which fences whoever else uses its name, looks at the marker once
//! more, and sends only what is not there. So rows of a checkpoint are visible once, whoever wins such a race.

use super::client::{Client, Servers, Watch};
use super::delivery::{LOOK, SETTINGS, STEP, find_topic};
use super::groups::Offsets;
use super::marker::{Isolation, Mark, Marker, ask, member};
use crate::held::Rows;
use crate::run::RunOptions;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Settings beyond those of every producer.
///
/// `retry.backoff.ms`: with the default a transaction that follows another waits a tenth of a second for the broker to
/// finish that. `connections.max.idle.ms`: when the coordinator of a group is not available three times in a row, librdkafka
/// forgets that it was looking for it, until the connection to any broker comes or goes. Connections that close when they are
/// idle bound that wait; asking the coordinator beforehand ([`ask`]) makes it rare.
const TRANSACTIONAL: [(&str, &str); 2] = [("retry.backoff.ms", "5"), ("connections.max.idle.ms", "10000")];
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Longest wait for one answer; then the wait is said, and goes on.
const ANSWER: Duration = Duration::from_secs(2);
/// How long the group coordinator may take. Unlike the other calls this one cannot be resumed: the transaction is aborted.
const OFFSETS: Duration = Duration::from_secs(30);

/// Writes one topic in transactions.
pub(super) struct Transactions {
    servers: Servers,
    topic: String,
    id: String,
    watch: Watch,
    /// `None` after it was fenced.
    producer: Option<BaseProducer<Watch>>,
    /// With checkpoints.
    marker: Option<(Marker, u64)>,
    /// Groups whose offsets are committed too.
    members: BTreeMap<String, (Client, ConsumerGroupMetadata)>,
    /// Groups that cannot be committed: said once.
    refused: BTreeSet<String>,
}

/// Why a transaction failed.
enum Fault {
    /// It has to be aborted, and can be repeated.
    Abort(String),
    /// The offsets of this group cannot be committed; it has to be aborted, and can be repeated without.
    Group(String, String),
    /// The producer cannot be used any more.
    Fenced(String),
    /// Waiting and repeating cannot help.
    Hopeless(String),
}

/// What a transaction says besides its rows.
pub(super) struct Says<'a> {
    /// The number of the checkpoint, if there are checkpoints.
    pub checkpoint: Option<u64>,
    /// Offsets by group.
    pub offsets: &'a BTreeMap<String, Offsets>,
    /// Whatever the marker says is of an earlier life of the pipeline, whose state is gone.
    pub anew: bool,
}

impl Transactions {
    /// Connects, and takes the transactional id over from whoever had it. `marker`: the group of the marker and the number
    /// of this attempt.
    pub(super) fn open(
        servers: &Servers,
        topic: &str,
        id: &str,
        marker: Option<(&str, u64)>,
        run: &RunOptions,
    ) -> Result<Self, String> {
        let watch = Watch::new(&servers.bootstrap, &run.reporter);
        let mut transactions = Self {
            servers: servers.clone(),
            topic: topic.to_string(),
            id: id.to_string(),
            watch: watch.clone(),
            producer: None,
            marker: None,
            members: BTreeMap::new(),
            refused: BTreeSet::new(),
        };
        let producer = transactions.create()?;
        find_topic(&producer, topic, run.start_timeout.0)?;
        transactions.begin(&producer, Some(run.start_timeout.0))?;
        transactions.producer = Some(producer);
        if let Some((group, attempt)) = marker {
            transactions.marker = Some((Marker::open(servers, topic, group, &watch)?, attempt));
        }
        Ok(transactions)
    }

    fn create(&self) -> Result<BaseProducer<Watch>, String> {
        let mut settings = SETTINGS.to_vec();
        settings.extend(TRANSACTIONAL);
        settings.push(("transactional.id", &self.id));
        self.servers.create(&settings, &self.watch)
    }

    /// Fences other producers of this id, and ends what they left open.
    fn begin(&self, producer: &BaseProducer<Watch>, limit: Option<Duration>) -> Result<(), String> {
        let begun = Instant::now();
        while let Err(error) = producer.init_transactions(ANSWER) {
            producer.poll(Duration::ZERO);
            let over = limit.is_some_and(|limit| begun.elapsed() >= limit) || self.watch.refused().is_some();
            if over || !is_retriable(&error) {
                return Err(format!(
                    "transactions of '{}' at {} cannot begin: {error}",
                    self.id,
                    self.watch.servers()
                ));
            }
            self.watch.remind();
        }
        self.watch.alive();
        Ok(())
    }

    /// What the topic says of itself.
    pub(super) fn mark(&self) -> Result<Option<Mark>, String> {
        match &self.marker {
            Some((marker, _)) => marker.read(&self.watch),
            None => Ok(None),
        }
    }

    /// The group of the marker.
    pub(super) fn group(&self) -> &str {
        self.marker.as_ref().map_or("", |(marker, _)| marker.group())
    }

    /// Says a line to people.
    pub(super) fn say(&self, line: &str) {
        self.watch.say(line);
    }

    /// Makes rows visible in one transaction. Returns the groups whose offsets cannot be committed.
    ///
    /// # Errors
    ///
    /// If a newer run has taken over, or the brokers refuse for good.
    pub(super) fn publish(&mut self, rows: &Rows<'_>, says: &Says<'_>) -> Result<bool, String> {
        let mut rows = rows.clone();
        let mut pause = FIRST_PAUSE;
        let mut failures = 0_u64;
        loop {
            let fault = match self.transaction(&rows, says) {
                Ok(()) => {
                    self.watch.alive();
                    return Ok(says.offsets.keys().all(|group| !self.refused.contains(group)));
                }
                Err(fault) => fault,
            };
            let why = match fault {
                Fault::Hopeless(why) => return Err(self.explain(&why)),
                Fault::Abort(why) => {
                    self.abort();
                    why
                }
                Fault::Group(group, why) => {
                    self.abort();
                    let line = format!("the offsets of group '{group}' are not committed: {why}");
                    self.refused.insert(group);
                    self.watch.say(&line);
                    continue;
                }
                Fault::Fenced(why) => {
                    self.producer = None;
                    why
                }
            };
            failures += 1;
            // The first, the second, the fourth ...: an outage of a day is not a thousand lines.
            if failures.is_power_of_two() {
                let line = format!(
                    "topic '{}' at {}: a transaction failed ({why}); its rows are sent again",
                    self.topic,
                    self.watch.servers()
                );
                self.watch.say(&line);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
            if self.producer.is_none() {
                self.check_successor(&why, says.anew)?;
                let producer = self.create()?;
                self.begin(&producer, None)?;
                self.producer = Some(producer);
                // Before the fence fell another run may have sent these rows, or taken over.
                let mark = self.check_successor(&why, says.anew)?;
                if let (Some(mark), Some(number), false) = (mark, says.checkpoint, says.anew)
                    && mark.checkpoint >= number
                {
                    rows = Rows::default();
                }
            }
        }
    }

    /// An error if a newer run has taken over.
    fn check_successor(&self, why: &str, anew: bool) -> Result<Option<Mark>, String> {
        let Some((marker, attempt)) = &self.marker else {
            return Err(self.explain(&format!(
                "{why}; either another run writes this table (transactional id '{}'), or the broker gave up on a transaction: check that no other run is there, then start again",
                self.id
            )));
        };
        let mark = marker.read(&self.watch)?;
        match mark {
            Some(mark) if mark.attempt > *attempt && !anew => {
                Err(taken_over(&self.topic, marker.group(), *attempt, mark.attempt))
            }
            mark => Ok(mark),
        }
    }

    fn transaction(&mut self, rows: &Rows<'_>, says: &Says<'_>) -> Result<(), Fault> {
        let mut groups = Vec::with_capacity(says.offsets.len());
        for (group, offsets) in says.offsets {
            if self.refused.contains(group) {
                continue;
            }
            let member = match self.members.entry(group.clone()) {
                Entry::Occupied(member) => member.into_mut(),
                Entry::Vacant(place) => {
                    place.insert(member(&self.servers, group, Isolation::None, &self.watch).map_err(Fault::Hopeless)?)
                }
            };
            let list = list(offsets).map_err(Fault::Hopeless)?;
            ask(&member.0, &list, &self.watch).map_err(|error| Fault::Group(group.clone(), error.to_string()))?;
            groups.push((group, list));
        }
        if let (Some((marker, _)), Some(_)) = (&self.marker, says.checkpoint) {
            marker.ready(&self.watch).map_err(Fault::Hopeless)?;
        }
        let Some(producer) = &self.producer else {
            return Err(Fault::Fenced("the producer was closed".into()));
        };
        self.watch.forget_lost();
        producer.begin_transaction().map_err(|error| fault(&error))?;
        for (sent, row) in rows.clone().enumerate() {
            let mut record = BaseRecord::<[u8], [u8]>::to(&self.topic).payload(row.payload);
            record.key = row.key;
            record.timestamp = row.time;
            while let Err((error, same)) = producer.send(record) {
                if error.rdkafka_error_code() != Some(Code::QueueFull) {
                    self.check(producer)?;
                    return Err(fault(&error));
                }
                record = same;
                producer.poll(Duration::from_millis(10));
                self.check(producer)?;
            }
            if sent % 4096 == 4095 {
                producer.poll(Duration::ZERO);
                self.check(producer)?;
            }
        }
        for (group, list) in groups {
            let Some((_, metadata)) = self.members.get(group) else {
                continue;
            };
            let sent = producer.send_offsets_to_transaction(&list, metadata, OFFSETS);
            sent.map_err(|error| match error.rdkafka_error_code().or_else(|| code(&error)) {
                Some(
                    Code::GroupAuthorizationFailed
                    | Code::UnknownMemberId
                    | Code::IllegalGeneration
                    | Code::FencedInstanceId
                    | Code::InvalidGroupId,
                ) => Fault::Group(group.clone(), error.to_string()),
                _ => fault(&error),
            })?;
        }
        if let (Some((marker, attempt)), Some(checkpoint)) = (&self.marker, says.checkpoint) {
            let mark = Mark {
                checkpoint,
                attempt: *attempt,
            };
            let (list, metadata) = marker.offsets(mark).map_err(Fault::Hopeless)?;
            let sent = producer.send_offsets_to_transaction(&list, metadata, OFFSETS);
            sent.map_err(|error| fault(&error))?;
        }
        self.flush(producer)?;
        while let Err(error) = producer.commit_transaction(ANSWER) {
            self.check(producer)?;
            if !is_retriable(&error) {
                return Err(fault(&error));
            }
            producer.poll(Duration::ZERO);
        }
        Ok(())
    }

    /// Waits until every row is acknowledged.
    fn flush(&self, producer: &BaseProducer<Watch>) -> Result<(), Fault> {
        let (mut pause, mut checked) = (Duration::from_micros(100), Instant::now());
        while producer.in_flight_count() > 0 {
            producer.poll(Duration::ZERO);
            if checked.elapsed() >= STEP {
                self.check(producer)?;
                checked = Instant::now();
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LOOK);
        }
        producer.poll(Duration::ZERO);
        self.check(producer)
    }

    /// What the client has said about its messages since the transaction began.
    fn check(&self, producer: &BaseProducer<Watch>) -> Result<(), Fault> {
        self.watch.remind();
        if let Some((code, reason)) = producer.client().fatal_error() {
            return Err(match is_hopeless(code) {
                true => Fault::Hopeless(reason),
                false => Fault::Fenced(reason),
            });
        }
        match self.watch.lost() {
            Some(loss) if loss.code.is_some_and(is_hopeless) => {
                Err(Fault::Hopeless(format!("a message was not taken: {}", loss.reason)))
            }
            Some(loss) => Err(Fault::Abort(format!("a message was not taken: {}", loss.reason))),
            None => Ok(()),
        }
    }

    /// Takes the open transaction back.
    fn abort(&mut self) {
        let Some(producer) = &self.producer else { return };
        // In short steps: messages that were dropped wait in a queue of events that is emptied here.
        while let Err(error) = producer.abort_transaction(Duration::from_millis(200)) {
            producer.poll(Duration::from_millis(10));
            self.watch.remind();
            if !is_retriable(&error) {
                // A new producer ends what this one cannot.
                self.producer = None;
                return;
            }
        }
    }

    fn explain(&self, why: &str) -> String {
        format!("topic '{}' at {}: {why}", self.topic, self.watch.servers())
    }
}

/// The error of a zombie.
pub(super) fn taken_over(topic: &str, group: &str, mine: u64, other: u64) -> String {
    format!(
        "another run of this pipeline has taken over: topic '{topic}' has rows of its start number {other}, and this is start number {mine}. Nothing of this run is published any more. (If there is no other run, because its state was put back from a copy, delete the consumer group '{group}' and start again)"
    )
}

fn list(offsets: &Offsets) -> Result<TopicPartitionList, String> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for ((topic, partition), next) in offsets {
        list.add_partition_offset(topic, *partition, Offset::Offset(*next))
            .map_err(|error| format!("offset {next} of partition {partition} of topic '{topic}': {error}"))?;
    }
    Ok(list)
}

fn code(error: &KafkaError) -> Option<Code> {
    match error {
        KafkaError::Transaction(error) => Some(error.code()),
        KafkaError::Flush(code) | KafkaError::MessageProduction(code) => Some(*code),
        _ => None,
    }
}

fn is_retriable(error: &KafkaError) -> bool {
    match error {
        KafkaError::Transaction(error) => error.is_retriable(),
        KafkaError::Flush(code) => *code == Code::OperationTimedOut,
        _ => false,
    }
}

fn fault(error: &KafkaError) -> Fault {
    let why = error.to_string();
    let lost = match error {
        KafkaError::Transaction(error) => error.is_fatal() || error.code() == Code::State,
        _ => false,
    };
    match code(error) {
        Some(code) if is_hopeless(code) => Fault::Hopeless(why),
        Some(Code::Fatal | Code::Fenced) => Fault::Fenced(why),
        _ if lost => Fault::Fenced(why),
        _ => Fault::Abort(why),
    }
}

/// Refusals that neither waiting nor repeating mends.
fn is_hopeless(code: Code) -> bool {
    matches!(
        code,
        Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::InvalidTransactionTimeout
            | Code::UnsupportedFeature
            | Code::MessageSizeTooLarge
            | Code::MessageBatchTooLarge
            | Code::InvalidRecord
            | Code::InvalidTimestamp
            | Code::UnsupportedForMessageFormat
            | Code::PolicyViolation
            | Code::UnknownTopic
            | Code::UnknownPartition
    )
}
