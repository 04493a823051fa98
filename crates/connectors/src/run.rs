//! What a run asks of the connectors: its bounds, where bad rows and printed rows go, who hears of outages.

use crate::dead_letter::DeadLetter;
use crate::print::Print;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Options of one run, for all of its tables.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// True: sources end where their logs end at the start of the run (`hitters run` of a query, tests, replays). False:
    /// sources that grow are followed for ever.
    pub bounded: bool,
    /// `--from`: where Kafka partitions start that have no saved position, instead of the table's `source.offset`.
    pub from: Option<Bound>,
    /// `--to`: where Kafka partitions end, the end itself not included. Makes the run bounded.
    pub to: Option<Bound>,
    /// `--limit`: at most so many records of each table, shared out over its partitions as evenly as their lengths allow.
    /// Makes the run bounded.
    pub limit: Option<u64>,
    /// Where dropped rows go; `None`: they are only counted.
    pub dead_letter: Option<DeadLetter>,
    /// How rows of a bare SELECT and of `stdout` tables are printed.
    pub print: Print,
    /// Who hears of outages and their end.
    pub reporter: Reporter,
    /// How long a source or sink may take to reach its service at the start.
    pub start_timeout: StartTimeout,
    /// The run takes checkpoints: sinks hold rows back until one is durable, and refuse what an older attempt still writes.
    /// `None`: no checkpoints.
    pub attempt: Option<Attempt>,
    /// What to do where a saved position was taken by retention.
    pub missing: MissingOffsets,
    /// Set by a source when its log got partitions that this run does not read: whoever can go on from a checkpoint should.
    pub grown: Arc<AtomicBool>,
}

impl RunOptions {
    /// Whether every source has to end.
    pub fn is_bounded(&self) -> bool {
        self.bounded || self.to.is_some() || self.limit.is_some()
    }
}

/// Which start of which pipeline this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Name of the pipeline.
    pub pipeline: String,
    /// Its version, which a replay raises.
    pub version: u64,
    /// Grows with every start on the same state, from 1 on. Of two runs that write at once the one with the smaller number
    /// is a zombie.
    pub number: u64,
}

/// `--missing-offsets`: what to do where the record at a saved position was deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingOffsets {
    /// An error: counts would be too low without a word.
    #[default]
    Fail,
    /// Go on at the oldest record kept, and say how many are missing.
    Earliest,
}

/// A place in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The oldest record kept.
    Earliest,
    /// The end of the log at the start of the run.
    Latest,
    /// The first record with this timestamp or a later one, in milliseconds since the epoch.
    Time(i64),
}

/// How long to try at the start; 30 s unless given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartTimeout(pub Duration);

impl Default for StartTimeout {
    fn default() -> Self {
        Self(Duration::from_secs(30))
    }
}

/// Takes one line of talk for people: an outage, its end. Prints to standard error unless given.
#[derive(Clone)]
pub struct Reporter(Arc<dyn Fn(&str) + Send + Sync>);

impl Reporter {
    /// Hands lines to `report`.
    pub fn new(report: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(report))
    }

    /// Says a line.
    pub fn say(&self, line: &str) {
        (self.0)(line);
    }
}

impl Default for Reporter {
    fn default() -> Self {
        Self::new(|line| eprintln!("{line}"))
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reporter")
    }
}
