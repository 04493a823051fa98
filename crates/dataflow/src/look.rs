//! A look at the windows that are still open, while the run goes on.
//!
//! Asked for a look, each worker freezes its open panes between two batches, as at a barrier, and sends them the way of its
//! messages; when those of all have come, the final tier adds the closed panes that wait in it. From both, the thread of who
//! looks computes the rows that would be written if the window that closes next closed now, with steps and sinks of its own. So
//! a run that is looked at does what it would have done, after a short pause.
//!
//! The parts of workers are not of one moment, and need not be: each is a prefix of the rows of its partitions. A pane that a
//! worker has closed since is taken from the final tier, where it is the same pane with more rows.
//!
//! Not looked at: sessions, whose end nobody knows; state on a disk, and more than [`MOST_GROUPS`] groups, since a look would hold all of
//! them in memory at once.

use crate::Error;
use crate::finisher::Finisher;
use crate::frontier::END;
use crate::graph::Graph;
use crate::merge::{NextPart, NextWindow};
use crate::metrics::Metrics;
use crate::panes::FrozenPane;
use crate::sink::SinkFactory;
use crate::spill::Partial;
use crossbeam_channel::{Receiver, Sender};
use hitters_planner::plan::NodeId;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Groups of the open panes of a worker.
pub const MOST_GROUPS: usize = 100_000;

/// The open panes of some windows of a worker.
pub type OpenPanes = Vec<(usize, Vec<FrozenPane>)>;

/// What a worker answers to a look.
pub struct WorkerLook {
    /// Which look.
    pub number: u64,
    /// `None`: they cannot be looked at.
    pub panes: Option<OpenPanes>,
}

/// What was seen.
pub struct Seen {
    number: u64,
    /// By window of the graph; `None`: they cannot be looked at.
    windows: Option<Vec<SeenWindow>>,
}

struct SeenWindow {
    window: usize,
    next: NextWindow,
    open: Vec<FrozenPane>,
}

/// The windows whose rows reach one of these sinks.
pub fn windows(graph: &Graph, sinks: &[NodeId]) -> Vec<usize> {
    fn reaches(graph: &Graph, node: NodeId, sinks: &[NodeId]) -> bool {
        sinks.contains(&node)
            || graph.consumers[node]
                .iter()
                .any(|edge| reaches(graph, edge.node, sinks))
    }
    let windows = graph.windows.iter().enumerate();
    let reaching = windows.filter(|(_, window)| reaches(graph, window.node, sinks));
    reaching.map(|(window, _)| window).collect()
}

/// Asks for looks.
#[derive(Clone)]
pub struct Looker {
    graph: Arc<Graph>,
    wanted: Arc<AtomicU64>,
    seen: Receiver<Seen>,
    asking: Arc<Mutex<()>>,
}

impl Looker {
    /// Of a run; with the end to which the final tier gives what it saw.
    pub fn new(graph: Arc<Graph>, wanted: Arc<AtomicU64>, workers: usize) -> (Self, Gathering) {
        // One look at a time: what nobody waits for any more is replaced.
        let (reply, seen) = crossbeam_channel::bounded(1);
        let gathering = Gathering {
            number: 0,
            parts: (0..workers).map(|_| None).collect(),
            gone: vec![false; workers],
            reply,
            stale: seen.clone(),
        };
        let looker = Self {
            graph,
            wanted,
            seen,
            asking: Arc::default(),
        };
        (looker, gathering)
    }

    /// Computes the rows of the open windows and gives them to sinks of this factory. False if they cannot be looked at, or were not
    /// in time: the run has ended, or a barrier was on its way.
    pub fn look(&self, sinks: &dyn SinkFactory, patience: Duration) -> Result<bool, Error> {
        let _one = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        let number = self.wanted.fetch_add(1, Relaxed) + 1;
        let until = Instant::now() + patience;
        let windows = loop {
            match self.seen.recv_deadline(until) {
                Ok(seen) if seen.number == number => break seen.windows,
                Ok(_) => {}
                Err(_) => return Ok(false),
            }
        };
        let Some(windows) = windows else { return Ok(false) };
        let metrics = Arc::new(Metrics::new(1, Vec::new()));
        let mut finisher = Finisher::new(self.graph.clone(), metrics, 1, sinks)?;
        for SeenWindow { window, next, open } in windows {
            let mut open: Vec<Option<FrozenPane>> = open.into_iter().map(Some).collect();
            let mut parts = Vec::with_capacity(next.parts.len());
            for part in next.parts {
                parts.push(match part {
                    NextPart::Closed(partial) => partial,
                    NextPart::Open(place) => open.get_mut(place).and_then(Option::take).map_or_else(
                        || Ok(Partial::default()),
                        |pane| {
                            let mut partial = Partial::default();
                            pane.groups.each(|rows| {
                                partial.append(rows.into());
                                Ok(())
                            })?;
                            Ok::<_, Error>(partial)
                        },
                    )?,
                });
            }
            // What is shared with workers is let go of as soon as can be: until then they copy what they change.
            drop(open);
            finisher.preview(window, next.bounds, &parts)?;
        }
        finisher.end_preview(END)?;
        finisher.flush()?;
        Ok(true)
    }
}

/// Collects the parts of workers in front of the final tier.
pub struct Gathering {
    number: u64,
    parts: Vec<Option<Option<OpenPanes>>>,
    gone: Vec<bool>,
    reply: Sender<Seen>,
    stale: Receiver<Seen>,
}

impl Gathering {
    /// Takes the part of a worker.
    pub fn take(&mut self, worker: usize, look: WorkerLook, finisher: &Finisher) {
        if look.number > self.number {
            self.number = look.number;
            self.parts.fill_with(|| None);
        }
        if look.number == self.number {
            self.parts[worker] = Some(look.panes);
            self.answer(finisher);
        }
    }

    /// A worker has ended: it has no open panes that will close.
    pub fn gone(&mut self, worker: usize, finisher: &Finisher) {
        self.gone[worker] = true;
        self.answer(finisher);
    }

    /// Answers once all parts have come.
    fn answer(&mut self, finisher: &Finisher) {
        let there = |(part, gone): (&Option<_>, &bool)| part.is_some() || *gone;
        if self.parts.iter().all(Option::is_none) || !self.parts.iter().zip(&self.gone).all(there) {
            return;
        }
        let mut by_window: std::collections::BTreeMap<usize, Vec<FrozenPane>> = Default::default();
        let mut whole = true;
        for part in self.parts.iter_mut().filter_map(Option::take) {
            match part {
                Some(panes) => panes
                    .into_iter()
                    .for_each(|(window, panes)| by_window.entry(window).or_default().extend(panes)),
                None => whole = false,
            }
        }
        let windows = by_window.into_iter().filter_map(|(window, open)| {
            let next = finisher.next_window(window, &open)?;
            Some(SeenWindow { window, next, open })
        });
        let windows: Vec<SeenWindow> = windows.collect();
        let held = |part: &NextPart| match part {
            NextPart::Closed(partial) => partial.is_held(),
            NextPart::Open(_) => true,
        };
        whole &= windows.iter().flat_map(|window| &window.next.parts).all(held);
        // What was seen before and nobody has taken is of no use any more.
        let _ = self.stale.try_recv();
        let _ = self.reply.try_send(Seen {
            number: self.number,
            windows: whole.then_some(windows),
        });
    }
}
