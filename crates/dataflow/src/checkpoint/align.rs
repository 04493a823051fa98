//! Lines the barriers of all workers up in front of the final tier.
//!
//! Messages of one worker come in their order. Once the barrier of a worker has come, its further messages wait until the
//! barriers of all others have come, too: then everything before the barriers has been taken in and nothing behind them, and
//! the final tier can be frozen. Workers answer a barrier between two batches, so what waits is what was on its way.

use super::snapshot::WorkerSnapshot;
use crate::worker::Message;
use std::collections::VecDeque;

/// What workers send.
pub enum Parcel {
    /// For the final tier.
    Message(Message),
    /// A worker has frozen its state; what it sent before belongs before it.
    Barrier(Box<WorkerSnapshot>),
    /// A worker has ended, in this state.
    Ended(Box<WorkerSnapshot>),
}

/// Lines barriers up.
pub struct Aligner {
    workers: Vec<Lane>,
    /// A worker was stopped: what is stored next is the last checkpoint, so barriers line up no more.
    stopped: bool,
}

#[derive(Default)]
struct Lane {
    /// The barrier that has come.
    barrier: Option<WorkerSnapshot>,
    /// What came after it.
    waiting: VecDeque<Message>,
    ended: Option<WorkerSnapshot>,
}

/// What is to be done next.
pub enum Turn {
    /// Hand these messages to the final tier, in this order.
    Messages(Vec<Message>),
    /// Freeze the final tier now; with the snapshots of the workers. Then ask for [`Aligner::release`].
    Freeze(Vec<WorkerSnapshot>),
}

impl Aligner {
    /// For so many workers.
    pub fn new(workers: usize) -> Self {
        Self {
            workers: (0..workers).map(|_| Lane::default()).collect(),
            stopped: false,
        }
    }

    /// Takes what a worker sent.
    pub fn take(&mut self, worker: usize, parcel: Parcel) -> Turn {
        let lane = &mut self.workers[worker];
        match parcel {
            Parcel::Message(message) if lane.barrier.is_some() => {
                lane.waiting.push_back(message);
                return Turn::Messages(Vec::new());
            }
            Parcel::Message(message) => return Turn::Messages(vec![message]),
            // Another worker saw the stop first: holding messages back now would lose them.
            Parcel::Barrier(_) if self.stopped => return Turn::Messages(Vec::new()),
            Parcel::Barrier(snapshot) => lane.barrier = Some(*snapshot),
            Parcel::Ended(snapshot) => {
                self.stopped |= snapshot.has_open_panes();
                lane.ended = Some(*snapshot);
                if self.stopped {
                    // The state of a worker that was stopped is needed whole for the last checkpoint.
                    return Turn::Messages(self.release());
                }
            }
        }
        let barriers = self.workers.iter().filter(|lane| lane.barrier.is_some()).count();
        let through = |lane: &Lane| lane.barrier.is_some() || lane.ended.as_ref().is_some_and(|e| !e.has_open_panes());
        if barriers == 0 || !self.workers.iter().all(through) {
            return Turn::Messages(Vec::new());
        }
        let snapshots = self.workers.iter_mut().filter_map(|lane| {
            let barrier = lane.barrier.take();
            barrier.or_else(|| lane.ended.as_ref().map(WorkerSnapshot::without_panes))
        });
        Turn::Freeze(snapshots.collect())
    }

    /// Lets go of barriers that did not come together, and of the messages that waited.
    pub fn release(&mut self) -> Vec<Message> {
        self.workers
            .iter_mut()
            .flat_map(|lane| {
                lane.barrier = None;
                std::mem::take(&mut lane.waiting)
            })
            .collect()
    }

    /// The states in which the workers ended, once all have.
    pub fn ended(&mut self) -> Option<Vec<WorkerSnapshot>> {
        if self.workers.iter().any(|lane| lane.ended.is_none()) {
            return None;
        }
        Some(self.workers.iter_mut().filter_map(|lane| lane.ended.take()).collect())
    }
}
