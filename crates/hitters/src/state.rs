//! The state of a run: where it is kept, and how often it is stored.

use crate::cli::Run;
use crate::failure::Failure;
use hitters_connectors::{Attempt, Factory};
use hitters_dataflow::checkpoint::{Checkpoints, Claim, Faults, NoFaults, Point};
use hitters_pipeline::{Pipeline, Secrets};
use std::io::{Write, stderr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How often state is stored if only its place was said.
const INTERVAL: Duration = Duration::from_secs(10);
/// How many checkpoints are kept then.
const KEEP: usize = 3;
/// Names a point of a checkpoint and how often it is passed: `manifest:3`. For tests of recovery (CONTRIBUTING.md).
const FAULT: &str = "HITTERS_FAULT";

/// The place of a run's checkpoints, taken over.
pub struct State {
    claim: Claim,
    interval: Option<Duration>,
    keep: usize,
    /// Which start of which pipeline this is, for sinks.
    pub attempt: Attempt,
    /// Where it is, as it was given.
    pub place: String,
    /// The same for people.
    pub shown: String,
    secrets: Secrets,
}

impl State {
    /// Takes over the place that the command line or the pipeline file names; `None` if neither does.
    pub fn take(arguments: &Run, pipeline: &Pipeline) -> Result<Option<Self>, Failure> {
        let settings = pipeline.settings.checkpoint.as_ref();
        let Some(place) = arguments.state.as_ref().or(settings.map(|settings| &settings.storage)) else {
            return Ok(None);
        };
        let secrets = pipeline.script.secrets().clone();
        let failed = |error: &str| Failure::Run(pipeline.script.mask(error));
        let hiding = secrets.clone();
        let report = Arc::new(move |line: &str| say(&hiding.mask(line)));
        let storage = hitters_storage::open(place, report).map_err(|error| failed(&error.message))?;
        let shown = secrets.mask(&storage.describe());
        let claim = Claim::take(Arc::from(storage)).map_err(|error| failed(&error.to_string()))?;
        Ok(Some(Self {
            attempt: Attempt {
                pipeline: pipeline.name.clone(),
                version: pipeline.version,
                number: claim.attempt(),
            },
            claim,
            interval: settings.map_or(Some(INTERVAL), |settings| settings.interval),
            keep: settings.map_or(KEEP, |settings| settings.keep),
            shown,
            place: place.clone(),
            secrets,
        }))
    }

    /// The checkpoint that the run goes on from.
    pub fn found(&self) -> Option<u64> {
        self.claim.found()
    }

    /// What the engine has to know.
    pub fn checkpoints(self, factory: &Arc<Factory>) -> Result<Checkpoints, Failure> {
        let (factory, secrets) = (factory.clone(), self.secrets);
        Ok(Checkpoints {
            claim: self.claim,
            interval: self.interval,
            keep: self.keep,
            faults: faults()?,
            before: Box::new(move || factory.flush_dead_letters()),
            report: Box::new(move |line| say(&secrets.mask(line))),
        })
    }
}

fn say(line: &str) {
    let _ = writeln!(stderr(), "{line}");
}

/// The fault that the environment asks for.
fn faults() -> Result<Arc<dyn Faults>, Failure> {
    let Ok(text) = std::env::var(FAULT) else {
        return Ok(Arc::new(NoFaults));
    };
    let names = Point::ALL.map(Point::name).join(", ");
    let wrong = || {
        Failure::Usage(format!(
            "{FAULT} is '{text}': write one of {names}, a colon, and a number from 1"
        ))
    };
    let (name, count) = text.split_once(':').ok_or_else(wrong)?;
    let point = Point::ALL
        .into_iter()
        .find(|point| point.name() == name)
        .ok_or_else(wrong)?;
    let count = count.parse().ok().filter(|count| *count > 0).ok_or_else(wrong)?;
    Ok(Arc::new(Hang {
        point,
        left: AtomicU64::new(count),
    }))
}

/// Hangs when a point is passed for the n-th time, and says so: whoever watches can kill the run exactly there.
struct Hang {
    point: Point,
    left: AtomicU64,
}

impl Faults for Hang {
    fn reach(&self, point: Point) {
        if point == self.point && self.left.fetch_sub(1, Relaxed) == 1 {
            say(&format!("fault point {} reached", point.name()));
            loop {
                std::thread::park();
            }
        }
    }
}
