//! What a service in the same process is told of a run: its open windows, and what it counts.

use crate::tap::Tap;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use hitters_dataflow::sink::{Sink, SinkFactory};
use hitters_dataflow::{Error, Job, Looker, Metrics};
use hitters_planner::plan::{NodeId, NodeKind, Plan};
use hitters_planner::table::Table;
use hitters_results::Row;
use hitters_service::{Engine, Exposition, Kind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a look may take: a slow sink holds the workers up, and with them the look.
const PATIENCE: Duration = Duration::from_secs(2);

/// A run, as the service sees it.
pub struct Beside {
    pipeline: String,
    version: u64,
    round: Mutex<Round>,
}

#[derive(Default)]
struct Round {
    /// `None` while nothing runs.
    looker: Option<Looker>,
    metrics: Option<Arc<Metrics>>,
    /// The names under which answers are served.
    names: Vec<String>,
}

impl std::fmt::Debug for Beside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Beside").field(&self.pipeline).finish()
    }
}

impl Beside {
    /// Of a pipeline that does not run yet.
    pub fn new(pipeline: &str, version: u64) -> Self {
        Self {
            pipeline: pipeline.to_owned(),
            version,
            round: Mutex::default(),
        }
    }

    /// The sinks of a plan whose rows are answers, each with the name under which they are served.
    pub fn taps(&self, plan: &Plan) -> Vec<(NodeId, String)> {
        let sinks = plan.nodes.iter().enumerate().filter_map(|(id, node)| match &node.kind {
            NodeKind::Sink(Some(table)) => {
                let tap = Tap::new((&self.pipeline, self.version), table, &node.schema)?;
                Some((id, tap.pipeline().to_owned()))
            }
            _ => None,
        });
        sinks.collect()
    }

    /// A round of the run has begun.
    pub fn begin(&self, job: &Job, taps: Vec<(NodeId, String)>) {
        *self.round() = Round {
            looker: job.looker().cloned(),
            metrics: Some(job.metrics().clone()),
            names: taps.into_iter().map(|(_, name)| name).collect(),
        };
    }

    /// It has ended; what it counted stays.
    pub fn end(&self) {
        self.round().looker = None;
    }

    fn round(&self) -> MutexGuard<'_, Round> {
        self.round.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine for Beside {
    fn runs(&self, pipeline: &str) -> bool {
        let round = self.round();
        round.looker.is_some() && round.names.iter().any(|name| name == pipeline)
    }

    fn open(&self) -> Option<Vec<Row>> {
        // Let go of before the look: a run that begins or ends must not wait for it.
        let looker = self.round().looker.clone()?;
        let collected = Collected {
            pipeline: (self.pipeline.clone(), self.version),
            rows: Arc::default(),
        };
        match looker.look(&collected, PATIENCE) {
            Ok(true) => Some(std::mem::take(&mut *collected.rows())),
            // What is wrong with the rows, the run itself meets and reports when the window closes.
            Ok(false) | Err(_) => None,
        }
    }

    fn measure(&self, text: &mut Exposition) {
        let Some(metrics) = self.round().metrics.clone() else {
            return;
        };
        measure(text, &self.pipeline, self.version, &metrics);
    }
}

/// Takes the rows of answers, and lets go of all others.
struct Collected {
    pipeline: (String, u64),
    rows: Arc<Mutex<Vec<Row>>>,
}

impl Collected {
    fn rows(&self) -> MutexGuard<'_, Vec<Row>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SinkFactory for Collected {
    fn open(&self, table: Option<&Arc<Table>>, schema: SchemaRef) -> Result<Box<dyn Sink>, Error> {
        let (pipeline, version) = &self.pipeline;
        let tap = table.and_then(|table| Tap::new((pipeline, *version), table, &schema));
        Ok(Box::new(CollectedSink {
            tap,
            rows: self.rows.clone(),
        }))
    }
}

struct CollectedSink {
    tap: Option<Tap>,
    rows: Arc<Mutex<Vec<Row>>>,
}

impl Sink for CollectedSink {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        if let Some(tap) = &self.tap {
            let rows = tap.rows(batch)?;
            self.rows.lock().unwrap_or_else(PoisonError::into_inner).extend(rows);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

/// What a run counts, for Prometheus. Totals go on over restarts, as the state does.
fn measure(text: &mut Exposition, pipeline: &str, version: u64, metrics: &Metrics) {
    let version = version.to_string();
    let run = [("pipeline", pipeline), ("version", version.as_str())];
    let counts = metrics.counts();
    for (name, help, count) in [
        (
            "hitters_run_events_total",
            "Records read, bad ones included.",
            counts.records,
        ),
        (
            "hitters_run_bytes_total",
            "Bytes of records before decoding.",
            counts.bytes,
        ),
        (
            "hitters_run_bad_total",
            "Records that could not be decoded.",
            counts.bad,
        ),
        (
            "hitters_run_late_total",
            "Rows that came after the watermark of their partition and were dropped.",
            counts.late,
        ),
        (
            "hitters_run_late_idle_total",
            "Rows that came after their window was closed while their partition was silent, and were dropped.",
            counts.late_idle,
        ),
        ("hitters_run_rows_total", "Rows given to sinks.", counts.rows_out),
        ("hitters_run_windows_total", "Windows that were closed.", counts.windows),
        (
            "hitters_run_checkpoints_total",
            "Checkpoints that this process stored.",
            metrics.checkpoints.load(Relaxed),
        ),
        (
            "hitters_run_checkpoints_failed_total",
            "Checkpoints that this process could not store.",
            metrics.checkpoints_failed.load(Relaxed),
        ),
    ] {
        text.one(name, Kind::Counter, help, &run, count);
    }
    let load = |cell: &AtomicU64| cell.load(Relaxed) as f64;
    for (name, help, value) in [
        (
            "hitters_run_workers",
            "Workers that read and count.",
            metrics.workers() as f64,
        ),
        (
            "hitters_run_state_bytes",
            "State of windows in memory.",
            metrics.state_bytes() as f64,
        ),
        (
            "hitters_run_peak_state_bytes",
            "The most of it so far.",
            metrics.peak_state.load(Relaxed) as f64,
        ),
        (
            "hitters_run_disk_bytes",
            "State of windows on disk.",
            load(&metrics.disk),
        ),
        (
            "hitters_run_checkpoint_bytes",
            "What the last checkpoint stored.",
            load(&metrics.checkpoint_bytes),
        ),
        (
            "hitters_run_longest_pause_seconds",
            "The longest that a checkpoint held up a thread.",
            load(&metrics.longest_pause) / 1e6,
        ),
    ] {
        text.one(name, Kind::Gauge, help, &run, value);
    }
    // Times stand there only once there is one: 0 would be an age of decades.
    let stored = metrics.checkpoint_stored.load(Relaxed);
    if stored > 0 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let help = "Time since the last checkpoint was stored.";
        let age = now.as_secs().saturating_sub(stored);
        text.one("hitters_run_checkpoint_age_seconds", Kind::Gauge, help, &run, age);
    }
    let complete = metrics.complete_until.load(Relaxed);
    if complete > i64::MIN {
        let help = "Event time up to which windows were closed.";
        let name = "hitters_run_complete_timestamp_seconds";
        text.one(name, Kind::Gauge, help, &run, complete as f64 / 1e9);
    }
    if let Some((median, longest)) = metrics.closings() {
        let name = "hitters_run_closing_seconds";
        text.family(name, Kind::Gauge, "How long the last closings of windows took.");
        for (which, time) in [("median", median), ("longest", longest)] {
            text.sample(name, &[run[0], run[1], ("which", which)], time.as_secs_f64());
        }
    }
    partitions(text, run, metrics);
}

fn partitions(text: &mut Exposition, run: [(&str, &str); 2], metrics: &Metrics) {
    type Value = fn(&hitters_dataflow::metrics::PartitionMetrics) -> Option<f64>;
    let families: [(&str, Kind, &str, Value); 4] = [
        (
            "hitters_run_partition_events_total",
            Kind::Counter,
            "Records read of a partition by this process.",
            |partition| Some(partition.records.load(Relaxed) as f64),
        ),
        (
            "hitters_run_partition_position",
            Kind::Gauge,
            "Where reading of a partition goes on.",
            |partition| Some(partition.position.load(Relaxed) as f64).filter(|at| *at >= 0.0),
        ),
        (
            "hitters_run_partition_caught_up",
            Kind::Gauge,
            "Whether a partition is read up to the end of its log.",
            |partition| Some(f64::from(u8::from(partition.caught_up.load(Relaxed)))),
        ),
        (
            "hitters_run_partition_timestamp_seconds",
            Kind::Gauge,
            "The latest event time of a partition.",
            |partition| {
                let latest = partition.latest.load(Relaxed);
                (latest > i64::MIN).then_some(latest as f64 / 1e9)
            },
        ),
    ];
    for (name, kind, help, value) in families {
        text.family(name, kind, help);
        for partition in &metrics.partitions {
            let number = partition.number.to_string();
            let labels = [
                run[0],
                run[1],
                ("table", partition.table.as_str()),
                ("partition", &number),
            ];
            if let Some(value) = value(partition) {
                text.sample(name, &labels, value);
            }
        }
    }
}
