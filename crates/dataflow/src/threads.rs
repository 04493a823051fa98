//! What the threads of a job do: workers step, the final tier takes their messages in.

use crate::Error;
use crate::checkpoint::align::{Aligner, Parcel, Turn};
use crate::checkpoint::fault::{Faults, Point};
use crate::checkpoint::snapshot::{Snapshot, WorkerSnapshot};
use crate::checkpoint::thread::Collected;
use crate::checkpoint::writer::Written;
use crate::clock::Clock;
use crate::finisher::Finisher;
use crate::job::Shared;
use crate::look::{Gathering, WorkerLook};
use crate::metrics::Metrics;
use crate::sink::Checkpoint;
use crate::spill::Spill;
use crate::worker::{Message, Step, Worker};
use crossbeam_channel::{Receiver, Sender, never, select};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How long a worker waits for rows before it looks at the watermarks again: bounds how late a window closes.
const WAIT: Duration = Duration::from_millis(5);
/// Rows become visible in sinks at least this often.
const FLUSH: Duration = Duration::from_millis(100);
/// State is measured once in so many steps of a worker.
const MEASURE: u64 = 32;

/// What workers send to the final tier.
pub(crate) enum Sent {
    /// Messages and barriers.
    Parcel(Parcel),
    /// An answer to a look.
    Look(WorkerLook),
    /// The worker has ended, and answers no looks any more.
    Gone,
}

/// What a worker has to know of looks.
pub(crate) struct Looks {
    /// Looks asked for so far.
    pub wanted: Arc<AtomicU64>,
    /// Windows of the graph that are looked at.
    pub windows: Arc<[usize]>,
}

/// A worker's thread.
pub(crate) struct WorkerThread {
    pub number: usize,
    pub worker: Worker,
    pub sender: Sender<(usize, Sent)>,
    pub shared: Arc<Shared>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<Metrics>,
    pub memory: Option<usize>,
    /// Whether state can go to disk.
    pub spills: bool,
    /// Barriers asked for so far, if checkpoints are kept.
    pub keeping: Option<(Arc<AtomicU64>, Arc<dyn Faults>)>,
    /// If open windows are looked at.
    pub looks: Option<Looks>,
}

impl WorkerThread {
    pub fn run(mut self) -> Result<(), Error> {
        let (mut barriers, mut looks) = (0, 0);
        loop {
            if self.shared.stop.load(Relaxed) {
                self.shared.stopped_early.store(true, Relaxed);
                return self.end();
            }
            if let Some((wanted, faults)) = &self.keeping {
                let wanted = wanted.load(Relaxed);
                if wanted > barriers {
                    barriers = wanted;
                    let faults = faults.clone();
                    let snapshot = self.freeze()?;
                    faults.reach(Point::Barrier);
                    if !self.send(Parcel::Barrier(snapshot)) {
                        return Ok(());
                    }
                }
            }
            if let Some(wanted) = self.looks.as_ref().map(|looks| looks.wanted.load(Relaxed))
                && wanted > looks
            {
                looks = wanted;
                self.look(wanted)?;
            }
            let step = self.worker.step(self.clock.now(), WAIT)?;
            for message in self.worker.take_output() {
                if !self.send(Parcel::Message(message)) {
                    return Ok(());
                }
            }
            if self.worker.steps().is_multiple_of(MEASURE) || step == Step::Finished {
                self.measure()?;
            }
            match step {
                Step::Finished => return self.end(),
                Step::Busy | Step::Idle => {}
            }
        }
    }

    /// False if the final tier ended first, which it does only on a failure that it has reported.
    fn send(&self, parcel: Parcel) -> bool {
        self.sender.send((self.number, Sent::Parcel(parcel))).is_ok()
    }

    /// Shows its open panes. That the final tier has ended is found out soon enough.
    fn look(&mut self, number: u64) -> Result<(), Error> {
        let Some(looks) = &self.looks else { return Ok(()) };
        let panes = self.worker.look(&looks.windows)?;
        let _ = self
            .sender
            .send((self.number, Sent::Look(WorkerLook { number, panes })));
        Ok(())
    }

    fn freeze(&mut self) -> Result<Box<WorkerSnapshot>, Error> {
        let begun = Instant::now();
        let snapshot = self.worker.freeze()?;
        note_pause(&self.metrics, begun);
        Ok(Box::new(snapshot))
    }

    fn end(mut self) -> Result<(), Error> {
        if self.looks.is_some() {
            let _ = self.sender.send((self.number, Sent::Gone));
        }
        if self.keeping.is_some() {
            let snapshot = self.freeze()?;
            self.send(Parcel::Ended(snapshot));
        }
        Ok(())
    }

    fn measure(&mut self) -> Result<(), Error> {
        let open = self.worker.groups();
        if let Ok(mut cell) = self.metrics.open[self.number].lock() {
            *cell = open;
        }
        let all = self.metrics.note_state(self.number, self.worker.size());
        check_memory(all, self.memory, self.spills, &self.metrics)
    }
}

/// The final tier's thread.
pub(crate) struct FinalThread {
    pub finisher: Finisher,
    pub receiver: Receiver<(usize, Sent)>,
    pub shared: Arc<Shared>,
    pub metrics: Arc<Metrics>,
    pub aligner: Aligner,
    pub memory: Option<usize>,
    /// Where state goes that is too large for memory.
    pub spill: Option<Arc<Spill>>,
    /// If checkpoints are kept.
    pub keeping: Option<Durable>,
    /// If open windows are looked at.
    pub gathering: Option<Gathering>,
}

/// The way to the thread that stores checkpoints, and back.
pub(crate) struct Durable {
    pub collect: Sender<Collected>,
    pub durable: Receiver<Option<Written>>,
    pub faults: Arc<dyn Faults>,
    /// A checkpoint is with that thread. Sinks are asked for the next one after they know what became of it: what they gave
    /// last is what a commit means.
    pub in_flight: bool,
}

impl FinalThread {
    pub fn run(mut self) -> Result<(), Error> {
        let worked = self.work().and_then(|()| self.last_checkpoint());
        let goes_on = self.keeping.is_some() && self.shared.stopped_early.load(Relaxed);
        let ended = if worked.is_ok() && !self.shared.failed() && !goes_on {
            self.finisher.close()
        } else {
            // What was written before a failure is made visible all the same, but nothing is called whole; nor is it when
            // another run goes on from here.
            self.finisher.flush()
        };
        // The first error is the one to report.
        worked.and(ended)
    }

    fn work(&mut self) -> Result<(), Error> {
        let durable = self
            .keeping
            .as_ref()
            .map_or_else(never, |keeping| keeping.durable.clone());
        let receiver = self.receiver.clone();
        let mut flushed = Instant::now();
        let mut handled = 0u64;
        loop {
            let wait = if self.finisher.is_dirty() {
                FLUSH.saturating_sub(flushed.elapsed())
            } else {
                FLUSH
            };
            select! {
                recv(receiver) -> sent => {
                    let Ok((worker, sent)) = sent else { return Ok(()) };
                    let turn = self.gather(worker, sent).map(|parcel| self.aligner.take(worker, parcel));
                    let messages = match turn {
                        None => Vec::new(),
                        Some(Turn::Messages(messages)) => messages,
                        Some(Turn::Freeze(workers)) => {
                            self.collect(workers, false)?;
                            self.aligner.release()
                        }
                    };
                    for message in messages {
                        let closes = matches!(message, Message::Closed { .. });
                        let (begun, before) = (Instant::now(), self.metrics.windows.load(Relaxed));
                        self.finisher.handle(message)?;
                        handled += 1;
                        if closes && self.metrics.windows.load(Relaxed) > before {
                            self.metrics.note_closing(begun.elapsed());
                        }
                        if closes || handled.is_multiple_of(MEASURE) {
                            self.measure()?;
                        }
                        if closes || flushed.elapsed() >= FLUSH {
                            self.finisher.flush()?;
                            flushed = Instant::now();
                        }
                    }
                }
                recv(durable) -> written => match written {
                    Ok(written) => self.settle(written)?,
                    // The thread that stores checkpoints ended, on an error that it reports.
                    Err(_) => return Ok(()),
                },
                default(wait) => {
                    self.finisher.flush()?;
                    flushed = Instant::now();
                }
            }
        }
    }

    /// Takes what is about looks out of what workers send.
    fn gather(&mut self, worker: usize, sent: Sent) -> Option<Parcel> {
        match (sent, &mut self.gathering) {
            (Sent::Parcel(parcel), _) => Some(parcel),
            // What this worker closed before waits for a barrier: the look would lack it. It is asked for again.
            (Sent::Look(_), _) if self.aligner.waits(worker) => None,
            (Sent::Look(look), Some(gathering)) => {
                gathering.take(worker, look, &self.finisher);
                None
            }
            (Sent::Gone, Some(gathering)) => {
                gathering.gone(worker, &self.finisher);
                None
            }
            (_, None) => None,
        }
    }

    fn measure(&self) -> Result<(), Error> {
        let mut bytes = self.finisher.size();
        if let Some(spill) = &self.spill {
            bytes += spill.store().memory();
            self.metrics.note_disk(spill.store().disk());
        }
        let all = self.metrics.note_state(self.metrics.workers(), bytes);
        check_memory(all, self.memory, self.spill.is_some(), &self.metrics)
    }

    /// Freezes the final tier and hands everything to the thread that stores it.
    fn collect(&mut self, workers: Vec<WorkerSnapshot>, last: bool) -> Result<(), Error> {
        let Some(keeping) = &self.keeping else { return Ok(()) };
        if keeping.in_flight
            && let Ok(written) = keeping.durable.recv()
        {
            self.settle(written)?;
        }
        let begun = Instant::now();
        let held = self.finisher.prepare()?;
        let snapshot = Snapshot {
            workers,
            end: self.finisher.save()?,
            held,
            counts: self.finisher.counts(),
        };
        note_pause(&self.metrics, begun);
        if let Some(keeping) = &mut self.keeping {
            // Full or gone: only if that thread has failed, which it reports.
            keeping.in_flight = keeping.collect.send(Collected { snapshot, last }).is_ok();
        }
        Ok(())
    }

    /// What became of a checkpoint.
    fn settle(&mut self, written: Option<Written>) -> Result<(), Error> {
        if let Some(keeping) = &mut self.keeping {
            keeping.in_flight = false;
        }
        let Some(written) = written else { return Ok(()) };
        self.finisher.commit(&Checkpoint {
            number: written.number,
            positions: &written.positions,
        })?;
        if let Some(keeping) = &self.keeping {
            keeping.faults.reach(Point::Committed);
        }
        Ok(())
    }

    /// Ended or stopped, but not failed: the state as it is now is stored, and sinks show what they held back.
    fn last_checkpoint(&mut self) -> Result<(), Error> {
        let Some(durable) = self.keeping.as_ref().map(|keeping| keeping.durable.clone()) else {
            return Ok(());
        };
        let Some(workers) = self.aligner.ended() else {
            return Ok(());
        };
        if self.shared.failed() {
            return Ok(());
        }
        self.collect(workers, true)?;
        self.keeping = self.keeping.take().map(|keeping| Durable {
            collect: crossbeam_channel::bounded(0).0,
            ..keeping
        });
        while let Ok(written) = durable.recv() {
            self.settle(written)?;
        }
        Ok(())
    }
}

fn note_pause(metrics: &Metrics, begun: Instant) {
    let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    metrics.longest_pause.fetch_max(micros, Relaxed);
}

fn check_memory(bytes: usize, limit: Option<usize>, spills: bool, metrics: &Metrics) -> Result<(), Error> {
    let Some(limit) = limit.filter(|limit| bytes > *limit) else {
        return Ok(());
    };
    let open = metrics
        .open
        .iter()
        .filter_map(|cell| cell.lock().ok().map(|open| *open));
    let (panes, groups) = open.fold((0, 0), |sum, more| (sum.0 + more.0, sum.1 + more.1));
    let mib = |bytes: usize| bytes.div_ceil(1 << 20);
    let what = if spills {
        "panes are on disk as far as they can be; what stays in memory are sessions, rows that sinks hold back until a checkpoint, \
         and steps behind windows (joins, second aggregations, numbering). Raise the limit, or let fewer rows reach these steps"
    } else {
        "raise the limit, let state go to disk (backend = \"rocksdb\" in [state] of the pipeline file), group by fewer keys, \
         track fewer items, or use shorter windows"
    };
    Err(Error::Memory(format!(
        "state holds {} MiB, over the memory limit of {} MiB: {panes} panes with {groups} groups are open; {what}",
        mib(bytes),
        mib(limit)
    )))
}
