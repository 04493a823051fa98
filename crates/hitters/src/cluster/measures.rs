//! How a pipeline is doing on its cluster, for Prometheus.
//!
//! Workers of a cluster with a process for each pipeline measure at ports of their own choice, which nobody outside knows. What they measure
//! reaches the controller, and its API tells it: from there it is read here, at most every ten seconds, whoever asks and however often.

use super::lag::Look;
use crate::failure::Failure;
use hitters_arroyo::{Cluster, Operator, Status};
use hitters_pipeline::Pipeline;
use hitters_service::{Exposition, Kind, Measured};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// From one look to the next.
const LOOK: Duration = Duration::from_secs(10);

/// A pipeline on its cluster, looked at again and again while this is there.
pub struct Watched {
    pipeline: String,
    seen: Arc<Mutex<Option<Seen>>>,
}

/// What the last look found.
struct Seen {
    /// The versions of the pipeline, each with how many events it is behind the log, if that is known. `None`: the cluster did not answer.
    versions: Option<Vec<(Status, Option<u64>)>>,
}

impl Watched {
    /// Begins to look.
    pub fn start(cluster: Cluster, pipeline: Pipeline) -> Result<Self, Failure> {
        let seen = Arc::new(Mutex::new(None));
        let watched = Self {
            pipeline: pipeline.name.clone(),
            seen: seen.clone(),
        };
        let seen = Arc::downgrade(&seen);
        let look = move || look(&cluster, &pipeline, &seen);
        std::thread::Builder::new()
            .name("cluster".into())
            .spawn(look)
            .map_err(|error| Failure::Run(format!("cannot start a thread: {error}")))?;
        Ok(watched)
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watched({})", self.pipeline)
    }
}

/// Looks until nobody wants to know any more.
fn look(cluster: &Cluster, pipeline: &Pipeline, seen: &Weak<Mutex<Option<Seen>>>) {
    let mut log = None;
    while let Some(last) = seen.upgrade() {
        let versions = cluster.versions(&pipeline.name).and_then(|versions| {
            let status = versions.iter().map(|deployed| cluster.status(deployed));
            status.collect::<Result<Vec<_>, _>>()
        });
        // Redis or Kafka may be away, and come back.
        if log.is_none() && versions.as_ref().is_ok_and(|versions| !versions.is_empty()) {
            log = Look::open(pipeline).ok();
        }
        let mut behind = |status: &Status| {
            let lag = log.as_mut()?.lag(status.version).ok()?;
            Some(lag.events)
        };
        let versions = versions.ok().map(|versions| {
            let with_lag = versions.into_iter().map(|status| {
                let lag = behind(&status);
                (status, lag)
            });
            with_lag.collect()
        });
        *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Seen { versions });
        drop(last);
        std::thread::sleep(LOOK);
    }
}

impl Measured for Watched {
    fn pipeline(&self) -> &str {
        &self.pipeline
    }

    fn measure(&self, text: &mut Exposition) {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(seen) = seen.as_ref() else { return };
        let up = u8::from(seen.versions.is_some());
        let help = "Whether the cluster answered when it was last asked.";
        text.one(
            "hitters_cluster_up",
            Kind::Gauge,
            help,
            &[("pipeline", &self.pipeline)],
            up,
        );
        let versions = seen.versions.as_deref().unwrap_or_default();
        states(text, &self.pipeline, versions);
        numbers(text, &self.pipeline, versions);
        operators(text, &self.pipeline, versions);
    }
}

fn states(text: &mut Exposition, pipeline: &str, versions: &[(Status, Option<u64>)]) {
    let name = "hitters_cluster_job_state";
    text.family(
        name,
        Kind::Gauge,
        "1 for the state of a pipeline's job, in the cluster's words.",
    );
    for (status, _) in versions {
        let version = status.version.to_string();
        let labels = [("pipeline", pipeline), ("version", &version), ("state", &status.state)];
        text.sample(name, &labels, 1);
    }
}

/// What there is one number of for a version.
fn numbers(text: &mut Exposition, pipeline: &str, versions: &[(Status, Option<u64>)]) {
    type Value = fn(&Status, Option<u64>) -> Option<f64>;
    let families: [(&str, &str, Value); 7] = [
        (
            "hitters_cluster_job_runs",
            "How often the job was scheduled: it grows with each failure that it recovers from.",
            |status, _| Some(status.run as f64),
        ),
        ("hitters_cluster_subtasks", "Subtasks of each operator.", |status, _| {
            Some(status.parallelism as f64)
        }),
        (
            "hitters_cluster_events_per_second",
            "Rows that the sources read a second.",
            |status, _| status.events(),
        ),
        (
            "hitters_cluster_lag_events",
            "Events from the last closed windows to the end of the log.",
            |_, lag| lag.map(|events| events as f64),
        ),
        (
            "hitters_cluster_checkpoint_timestamp_seconds",
            "When the last checkpoint was whole.",
            |status, _| status.checkpoint.as_ref().map(|last| last.finished as f64 / 1000.0),
        ),
        (
            "hitters_cluster_checkpoint_seconds",
            "How long the last checkpoint took.",
            |status, _| {
                let took = |last: &hitters_arroyo::Checkpoint| last.finished.saturating_sub(last.started);
                status.checkpoint.as_ref().map(|last| took(last) as f64 / 1000.0)
            },
        ),
        (
            "hitters_cluster_checkpoint_bytes",
            "What the last checkpoint wrote.",
            |status, _| Some(status.checkpoint.as_ref()?.bytes? as f64),
        ),
    ];
    for (name, help, value) in families {
        text.family(name, Kind::Gauge, help);
        for (status, lag) in versions {
            let version = status.version.to_string();
            if let Some(value) = value(status, *lag) {
                text.sample(name, &[("pipeline", pipeline), ("version", &version)], value);
            }
        }
    }
}

fn operators(text: &mut Exposition, pipeline: &str, versions: &[(Status, Option<u64>)]) {
    type Value = fn(&Operator) -> Option<f64>;
    let families: [(&str, &str, Value); 3] = [
        (
            "hitters_cluster_operator_received_per_second",
            "Rows that an operator takes a second.",
            |operator| operator.received,
        ),
        (
            "hitters_cluster_operator_sent_per_second",
            "Rows that an operator gives a second.",
            |operator| operator.sent,
        ),
        (
            "hitters_cluster_operator_backpressure",
            "How much the subtask of an operator that is held up most is so: 0 not at all, 1 always.",
            |operator| operator.backpressure,
        ),
    ];
    for (name, help, value) in families {
        text.family(name, Kind::Gauge, help);
        for (status, _) in versions {
            let version = status.version.to_string();
            for operator in &status.operators {
                let node = operator.node.to_string();
                let labels = [
                    ("pipeline", pipeline),
                    ("version", &version),
                    ("node", &node),
                    ("operator", &operator.description),
                ];
                if let Some(value) = value(operator) {
                    text.sample(name, &labels, value);
                }
            }
        }
    }
}
