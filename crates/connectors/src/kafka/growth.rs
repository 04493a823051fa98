//! Notices that a topic got more partitions while it is read.
//!
//! A run reads the partitions that the topic had at its start. Rows of later ones wait in the log, and producers send there at
//! once: a run with checkpoints goes on from one and reads them from their beginning, any other says what its answers lack.

use super::client::{Client, check_topic, metadata, serve};
use crate::run::RunOptions;
use rdkafka::consumer::Consumer;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How often the brokers are asked, unless `topic.metadata.refresh.interval.ms` says otherwise.
const EVERY: Duration = Duration::from_secs(60);
/// How long to wait for the answer: rows wait meanwhile.
const ANSWER: Duration = Duration::from_secs(1);

/// The number of partitions of one topic, looked at from time to time.
pub(crate) struct Growth {
    topic: String,
    at_start: usize,
    known: usize,
    every: Duration,
    asked: Instant,
    /// Whether the run can go on from a checkpoint.
    goes_on: bool,
    grown: Arc<AtomicBool>,
}

impl Growth {
    /// Of a topic that has `partitions` now. `settings` are the table's `client_configs`.
    pub(crate) fn new(topic: &str, partitions: usize, settings: &[(String, String)], run: &RunOptions) -> Self {
        let every = settings
            .iter()
            .rev()
            .find(|(name, _)| name == "topic.metadata.refresh.interval.ms")
            .and_then(|(_, value)| value.parse().ok())
            .map_or(EVERY, Duration::from_millis);
        Self {
            topic: topic.to_string(),
            at_start: partitions,
            known: partitions,
            every,
            asked: Instant::now(),
            goes_on: run.attempt.is_some(),
            grown: run.grown.clone(),
        }
    }

    /// Asks if it is time to, and says what was found.
    pub(crate) fn look(&mut self, client: &Client) {
        if self.asked.elapsed() < self.every {
            return;
        }
        self.asked = Instant::now();
        let watch = client.client().context();
        let found = metadata(client.client(), || serve(client), Some(&self.topic), ANSWER);
        // Without an answer there is nothing to say: outages are told by the watch, a topic that is gone by its reader.
        let Ok(found) = found.and_then(|found| check_topic(found, &self.topic, watch)) else {
            return;
        };
        let partitions = found.topics().iter().map(|topic| topic.partitions().len()).sum();
        if partitions > self.known {
            self.known = partitions;
            let what = if self.goes_on {
                "going on from a checkpoint to read the new ones"
            } else {
                "rows of the new ones are not in its results. Start it again to read them too"
            };
            watch.say(&format!(
                "topic '{}' has {partitions} partitions now, and had {} when this run began: {what}",
                self.topic, self.at_start
            ));
            self.grown.store(true, Relaxed);
        }
    }
}
