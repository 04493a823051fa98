//! The thread that stores checkpoints: it asks for barriers in time, and writes what comes of them.

use super::Checkpoints;
use super::fault::Point;
use super::snapshot::Snapshot;
use super::writer::{Writer, Written};
use crate::Error;
use crate::metrics::Metrics;
use crate::source::Source;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What the final tier hands over at a barrier.
pub struct Collected {
    /// The state.
    pub snapshot: Snapshot,
    /// True for the last checkpoint of a run.
    pub last: bool,
}

/// Stores checkpoints.
pub struct Checkpointer {
    /// How to.
    pub checkpoints: Checkpoints,
    /// Writes them.
    pub writer: Writer,
    /// Barriers asked for so far; workers look at it.
    pub wanted: Arc<AtomicU64>,
    /// Frozen state comes here.
    pub collected: Receiver<Collected>,
    /// What became of each of them goes there, before the next one may be frozen: a durable checkpoint, or nothing.
    pub durable: Sender<Option<Written>>,
    /// The sources, by table, to tell of their progress.
    pub sources: Vec<(String, Box<dyn Source>)>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

impl Checkpointer {
    /// Works until the final tier ends. An error ends the run.
    pub fn run(&mut self) -> Result<(), Error> {
        if let Err(error) = self.writer.clean() {
            (self.checkpoints.report)(&format!("old checkpoints stay where they are for now: {error}"));
        }
        let next = |interval: Option<Duration>| interval.map(|interval| Instant::now() + interval);
        let mut due = next(self.checkpoints.interval);
        let mut asked = false;
        loop {
            let came = match due {
                Some(due) if !asked => self.collected.recv_deadline(due),
                _ => self.collected.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match came {
                Ok(collected) => {
                    self.store(collected)?;
                    asked = false;
                }
                Err(RecvTimeoutError::Timeout) => {
                    asked = true;
                    due = next(self.checkpoints.interval);
                    self.wanted.fetch_add(1, Relaxed);
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    fn store(&mut self, Collected { snapshot, last }: Collected) -> Result<(), Error> {
        let written = (self.checkpoints.before)().and_then(|()| self.writer.write(snapshot));
        let written = match written {
            Ok(written) => written,
            // The run goes on, and its next checkpoint holds everything. Only the last one has no next.
            Err(error @ Error::Checkpoint(_)) if !last => {
                self.metrics.checkpoints_failed.fetch_add(1, Relaxed);
                (self.checkpoints.report)(&format!("{error}; the run goes on and tries again"));
                // If nobody takes it, the final tier ended on an error of its own.
                let _ = self.durable.send(None);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.metrics.checkpoint.store(written.number, Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.metrics.checkpoint_stored.store(now.as_secs(), Relaxed);
        self.metrics.checkpoints.fetch_add(1, Relaxed);
        self.metrics.checkpoint_bytes.store(written.bytes, Relaxed);
        let positions = written.positions.clone();
        self.checkpoints.faults.reach(Point::Commit);
        if self.durable.send(Some(written)).is_err() {
            // The final tier ended on an error of its own.
            return Ok(());
        }
        for (table, source) in &mut self.sources {
            let mine: Vec<(i32, i64)> = positions
                .iter()
                .filter(|position| position.table == *table)
                .map(|position| (position.partition, position.next))
                .collect();
            if let Err(error) = source.commit(&mine) {
                (self.checkpoints.report)(&format!("{error}; the checkpoint itself is stored"));
            }
        }
        if let Err(error) = self.writer.prune() {
            (self.checkpoints.report)(&format!("old checkpoints stay where they are for now: {error}"));
        }
        Ok(())
    }
}
