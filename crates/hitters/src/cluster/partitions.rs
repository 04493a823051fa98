//! The partitions of the topics that a pipeline reads, which decide how many subtasks it may have.
//!
//! Arroyo has one watermark a subtask. One that reads several partitions with a backlog advances by the fastest of them and drops the
//! rows of the others as late, without counting them: with one subtask for each partition nothing is lost. That holds for the topics
//! through which a pipeline feeds its own longer windows, too.

use crate::engine;
use crate::failure::Failure;
use crate::own_topics::NewTopic;
use hitters_connectors::topics::{TableTopic, of_table};
use hitters_pipeline::Pipeline;
use hitters_planner::plan::Plan;
use std::collections::{BTreeMap, BTreeSet};

/// A topic that a pipeline reads.
#[derive(Clone, Debug)]
pub struct Topic {
    pub topic: TableTopic,
    pub partitions: u64,
    /// Whether the pipeline writes it as well.
    pub written: bool,
}

/// The topics that come from outside, by name, without those that the pipeline writes itself.
pub fn inputs(plan: &Plan) -> Vec<TableTopic> {
    let written: BTreeSet<String> = engine::sinks(plan)
        .filter_map(|table| Some(of_table(table)?.topic))
        .collect();
    let read = engine::sources(plan).filter_map(|table| of_table(table));
    let read: BTreeMap<String, TableTopic> = read.map(|topic| (topic.topic.clone(), topic)).collect();
    read.into_values()
        .filter(|topic| !written.contains(&topic.topic))
        .collect()
}

/// The topics that a pipeline reads, with their partitions. Each that it reads or writes has to be there, or be one of those that are
/// `coming`: a cluster would only try again and again.
pub fn of(pipeline: &Pipeline, plan: &Plan, coming: &[NewTopic]) -> Result<Vec<Topic>, Failure> {
    let failed = |message: String| Failure::Run(pipeline.script.mask(&message));
    let by_place = |topic: TableTopic| ((topic.bootstrap_servers.clone(), topic.topic.clone()), topic);
    let read: BTreeMap<_, _> = engine::sources(plan)
        .filter_map(|table| of_table(table).map(by_place))
        .collect();
    let written: BTreeMap<_, _> = engine::sinks(plan)
        .filter_map(|table| of_table(table).map(by_place))
        .collect();
    let mut topics = Vec::new();
    for (place, topic) in read
        .iter()
        .chain(written.iter().filter(|(place, _)| !read.contains_key(*place)))
    {
        let new = coming.iter().find(|new| new.spec.name == topic.topic);
        let partitions = match new {
            Some(new) => new.spec.partitions.unwrap_or(1),
            None => {
                let found = topic.connect().and_then(|servers| servers.describe(&topic.topic));
                let found = found.map_err(failed)?;
                let found = found.ok_or_else(|| {
                    failed(format!(
                        "there is no topic '{}' at {}: `hitters topics --create` makes it",
                        topic.topic, topic.bootstrap_servers
                    ))
                })?;
                found.partitions
            }
        };
        if read.contains_key(place) {
            topics.push(Topic {
                topic: topic.clone(),
                partitions: u64::try_from(partitions).unwrap_or(0),
                written: written.contains_key(place),
            });
        }
    }
    Ok(topics)
}

/// Refuses fewer subtasks than a topic has partitions.
pub fn check(topics: &[Topic], parallelism: u64) -> Result<(), Failure> {
    let Some(wide) = topics
        .iter()
        .filter(|topic| topic.partitions > parallelism)
        .max_by_key(|topic| topic.partitions)
    else {
        return Ok(());
    };
    Err(Failure::Usage(format!(
        "topic '{}' has {} partitions, and {parallelism} subtasks would have to share them: while the cluster catches up with the log, \
         events of the partitions that are behind would be dropped as late, without a count. Use --parallelism {}, or --force if the \
         watermark's delay is longer than the partitions can be apart",
        wide.topic.topic, wide.partitions, wide.partitions
    )))
}
