//! The state of a dataflow between a barrier and its bytes, and the same after it was read back.
//!
//! Workers and the final tier are frozen at the barrier, which takes them a moment; a [`Snapshot`] is put together from
//! them and turned into bytes elsewhere. Partitions are named by their position among all partitions of the dataflow.

use crate::frontier::{END, START};
use crate::merge::SavedPartial;
use crate::metrics::Counts;
use crate::operator::Saved;
use crate::panes::{FrozenPane, PanePartial};

/// How far a partition was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// Position among all partitions of the dataflow.
    pub partition: usize,
    /// What to read next; `None` if no row has come.
    pub next: Option<i64>,
    /// Its watermark.
    pub watermark: i64,
    /// Its latest event time.
    pub latest: i64,
}

/// What a worker held at a barrier.
pub struct WorkerSnapshot {
    /// Its partitions.
    pub read: Vec<Read>,
    /// By window of the graph: open panes, and the time up to which panes were closed.
    pub windows: Vec<(Vec<FrozenPane>, i64)>,
    /// What it counted since the start of the run.
    pub counts: Counts,
}

/// What the final tier held at a barrier, after everything that the workers sent before theirs.
#[derive(Debug, Default)]
pub struct FinalState {
    /// By window of the graph: closed panes, and the time up to which the window is published.
    pub windows: Vec<(Vec<SavedPartial>, i64)>,
    /// By node of the plan.
    pub operators: Vec<Vec<Saved>>,
}

/// A consistent copy of the whole dataflow.
pub struct Snapshot {
    /// By worker.
    pub workers: Vec<WorkerSnapshot>,
    /// The final tier.
    pub end: FinalState,
    /// What each sink holds back, by node of the plan, for sinks that hold something back.
    pub held: Vec<(usize, Vec<u8>)>,
    /// Rows and windows that the final tier counted since the start of the run.
    pub counts: Counts,
}

/// What a run goes on from.
#[derive(Debug, Default)]
pub struct State {
    /// Partitions that were read before.
    pub read: Vec<Read>,
    /// By window of the graph: open panes by slot, and the time up to which all workers had closed them.
    pub windows: Vec<(Vec<PanePartial>, i64)>,
    /// The final tier.
    pub end: FinalState,
}

impl WorkerSnapshot {
    /// Whether panes are open in it.
    pub fn has_open_panes(&self) -> bool {
        self.windows.iter().any(|(panes, _)| !panes.is_empty())
    }

    /// A copy of all but open panes.
    pub fn without_panes(&self) -> Self {
        Self {
            read: self.read.clone(),
            windows: self.windows.iter().map(|(_, closed)| (Vec::new(), *closed)).collect(),
            counts: self.counts,
        }
    }
}

impl Snapshot {
    /// The time up to which every worker had closed the panes of a window.
    pub fn closed_until(&self, window: usize) -> i64 {
        let closed = self.workers.iter().filter_map(|w| w.windows.get(window)).map(|w| w.1);
        closed.min().unwrap_or(START)
    }

    /// The time up to which a window was published. A bounded run ends by publishing everything; a run that goes on from there
    /// takes rows in that belong to later windows.
    pub fn published(&self, window: usize) -> i64 {
        match self.end.windows.get(window) {
            Some((_, END)) => self.closed_until(window),
            Some((_, published)) => *published,
            None => START,
        }
    }

    /// How far all partitions were read, in their order.
    pub fn read(&self) -> Vec<Read> {
        let mut read: Vec<Read> = self.workers.iter().flat_map(|worker| worker.read.clone()).collect();
        read.sort_by_key(|read| read.partition);
        read
    }

    /// What the whole dataflow counted since the start of the run.
    pub fn counts(&self) -> Counts {
        self.workers
            .iter()
            .fold(self.counts, |sum, worker| sum.plus(&worker.counts))
    }
}
