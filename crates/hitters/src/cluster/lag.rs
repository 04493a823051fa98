//! How far a pipeline on a cluster is behind the log: its own word for how far it has read, against the end of the log.
//!
//! The word is the hash `hh:<pipeline>:v<version>:progress` in Redis, which the pipeline writes by plain SQL over Kafka's metadata: a
//! field for each partition with the next offset and the newest event time of the windows that have closed (`sql/tables/progress.sql`). What
//! is in open windows counts as not read yet, so that a pipeline that keeps up is behind by about a window.

use super::partitions;
use crate::engine;
use crate::replay;
use hitters_connectors::topics::Topics;
use hitters_connectors::{Active, Bound};
use hitters_pipeline::Pipeline;
use hitters_planner::plan::Plan;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;

/// By partition, what it will read next.
pub type Positions = BTreeMap<i32, i64>;

/// How far behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Events from what it has read to the end of the log.
    pub events: u64,
    /// Up to which event time every partition is read, milliseconds since the epoch.
    pub event_time: Option<i64>,
    /// Partitions of the log that it has said nothing of yet.
    pub silent: usize,
}

impl Lag {
    /// For programs.
    pub fn json(&self) -> Value {
        json!({ "events": self.events, "event_time": self.event_time, "silent_partitions": self.silent })
    }
}

impl fmt::Display for Lag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} events behind the log, with those of open windows", self.events)?;
        if self.silent > 0 {
            write!(f, " ({} partitions without a closed window yet)", self.silent)?;
        }
        Ok(())
    }
}

/// Where to look: Redis and the one topic that comes from outside.
pub struct Look {
    active: Active,
    topics: Topics,
    topic: String,
}

impl Look {
    /// Connects. The error says why the lag is unknown.
    pub fn open(pipeline: &Pipeline) -> Result<Self, String> {
        let plan = engine::plan(pipeline).map_err(|_| "the SQL has faults: `hitters check` shows them".to_owned())?;
        Self::of(pipeline, &plan)
    }

    /// The same for a plan.
    pub fn of(pipeline: &Pipeline, plan: &Plan) -> Result<Self, String> {
        let input = match partitions::inputs(plan).as_slice() {
            [one] => one.clone(),
            [] => return Err("it reads no topic".into()),
            _ => return Err("it reads several topics".into()),
        };
        let said = |failure: crate::failure::Failure| match failure {
            crate::failure::Failure::Run(message) => message,
            _ => "Redis cannot be asked".into(),
        };
        let active = replay::open(pipeline, plan).map_err(said)?;
        let active = active.ok_or("it writes nothing to Redis")?;
        let topics = input.connect()?;
        Ok(Self {
            active,
            topics,
            topic: input.topic,
        })
    }

    /// The key that readers follow.
    pub fn active(&mut self) -> &mut Active {
        &mut self.active
    }

    /// How far a version has read, and the event time of each partition. Empty: it has said nothing yet.
    pub fn progress(&mut self, version: u64) -> Result<BTreeMap<i32, (i64, Option<i64>)>, String> {
        let fields = self.active.progress(version)?;
        Ok(fields.iter().filter_map(|(field, row)| partition(field, row)).collect())
    }

    /// The end of the log.
    pub fn end(&self) -> Result<Positions, String> {
        self.topics.positions(&self.topic, Bound::Latest)
    }

    /// How far behind a version is.
    pub fn lag(&mut self, version: u64) -> Result<Lag, String> {
        let (progress, end) = (self.progress(version)?, self.end()?);
        if progress.is_empty() {
            return Err(
                "it has not said how far it is: no window has closed yet, or its SQL writes no progress".into(),
            );
        }
        let begin = self.topics.positions(&self.topic, Bound::Earliest)?;
        let mut lag = Lag::default();
        for (number, end) in &end {
            let (next, time) = match progress.get(number) {
                Some((next, time)) => (*next, *time),
                None => {
                    lag.silent += usize::from(begin.get(number) != Some(end));
                    (begin.get(number).copied().unwrap_or(*end), None)
                }
            };
            lag.events += u64::try_from(end - next).unwrap_or(0);
            lag.event_time = match (lag.event_time, time) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
        Ok(lag)
    }
}

/// One field of the hash: the partition, the next offset, the event time. `None` for a row that is none.
fn partition(field: &str, row: &str) -> Option<(i32, (i64, Option<i64>))> {
    let row: Value = serde_json::from_str(row).ok()?;
    // A topic's name may stand before the number.
    let number = field.rsplit_once(':').map_or(field, |(_, number)| number);
    Some((
        number.parse().ok()?,
        (row["offset"].as_i64()?, row["event_time"].as_i64()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_progress_is_read_with_or_without_the_topic() {
        let row = r#"{"field":"3","offset":7,"event_time":1700000000000}"#;
        assert_eq!(partition("3", row), Some((3, (7, Some(1_700_000_000_000)))));
        assert_eq!(partition("events:12", r#"{"offset":7}"#), Some((12, (7, None))));
        assert_eq!(partition("x", row), None);
        assert_eq!(partition("3", "{"), None);
    }
}
