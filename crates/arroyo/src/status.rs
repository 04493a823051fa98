//! How a deployed pipeline is doing: state, rates, backpressure, its last checkpoint, errors.

use crate::answers::{CheckpointAnswer, Collection, Job, OperatorCheckpoint, OperatorMetrics};
use crate::client::Cluster;
use crate::deployed::Deployed;
use crate::error::{Error, Trouble};
use serde::Serialize;
use std::collections::BTreeMap;

/// A pipeline as it is now. Times are milliseconds since the epoch.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// `<name>-v<version>`.
    pub pipeline: String,
    /// Its version.
    pub version: u64,
    /// What the cluster knows it by.
    pub id: String,
    /// In the cluster's words: `Running`, `Recovering`, `Stopped`, `Failed`, ...
    pub state: String,
    /// How often it was scheduled: a number that grows is a job that fails and recovers, or was scaled.
    pub run: u64,
    /// Since when.
    pub started: Option<u64>,
    /// Subtasks of each operator.
    pub parallelism: u64,
    /// Seconds between two checkpoints.
    pub checkpoint_interval: f64,
    /// The newest checkpoint that is whole.
    pub checkpoint: Option<Checkpoint>,
    /// In the order of the graph.
    pub operators: Vec<Operator>,
    /// Its errors, the newest first.
    pub errors: Vec<Trouble>,
    /// What the cluster could not say now.
    pub unknown: Vec<String>,
}

/// A checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checkpoint {
    /// Its number.
    pub epoch: u64,
    /// When it began.
    pub started: u64,
    /// When it was whole.
    pub finished: u64,
    /// How many bytes of state it wrote; `None` if the cluster does not say (it keeps that of the last ten).
    pub bytes: Option<u64>,
}

/// An operator, all its subtasks together. `None`: the cluster has not measured yet.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Operator {
    /// Its number in the graph.
    pub node: u64,
    /// What it does.
    pub description: String,
    /// Rows that it takes a second.
    pub received: Option<f64>,
    /// Rows that it gives a second.
    pub sent: Option<f64>,
    /// Of the subtask that is held up most: 0 for not at all, 1 for always.
    pub backpressure: Option<f64>,
}

impl Status {
    /// Rows that the sources read a second.
    pub fn events(&self) -> Option<f64> {
        // A source receives nothing from another operator.
        let sources = self
            .operators
            .iter()
            .filter(|one| one.received.is_none_or(|rate| rate == 0.0));
        let rates: Vec<f64> = sources.filter_map(|one| one.sent).collect();
        (!rates.is_empty()).then(|| rates.iter().sum())
    }
}

impl Cluster {
    /// How a pipeline is doing. What the cluster cannot say now is left out and named.
    ///
    /// # Errors
    ///
    /// A cluster that does not answer, a pipeline that is gone.
    pub fn status(&self, deployed: &Deployed) -> Result<Status, Error> {
        let now = self.refresh(deployed)?;
        let mut unknown = Vec::new();
        let mut or_unknown = |error: Error| unknown.push(error.to_string());
        let checkpoint = self.last_checkpoint(&now, &now.job);
        let checkpoint = checkpoint.unwrap_or_else(|error| {
            or_unknown(error);
            None
        });
        let metrics = self.metrics(&now).unwrap_or_else(|error| {
            or_unknown(error);
            BTreeMap::new()
        });
        let errors = self.troubles(&now, &now.job).unwrap_or_else(|error| {
            or_unknown(error);
            Vec::new()
        });
        let operators = now.pipeline.graph.nodes.iter().map(|node| {
            let metrics = metrics.get(&node.node_id);
            let metric = |name: &str| metrics.and_then(|metrics| metrics.get(name)).copied();
            Operator {
                node: node.node_id,
                description: match node.description.is_empty() {
                    true => node.operator.clone(),
                    false => node.description.clone(),
                },
                received: metric("messages_recv"),
                sent: metric("messages_sent"),
                backpressure: metric("backpressure"),
            }
        });
        Ok(Status {
            pipeline: now.name().to_owned(),
            version: now.version(),
            id: now.id().to_owned(),
            state: now.state().to_owned(),
            run: now.job.run_id,
            started: now.job.start_time.map(|time| time / 1000),
            parallelism: now.parallelism(),
            checkpoint_interval: now.checkpoint_interval().as_secs_f64(),
            checkpoint,
            operators: operators.collect(),
            errors,
            unknown,
        })
    }

    /// The newest checkpoint that is whole.
    pub(crate) fn last_checkpoint(&self, deployed: &Deployed, job: &Job) -> Result<Option<Checkpoint>, Error> {
        let path = format!("/pipelines/{}/jobs/{}/checkpoints", deployed.id(), job.id);
        let all: Collection<CheckpointAnswer> = self.get(path.clone(), "list the checkpoints of a job")?;
        let whole = all
            .data
            .iter()
            .filter_map(|one| Some((one.epoch, one.start_time, one.finish_time?)));
        let Some((epoch, started, finished)) = whole.max() else {
            return Ok(None);
        };
        let groups: Result<Collection<OperatorCheckpoint>, Error> = self.get(
            format!("{path}/{epoch}/operator_checkpoint_groups"),
            "show a checkpoint",
        );
        Ok(Some(Checkpoint {
            epoch,
            started: started / 1000,
            finished: finished / 1000,
            bytes: groups.ok().map(|groups| groups.data.iter().map(|one| one.bytes).sum()),
        }))
    }

    /// By operator and name the newest value: rates summed over subtasks, of backpressure the largest.
    fn metrics(&self, deployed: &Deployed) -> Result<BTreeMap<u64, BTreeMap<String, f64>>, Error> {
        let path = format!(
            "/pipelines/{}/jobs/{}/operator_metric_groups",
            deployed.id(),
            deployed.job.id
        );
        let groups: Collection<OperatorMetrics> = self.get(path, "show the metrics of a job")?;
        let mut found: BTreeMap<u64, BTreeMap<String, f64>> = BTreeMap::new();
        for operator in groups.data {
            for group in operator.metric_groups {
                let newest = group.subtasks.iter().filter_map(|subtask| {
                    let last = subtask.metrics.iter().max_by_key(|metric| metric.time)?;
                    // A value without a time was never measured.
                    (last.time > 0).then_some(last.value)
                });
                let value = match group.name.as_str() {
                    "backpressure" => newest.reduce(f64::max),
                    _ => newest.reduce(|sum, value| sum + value),
                };
                if let Some(value) = value {
                    found.entry(operator.node_id).or_default().insert(group.name, value);
                }
            }
        }
        Ok(found)
    }
}
