//! One run from its start to its end or death, a step at a time: what the threads of a job do, in an order that a seed decides.

use super::outside::Outside;
use super::reader::MemoryReader;
use super::store::Memory;
use super::{Log, Query, Random, plan};
use hitters_dataflow::Error;
use hitters_dataflow::checkpoint::align::{Aligner, Parcel, Turn};
use hitters_dataflow::checkpoint::layout::Layout;
use hitters_dataflow::checkpoint::restore::restore;
use hitters_dataflow::checkpoint::snapshot::{Snapshot, WorkerSnapshot};
use hitters_dataflow::checkpoint::writer::{Writer, Written, start_of};
use hitters_dataflow::checkpoint::{Claim, NoFaults};
use hitters_dataflow::finisher::Finisher;
use hitters_dataflow::frontier::Frontier;
use hitters_dataflow::graph::Graph;
use hitters_dataflow::metrics::{Metrics, PartitionMetrics};
use hitters_dataflow::sink::{Checkpoint, Position};
use hitters_dataflow::source::Reader;
use hitters_dataflow::spill::Spill;
use hitters_dataflow::worker::{Owned, Patience, Step, Worker};
use hitters_planner::window::Window;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// What all runs have in common.
pub struct World {
    pub window: Window,
    pub query: Query,
    pub log: Arc<Log>,
    pub longest: u64,
    pub outside: Outside,
    pub store: Arc<Memory>,
    /// What a run spills to: a store of its own. `None`: state stays in memory.
    pub spill: Option<Spilling>,
}

/// Makes the place that one run spills to, with shares that a seed decides.
pub type Spilling = Arc<dyn Fn(&mut Random) -> Option<Arc<Spill>>>;

/// A run.
pub struct Life {
    lanes: Vec<Lane>,
    aligner: Aligner,
    finisher: Finisher,
    metrics: Arc<Metrics>,
    keeping: Option<Keeping>,
    /// Workers end when they see this.
    pub stopping: bool,
    /// The bytes of the largest worker seen.
    pub largest: usize,
}

struct Lane {
    worker: Worker,
    queue: VecDeque<Parcel>,
    barriers: u64,
    ended: bool,
}

/// The thread that stores checkpoints.
struct Keeping {
    writer: Writer,
    cleaned: bool,
    /// Barriers asked for.
    wanted: u64,
    asked: bool,
    /// Handed over, not stored yet; whether it is the last.
    snapshot: Option<(Snapshot, bool)>,
    /// What became of it, not seen by the final tier yet.
    outcome: Option<Option<Written>>,
    on_its_way: bool,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Did {
    /// Something, or nothing.
    Something,
    /// A checkpoint became durable.
    Stored,
    /// Everything: the run is over.
    All,
}

impl World {
    fn owned(&self) -> Vec<Owned> {
        let owned = (0..self.log.len()).map(|partition| Owned {
            partition,
            source: 0,
            number: partition as i32,
            start: Some(0),
        });
        owned.collect()
    }

    /// Starts a run, on the newest checkpoint if it keeps any: at most `keep` of them. From the claim on `meanwhile` is called
    /// between its steps: others may move.
    pub fn start(
        &self,
        random: &mut Random,
        workers: usize,
        keep: Option<usize>,
        mut meanwhile: impl FnMut(&mut Random),
    ) -> Result<Life, Error> {
        let graph = Arc::new(Graph::new(plan(self.window, self.query)).unwrap());
        let mut owned = self.owned();
        let mut attempt = None;
        let mut begun = None;
        let spill = self.spill.as_ref().and_then(|spilling| spilling(random));
        if let Some(keep) = keep {
            // Objects are read again when they are restored, or not.
            let hold = if spill.is_some() { 0 } else { usize::MAX };
            let mut claim = Claim::take_holding(self.store.clone(), hold)?;
            meanwhile(random);
            let layout = Layout::new(&graph, &owned);
            let windows: Vec<_> = graph.windows.iter().map(|window| window.grouping.clone()).collect();
            let restored = restore(&mut claim, &layout, &windows, spill.as_ref())?;
            for (owned, at) in owned.iter_mut().zip(&restored.starts) {
                owned.start = start_of(*at, owned.start);
            }
            let mut writer = Writer::new(&claim, layout, keep, Arc::new(NoFaults));
            if restored.state.read.is_empty() {
                writer.begin(&owned.iter().map(|owned| owned.start).collect::<Vec<_>>())?;
            }
            attempt = Some(claim.attempt());
            begun = Some((writer, restored));
        }
        let partition = |number: usize| PartitionMetrics::new("events".into(), number as i32, None);
        let mut metrics = Metrics::new(workers, (0..self.log.len()).map(partition).collect());
        metrics.before = begun.as_ref().map(|(writer, _)| writer.before()).unwrap_or_default();
        let metrics = Arc::new(metrics);
        meanwhile(random);
        let sinks = self.outside.sinks(attempt);
        let mut finisher = Finisher::new(graph.clone(), metrics.clone(), workers, &sinks)?;
        if let Some(spill) = &spill {
            finisher.spill_to(spill);
        }
        let mut keeping = None;
        let mut state = None;
        if let Some((writer, mut restored)) = begun {
            finisher.load(std::mem::take(&mut restored.state.end))?;
            meanwhile(random);
            if restored.held.is_empty() {
                self.outside.show_from(0);
            }
            for (node, number, held) in &restored.held {
                let checkpoint = Checkpoint {
                    number: *number,
                    positions: &[],
                };
                finisher.recover(*node, &checkpoint, held)?;
            }
            state = Some(restored.state);
            keeping = Some(Keeping {
                writer,
                cleaned: false,
                wanted: 0,
                asked: false,
                snapshot: None,
                outcome: None,
                on_its_way: false,
            });
        }
        let frontier = Arc::new(Frontier::new(self.log.len()));
        let mut lanes = Vec::with_capacity(workers);
        for number in 0..workers {
            let mine: Vec<Owned> = owned
                .iter()
                .copied()
                .filter(|o| o.partition % workers == number)
                .collect();
            let starts = mine.iter().map(|owned| (owned.partition, owned.start.unwrap()));
            let reader = MemoryReader::new(self.log.clone(), starts, random.below(u64::MAX), self.longest);
            let patience = Patience {
                idle_timeout: Duration::MAX,
                idle_close: None,
            };
            let parts = (graph.clone(), frontier.clone(), metrics.clone());
            let readers: Vec<Option<Box<dyn Reader>>> = vec![Some(Box::new(reader))];
            let mut worker = Worker::new(number, parts, patience, mine, readers, &owned, Duration::ZERO);
            if let Some(spill) = &spill {
                worker.spill_to(spill, workers);
            }
            if let Some(state) = &state {
                worker.load(state, workers)?;
            }
            lanes.push(Lane {
                worker,
                queue: VecDeque::new(),
                barriers: 0,
                ended: false,
            });
        }
        Ok(Life {
            aligner: Aligner::new(workers),
            lanes,
            finisher,
            metrics,
            keeping,
            stopping: false,
            largest: 0,
        })
    }
}

impl Life {
    /// Late rows since the state began.
    pub fn late(&self) -> u64 {
        self.metrics.counts().late
    }

    /// Rows given to sinks and records read since the state began.
    pub fn counted(&self) -> (u64, u64) {
        let counts = self.metrics.counts();
        (counts.rows_out, counts.records)
    }

    /// Checkpoints that this run stored and failed to store.
    pub fn checkpoints(&self) -> (u64, u64) {
        (
            self.metrics.checkpoints.load(Relaxed),
            self.metrics.checkpoints_failed.load(Relaxed),
        )
    }

    /// Asks for a barrier, if the checkpoint before is done.
    pub fn ask(&mut self) {
        if let Some(keeping) = &mut self.keeping
            && !std::mem::replace(&mut keeping.asked, true)
        {
            keeping.wanted += 1;
        }
    }

    /// One step of one of the threads.
    pub fn step(&mut self, random: &mut Random) -> Result<Did, Error> {
        let lane = random.below(self.lanes.len() as u64) as usize;
        match random.below(8) {
            0..3 => self.work(lane)?,
            3..6 => {
                if let Some(parcel) = self.lanes[lane].queue.pop_front() {
                    self.take(lane, parcel)?;
                }
            }
            6 => return self.store(),
            _ => self.settle()?,
        }
        if self.lanes.iter().all(|lane| lane.ended && lane.queue.is_empty()) {
            return self.end();
        }
        Ok(Did::Something)
    }

    /// A worker's thread.
    fn work(&mut self, number: usize) -> Result<(), Error> {
        let wanted = self.keeping.as_ref().map_or(0, |keeping| keeping.wanted);
        let keeps = self.keeping.is_some();
        let lane = &mut self.lanes[number];
        if lane.ended {
            return Ok(());
        }
        if !self.stopping {
            if wanted > lane.barriers {
                lane.barriers = wanted;
                lane.queue.push_back(Parcel::Barrier(Box::new(lane.worker.freeze()?)));
            }
            let step = lane.worker.step(Duration::ZERO, Duration::ZERO)?;
            lane.queue
                .extend(lane.worker.take_output().into_iter().map(Parcel::Message));
            self.largest = self.largest.max(lane.worker.size());
            if step != Step::Finished {
                return Ok(());
            }
        }
        lane.ended = true;
        if keeps {
            lane.queue.push_back(Parcel::Ended(Box::new(lane.worker.freeze()?)));
        }
        Ok(())
    }

    /// The final tier takes something in.
    fn take(&mut self, lane: usize, parcel: Parcel) -> Result<(), Error> {
        let messages = match self.aligner.take(lane, parcel) {
            Turn::Messages(messages) => messages,
            Turn::Freeze(workers) => {
                self.collect(workers, false)?;
                self.aligner.release()
            }
        };
        messages
            .into_iter()
            .try_for_each(|message| self.finisher.handle(message))
    }

    fn collect(&mut self, workers: Vec<WorkerSnapshot>, last: bool) -> Result<(), Error> {
        if self.keeping.as_ref().is_some_and(|keeping| keeping.on_its_way) {
            while self.keeping.as_ref().is_some_and(|keeping| keeping.outcome.is_none()) {
                self.store()?;
            }
            self.settle()?;
        }
        let held = self.finisher.prepare()?;
        let snapshot = Snapshot {
            workers,
            end: self.finisher.save()?,
            held,
            counts: self.finisher.counts(),
        };
        if let Some(keeping) = &mut self.keeping {
            keeping.on_its_way = true;
            keeping.snapshot = Some((snapshot, last));
        }
        Ok(())
    }

    /// The thread that stores checkpoints.
    fn store(&mut self) -> Result<Did, Error> {
        let Some(keeping) = &mut self.keeping else {
            return Ok(Did::Something);
        };
        if !std::mem::replace(&mut keeping.cleaned, true) {
            // A failure is only told: what is left over is tidied up by the next run.
            let _ = keeping.writer.clean();
            return Ok(Did::Something);
        }
        let Some((snapshot, last)) = keeping.snapshot.take() else {
            return Ok(Did::Something);
        };
        let written = match keeping.writer.write(snapshot) {
            Ok(written) => Some(written),
            Err(Error::Checkpoint(_)) if !last => None,
            Err(error) => return Err(error),
        };
        let counter = if written.is_some() {
            &self.metrics.checkpoints
        } else {
            &self.metrics.checkpoints_failed
        };
        counter.fetch_add(1, Relaxed);
        let did = if written.is_some() { Did::Stored } else { Did::Something };
        if written.is_some() {
            let _ = keeping.writer.prune();
        }
        keeping.outcome = Some(written);
        keeping.asked = false;
        Ok(did)
    }

    /// The final tier learns what became of a checkpoint.
    fn settle(&mut self) -> Result<(), Error> {
        let Some(keeping) = &mut self.keeping else {
            return Ok(());
        };
        let Some(stored) = keeping.outcome.take() else {
            return Ok(());
        };
        keeping.on_its_way = false;
        let Some(written) = stored else {
            return Ok(());
        };
        let positions: &[Position] = &written.positions;
        self.finisher.commit(&Checkpoint {
            number: written.number,
            positions,
        })
    }

    /// All workers have ended.
    fn end(&mut self) -> Result<Did, Error> {
        if let Some(workers) = self.aligner.ended() {
            self.collect(workers, true)?;
            while self.keeping.as_ref().is_some_and(|keeping| keeping.outcome.is_none()) {
                self.store()?;
            }
            self.settle()?;
        }
        if self.stopping {
            self.finisher.flush()?
        } else {
            self.finisher.close()?
        }
        Ok(Did::All)
    }
}
