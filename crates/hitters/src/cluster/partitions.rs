//! The partitions of the topics that a pipeline reads, which decide how many subtasks it may have.
//!
//! Arroyo has one watermark a subtask. One that reads several partitions with a backlog advances by the fastest of them and drops the
//! rows of the others as late, without counting them: with one subtask for each partition nothing is lost.

use crate::engine;
use crate::failure::Failure;
use hitters_connectors::RunOptions;
use hitters_connectors::topics::{TableTopic, Topics, of_table};
use hitters_pipeline::Pipeline;
use hitters_planner::plan::Plan;
use std::collections::{BTreeMap, BTreeSet};

/// A topic that a pipeline reads and does not write itself.
#[derive(Clone, Debug)]
pub struct Topic {
    pub topic: TableTopic,
    pub partitions: u64,
}

/// The topics that come from outside, by name. One that the pipeline writes itself is left out: it is read as fast as it is
/// written.
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

/// The same with their partitions.
pub fn of(pipeline: &Pipeline, plan: &Plan) -> Result<Vec<Topic>, Failure> {
    let failed = |message: String| Failure::Run(pipeline.script.mask(&message));
    let look = |topic: TableTopic| {
        let servers = Topics::connect(&topic.bootstrap_servers, &topic.client_configs, &RunOptions::default());
        let found = servers
            .and_then(|servers| servers.describe(&topic.topic))
            .map_err(failed)?;
        let found = found.ok_or_else(|| {
            failed(format!(
                "there is no topic '{}' at {}: `hitters topics --create` makes it",
                topic.topic, topic.bootstrap_servers
            ))
        })?;
        Ok(Topic {
            topic,
            partitions: u64::try_from(found.partitions).unwrap_or(0),
        })
    };
    inputs(plan).into_iter().map(look).collect()
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
