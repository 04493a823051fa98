//! Messages to one topic, each acknowledged: for sinks without transactions, dead letters and `hitters generate`.
//!
//! A message is lost only with an error. While no broker answers, sending and flushing wait (and say so); refusals (a message
//! too large, no permission) are kept as the error of the next call.

use super::client::{Servers, Watch, check_topic, metadata};
use crate::run::RunOptions;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use std::cell::Cell;
use std::fmt;
use std::time::{Duration, Instant};

/// Settings of every producer; the user's go over them.
///
/// Only failures are reported one by one: a report for each message would cost as much as sending it. A short queue stays
/// in the processor's cache: with half a million messages in it, each costs twice the time (and 160 MB in all).
pub(super) const SETTINGS: [(&str, &str); 4] = [
    ("enable.idempotence", "true"),
    ("delivery.report.only.error", "true"),
    ("linger.ms", "2"),
    ("queue.buffering.max.messages", "30000"),
];

/// Waits for brokers in steps of this, to look at errors in between.
pub(super) const STEP: Duration = Duration::from_millis(500);
/// Longest pause between two looks at whether everything is acknowledged.
pub(super) const LOOK: Duration = Duration::from_millis(5);

/// A producer for one topic.
pub(crate) struct Delivery {
    producer: BaseProducer<Watch>,
    watch: Watch,
    topic: String,
    partitions: usize,
    sent: u32,
    /// Messages on their way when last looked at.
    waiting: Cell<i32>,
}

impl ProducerContext for Watch {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.lose(error);
        }
    }
}

/// Waits for the brokers, makes sure that the topic is there, and tells its number of partitions.
pub(super) fn find_topic(producer: &BaseProducer<Watch>, topic: &str, timeout: Duration) -> Result<usize, String> {
    let watch = producer.client().context();
    let serve = || producer.poll(Duration::ZERO);
    let ask = || metadata(producer.client(), serve, Some(topic), timeout);
    let mut found = check_topic(ask()?, topic, watch);
    // The first question makes the topic where the broker is set to do so, which takes it a moment.
    for _ in 0..4 {
        if found.is_ok() {
            break;
        }
        std::thread::sleep(STEP);
        found = check_topic(ask()?, topic, watch);
    }
    Ok(found?.topics().first().map_or(0, |topic| topic.partitions().len()))
}

impl Delivery {
    /// Connects and makes sure that the topic is there.
    pub(crate) fn open(servers: &Servers, topic: &str, run: &RunOptions) -> Result<Self, String> {
        let watch = Watch::new(&servers.bootstrap, &run.reporter);
        let mut settings = SETTINGS.to_vec();
        // Never gives up by itself: an outage is waited out.
        settings.push(("message.timeout.ms", "0"));
        let producer: BaseProducer<Watch> = servers.create(&settings, &watch)?;
        let partitions = find_topic(&producer, topic, run.start_timeout.0)?;
        Ok(Self {
            producer,
            watch,
            topic: topic.to_string(),
            partitions,
            sent: 0,
            waiting: Cell::new(0),
        })
    }

    pub(crate) fn partitions(&self) -> usize {
        self.partitions
    }

    /// Sends a message to the partition of its key (without a key: to any).
    pub(crate) fn send(&mut self, key: Option<&[u8]>, payload: &[u8], timestamp: Option<i64>) -> Result<(), String> {
        self.send_to(None, key, payload, timestamp)
    }

    /// Sends a message. It is copied, and on its way when this returns; waits while the queue is full.
    pub(crate) fn send_to(
        &mut self,
        partition: Option<i32>,
        key: Option<&[u8]>,
        payload: &[u8],
        timestamp: Option<i64>,
    ) -> Result<(), String> {
        let mut record = BaseRecord::<[u8], [u8]>::to(&self.topic).payload(payload);
        record.key = key;
        record.partition = partition;
        record.timestamp = timestamp;
        while let Err((error, same)) = self.producer.send(record) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(self.explain(&error));
            }
            record = same;
            self.producer.poll(Duration::from_millis(10));
            self.check()?;
        }
        // Acknowledgements wait in a queue of events; taking them now and then keeps it short.
        self.sent = self.sent.wrapping_add(1);
        if self.sent.is_multiple_of(4096) {
            self.producer.poll(Duration::ZERO);
            self.check()?;
        }
        Ok(())
    }

    /// Waits until every message is acknowledged.
    pub(crate) fn flush(&mut self) -> Result<(), String> {
        self.flush_within(Duration::MAX)
    }

    /// As [`Delivery::flush`], but gives up after `limit`.
    pub(crate) fn flush_within(&mut self, limit: Duration) -> Result<(), String> {
        let begun = Instant::now();
        let (mut pause, mut checked) = (Duration::from_micros(100), begun);
        while let Err(error) = self.producer.flush(Duration::ZERO) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::OperationTimedOut) || begun.elapsed() >= limit {
                return Err(self.explain(&error));
            }
            self.producer.poll(Duration::ZERO);
            if checked.elapsed() >= STEP {
                self.check()?;
                checked = Instant::now();
            }
            // The client's own wait takes a tenth of a second at least, too long for a window that has just closed.
            std::thread::sleep(pause);
            pause = (pause * 2).min(LOOK);
        }
        self.producer.poll(Duration::ZERO);
        self.check()?;
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        let waiting = self.producer.in_flight_count();
        if waiting < self.waiting.get() || waiting == 0 {
            self.watch.alive();
        }
        self.waiting.set(waiting);
        self.watch.remind();
        if let Some(loss) = self.watch.lost() {
            return Err(format!(
                "topic '{}' at {} did not take a message: {}",
                self.topic,
                self.watch.servers(),
                loss.reason
            ));
        }
        match self.producer.client().fatal_error() {
            Some((code, reason)) => Err(format!(
                "topic '{}' at {}: {code}: {reason}",
                self.topic,
                self.watch.servers()
            )),
            None => Ok(()),
        }
    }

    fn explain(&self, error: &KafkaError) -> String {
        format!("topic '{}' at {}: {error}", self.topic, self.watch.servers())
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}
