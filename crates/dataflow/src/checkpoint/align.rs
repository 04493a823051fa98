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

    /// Whether what this worker sends now has to wait for the barriers of others.
    pub fn waits(&self, worker: usize) -> bool {
        self.workers[worker].barrier.is_some()
    }

    /// The states in which the workers ended, once all have.
    pub fn ended(&mut self) -> Option<Vec<WorkerSnapshot>> {
        if self.workers.iter().any(|lane| lane.ended.is_none()) {
            return None;
        }
        Some(self.workers.iter_mut().filter_map(|lane| lane.ended.take()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frontier::START;
    use crate::groups::{GroupTable, Grouping};
    use crate::metrics::Counts;
    use crate::panes::{FrozenGroups, FrozenPane};
    use arrow::datatypes::Schema;
    use std::sync::Arc;

    /// The state of a worker with so many open panes.
    fn snapshot(open: usize) -> Box<WorkerSnapshot> {
        let grouping = Arc::new(Grouping::new(&Arc::new(Schema::empty()), &[], &[], false).unwrap());
        let pane = |number: usize| FrozenPane {
            pane: number as i64,
            slot: 0,
            groups: FrozenGroups::Table(GroupTable::new(grouping.clone()).unwrap().freeze().unwrap()),
        };
        Box::new(WorkerSnapshot {
            read: Vec::new(),
            windows: vec![((0..open).map(pane).collect(), START)],
            counts: Counts::default(),
        })
    }

    fn closed(time: i64) -> Parcel {
        Parcel::Message(Message::Closed {
            worker: 0,
            times: vec![(0, time)],
        })
    }

    /// The times of the messages that are handed on.
    fn times(turn: Turn) -> Vec<i64> {
        let Turn::Messages(messages) = turn else {
            panic!("the final tier is to be frozen");
        };
        let time = |message| match message {
            Message::Closed { times, .. } => times[0].1,
            other => panic!("{other:?}"),
        };
        messages.into_iter().map(time).collect()
    }

    #[test]
    fn what_comes_behind_a_barrier_waits_for_the_barriers_of_all() {
        let mut aligner = Aligner::new(2);
        assert_eq!(times(aligner.take(0, closed(1))), [1]);
        assert!(times(aligner.take(0, Parcel::Barrier(snapshot(1)))).is_empty());
        assert!(times(aligner.take(0, closed(2))).is_empty());
        assert_eq!(times(aligner.take(1, closed(3))), [3]);
        let Turn::Freeze(workers) = aligner.take(1, Parcel::Barrier(snapshot(0))) else {
            panic!("all barriers have come");
        };
        assert_eq!(workers.len(), 2);
        assert_eq!(times(Turn::Messages(aligner.release())), [2]);
    }

    #[test]
    fn a_stop_lets_go_of_what_waits_and_of_what_comes_after_barriers_that_are_late() {
        let mut aligner = Aligner::new(3);
        aligner.take(0, Parcel::Barrier(snapshot(0)));
        assert!(times(aligner.take(0, closed(1))).is_empty());
        assert_eq!(times(aligner.take(1, Parcel::Ended(snapshot(1)))), [1]);
        // This worker saw the barrier before it saw the stop, and has nothing open.
        assert!(times(aligner.take(2, Parcel::Barrier(snapshot(0)))).is_empty());
        assert_eq!(times(aligner.take(2, closed(2))), [2]);
        assert!(times(aligner.take(2, Parcel::Ended(snapshot(0)))).is_empty());
        assert!(aligner.ended().is_none());
        assert!(times(aligner.take(0, Parcel::Ended(snapshot(0)))).is_empty());
        assert_eq!(aligner.ended().map(|workers| workers.len()), Some(3));
    }
}
