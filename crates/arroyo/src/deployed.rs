//! The pipelines of a cluster that carry the name of one of ours: `<name>-v<version>`.

use crate::answers::{Collection, Job, LogMessage, Pipeline};
use crate::client::Cluster;
use crate::error::{Error, Trouble};
use crate::mark::Mark;
use std::time::Duration;

/// Of the errors of a job, so many are shown.
const TROUBLES: usize = 5;

/// A pipeline of the cluster with its job.
#[derive(Clone, Debug)]
pub struct Deployed {
    pub(crate) pipeline: Pipeline,
    pub(crate) job: Job,
    version: u64,
    mark: Option<(Mark, bool)>,
}

impl Deployed {
    /// `<name>-v<version>`.
    pub fn name(&self) -> &str {
        &self.pipeline.name
    }

    /// The version.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What the cluster knows it by.
    pub fn id(&self) -> &str {
        &self.pipeline.id
    }

    /// The state of its job, in the cluster's words: `Running`, `Stopped`, `Failed`, `Recovering`, ...
    pub fn state(&self) -> &str {
        &self.job.state
    }

    /// True if it computes, or is about to.
    pub fn is_live(&self) -> bool {
        !matches!(self.state(), "Stopped" | "Failed" | "Finished")
    }

    /// What hitters deployed, if it did and nobody changed the text since.
    pub fn mark(&self) -> Option<&Mark> {
        self.mark.as_ref().filter(|(_, intact)| *intact).map(|(mark, _)| mark)
    }

    /// True if hitters deployed it, whatever became of it since.
    pub fn is_ours(&self) -> bool {
        self.mark.is_some()
    }

    /// True if it was made by a cluster whose chaining lost edges of its graph: some of its operators get no rows.
    pub fn is_cut(&self) -> bool {
        !self.pipeline.graph.cuts().is_empty()
    }

    /// Subtasks of each operator.
    pub fn parallelism(&self) -> u64 {
        let nodes = self.pipeline.graph.nodes.iter();
        nodes.map(|node| node.parallelism).max().unwrap_or(0)
    }

    /// Time between two checkpoints.
    pub fn checkpoint_interval(&self) -> Duration {
        Duration::from_micros(self.pipeline.checkpoint_interval_micros)
    }

    /// An operator as the graph calls it; job logs name it by its number and a word.
    pub(crate) fn operator(&self, operator_id: &str) -> String {
        let digits: String = operator_id.chars().filter(char::is_ascii_digit).collect();
        let node =
            self.pipeline.graph.nodes.iter().find(|node| {
                node.operator == operator_id || (!digits.is_empty() && node.node_id.to_string() == digits)
            });
        match node {
            Some(node) if !node.description.is_empty() => format!("{} ({operator_id})", node.description),
            _ => operator_id.to_owned(),
        }
    }
}

/// The table in the identity of an operator: `source_<table>_<number>` or `sink_<table>_<number>`.
fn table_of(operator_id: &str) -> Option<&str> {
    let rest = operator_id
        .strip_prefix("source_")
        .or_else(|| operator_id.strip_prefix("sink_"))?;
    let (table, number) = rest.rsplit_once('_')?;
    number.bytes().all(|byte| byte.is_ascii_digit()).then_some(table)
}

/// The version in `<name>-v<version>`.
fn version_of(name: &str, of: &str) -> Option<u64> {
    let digits = name.strip_prefix(of)?.strip_prefix("-v")?;
    let version = digits.parse().ok()?;
    // `v01` and `v+1` are names of somebody else.
    (digits == format!("{version}")).then_some(version)
}

impl Cluster {
    /// All versions of a pipeline, the highest first.
    ///
    /// # Errors
    ///
    /// A cluster that does not answer; two pipelines of one name, which hitters never makes.
    pub fn versions(&self, name: &str) -> Result<Vec<Deployed>, Error> {
        let all: Vec<Pipeline> = self.list("/pipelines", "list its pipelines", |one: &Pipeline| one.id.clone())?;
        let mut found = Vec::new();
        for pipeline in all {
            let Some(version) = version_of(&pipeline.name, name) else {
                continue;
            };
            found.push(self.with_job(pipeline, version)?);
        }
        found.sort_by_key(|one: &Deployed| std::cmp::Reverse(one.version));
        if let Some(pair) = found.windows(2).find(|pair| pair[0].version == pair[1].version) {
            return Err(Error::Conflict(format!(
                "the cluster has two pipelines of the name {} ({} and {}): delete the one that is not needed",
                pair[0].name(),
                pair[0].id(),
                pair[1].id()
            )));
        }
        Ok(found)
    }

    /// The same pipeline as it is now.
    pub(crate) fn refresh(&self, deployed: &Deployed) -> Result<Deployed, Error> {
        let pipeline = self.get(format!("/pipelines/{}", deployed.id()), "show a pipeline")?;
        self.with_job(pipeline, deployed.version)
    }

    pub(crate) fn with_job(&self, pipeline: Pipeline, version: u64) -> Result<Deployed, Error> {
        let job = self.job(&pipeline.id, &pipeline.name)?;
        let mark = Mark::read(&pipeline.query);
        Ok(Deployed {
            pipeline,
            job,
            version,
            mark,
        })
    }

    /// The job of a pipeline.
    pub(crate) fn job(&self, id: &str, name: &str) -> Result<Job, Error> {
        let jobs: Collection<Job> = self.get(format!("/pipelines/{id}/jobs"), "list the jobs of a pipeline")?;
        jobs.data.into_iter().next().ok_or_else(|| {
            Error::Conflict(format!(
                "the pipeline {name} of the cluster has no job: delete it there, and deploy again"
            ))
        })
    }

    /// What the job says of its failures, the newest first.
    pub(crate) fn troubles(&self, deployed: &Deployed, job: &Job) -> Result<Vec<Trouble>, Error> {
        let path = format!("/pipelines/{}/jobs/{}/errors?limit={TROUBLES}", deployed.id(), job.id);
        let logged: Collection<LogMessage> = self.get(path, "list the errors of a job")?;
        let mut troubles: Vec<Trouble> = Vec::new();
        for message in logged.data {
            let text = match message.details.is_empty() {
                true => message.message,
                false => message.details,
            };
            troubles.push(Trouble {
                time: Some(message.created_at / 1000),
                table: message.operator_id.as_deref().and_then(table_of).map(str::to_owned),
                operator: message.operator_id.map(|operator| deployed.operator(&operator)),
                message: text,
                domain: message.error_domain,
            });
        }
        let why = job
            .failure_reason
            .as_ref()
            .map(|reason| (reason.error.clone(), reason.domain.clone()));
        let why = why.or_else(|| job.failure_message.clone().map(|message| (message, None)));
        if let Some((message, domain)) = why.filter(|(message, _)| !troubles.iter().any(|one| one.message == *message))
        {
            troubles.insert(
                0,
                Trouble {
                    time: None,
                    operator: None,
                    table: None,
                    message,
                    domain,
                },
            );
        }
        Ok(troubles)
    }

    /// The identity of the newest error that the job has logged, to tell new ones from old ones.
    pub(crate) fn newest_trouble(&self, id: &str, job: &Job) -> Result<Option<String>, Error> {
        let path = format!("/pipelines/{id}/jobs/{}/errors?limit=1", job.id);
        let logged: Collection<LogMessage> = self.get(path, "list the errors of a job")?;
        Ok(logged.data.into_iter().next().map(|message| message.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_an_operator_is_in_its_name() {
        assert_eq!(table_of("sink_latest_windows_12"), Some("latest_windows"));
        assert_eq!(table_of("source_events_0"), Some("events"));
        assert_eq!(table_of("tumbling_3"), None);
        assert_eq!(table_of("sink_latest"), None);
    }

    #[test]
    fn only_names_that_we_give_are_ours() {
        assert_eq!(version_of("shop-v12", "shop"), Some(12));
        for name in [
            "shop",
            "shop-v",
            "shop-v01",
            "shop-v+1",
            "shop-v1-v2",
            "workshop-v1",
            "shop-v1a",
        ] {
            assert_eq!(version_of(name, "shop"), None, "{name}");
        }
        assert_eq!(version_of("shop-v1-v2", "shop-v1"), Some(2));
    }
}
