//! Runs a plan: threads for the workers and the final tier, and a handle to watch and stop them. Threads live only here.
//!
//! Messages travel through one bounded channel, so a slow sink slows the sources and memory stays bounded.

use crate::Error;
use crate::checkpoint::Checkpoints;
use crate::checkpoint::align::Aligner;
use crate::checkpoint::layout::{Layout, source};
use crate::checkpoint::restore::{Restored, restore};
use crate::checkpoint::thread::Checkpointer;
use crate::checkpoint::writer::{Writer, start_of};
use crate::clock::{Clock, SystemClock};
use crate::finisher::Finisher;
use crate::frontier::Frontier;
use crate::graph::Graph;
use crate::look::{self, Looker};
use crate::metrics::{Metrics, PartitionMetrics};
use crate::sink::{Checkpoint, Position, SinkFactory};
use crate::source::{At, Source, SourceFactory, Start};
use crate::spill::Spill;
use crate::threads::{Durable, FinalThread, Looks, WorkerThread};
use crate::worker::{Owned, Patience, Worker};
use crossbeam_channel::bounded;
use hitters_planner::plan::{NodeId, Plan};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How to run a plan.
#[derive(Clone, Debug)]
pub struct JobOptions {
    /// Threads that read and aggregate; at most one for each partition is used.
    pub parallelism: usize,
    /// Bytes of state over which the run ends with an error. `None`: no limit.
    pub memory_limit: Option<usize>,
    /// Where panes go that are too large for memory. `None`: nowhere.
    pub spill: Option<Arc<Spill>>,
    /// A partition without rows for so long, its log read to the end, is left out of the watermark.
    pub idle_timeout: Duration,
    /// When all partitions have been silent for so long, open windows are published. `None`: never.
    pub idle_close: Option<Duration>,
    /// Sinks of the plan for whose rows open windows can be looked at ([`Job::looker`]).
    pub looks: Vec<NodeId>,
}

impl Default for JobOptions {
    fn default() -> Self {
        Self {
            parallelism: 1,
            memory_limit: None,
            spill: None,
            idle_timeout: Duration::from_secs(10),
            idle_close: Some(Duration::from_secs(30)),
            looks: Vec::new(),
        }
    }
}

/// Messages in flight between workers and the final tier.
const IN_FLIGHT: usize = 256;

/// A running plan.
pub struct Job {
    metrics: Arc<Metrics>,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    started: Instant,
    looker: Option<Looker>,
}

/// How a run went.
#[derive(Clone, Debug)]
pub struct Summary {
    /// From start to end.
    pub elapsed: Duration,
    /// True if it was stopped before its sources ended: windows were left open.
    pub stopped: bool,
}

/// What the threads of a job share.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) stop: AtomicBool,
    failure: Mutex<Option<Error>>,
    pub(crate) stopped_early: AtomicBool,
}

impl Shared {
    /// The first failure is the one that is reported.
    pub(crate) fn fail(&self, error: Error) {
        if let Ok(mut failure) = self.failure.lock() {
            failure.get_or_insert(error);
        }
        self.stop.store(true, Relaxed);
    }

    pub(crate) fn failed(&self) -> bool {
        self.failure.lock().is_ok_and(|failure| failure.is_some())
    }
}

impl Job {
    /// Opens sources and sinks and starts. With checkpoints, goes on from the newest one.
    pub fn start(
        plan: Plan,
        sources: &dyn SourceFactory,
        sinks: &dyn SinkFactory,
        options: JobOptions,
        checkpoints: Option<Checkpoints>,
    ) -> Result<Self, Error> {
        let graph = Arc::new(Graph::new(plan)?);
        let Opened {
            mut sources,
            mut owned,
            mut progress,
        } = open(&graph, sources)?;
        let mut keeping = checkpoints
            .map(|checkpoints| Keeping::begin(checkpoints, &graph, &mut owned, options.spill.as_ref()))
            .transpose()?;
        for (owned, progress) in owned.iter().zip(&mut progress) {
            *progress.position.get_mut() = owned.start.unwrap_or(-1);
        }
        let workers = options.parallelism.clamp(1, owned.len().max(1));
        let frontier = Arc::new(Frontier::new(owned.len()));
        let mut metrics = Metrics::new(workers, progress);
        if let Some(keeping) = &keeping {
            metrics.before = keeping.writer.before();
            *metrics.checkpoint.get_mut() = keeping.writer.number();
        }
        let metrics = Arc::new(metrics);
        let mut finisher = Finisher::new(graph.clone(), metrics.clone(), workers, sinks)?;
        if let Some(spill) = &options.spill {
            finisher.spill_to(spill);
        }
        if let Some(keeping) = &mut keeping {
            keeping.recover(&mut finisher, &owned)?;
        }
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let shared = Arc::new(Shared::default());
        let wanted = Arc::new(AtomicU64::new(0));
        let patience = Patience {
            idle_timeout: options.idle_timeout,
            idle_close: options.idle_close,
        };
        let looks = Arc::new(AtomicU64::new(0));
        let looked_at: Arc<[usize]> = look::windows(&graph, &options.looks).into();
        let (looker, gathering) = match looked_at.is_empty() {
            true => (None, None),
            false => {
                let (looker, gathering) = Looker::new(graph.clone(), looks.clone(), workers);
                (Some(looker), Some(gathering))
            }
        };
        let (sender, receiver) = bounded(IN_FLIGHT);
        let mut running = Vec::with_capacity(workers);
        for number in 0..workers {
            let mine: Vec<Owned> = owned
                .iter()
                .copied()
                .filter(|o| o.partition % workers == number)
                .collect();
            let mut readers = Vec::with_capacity(sources.len());
            for (source, (_, open)) in sources.iter_mut().enumerate() {
                let starts: Vec<Start> = mine
                    .iter()
                    .filter(|o| o.source == source)
                    .map(|o| Start {
                        number: o.number,
                        at: keeping.as_ref().map_or(At::Options, |k| k.restored.starts[o.partition]),
                    })
                    .collect();
                readers.push(if starts.is_empty() {
                    None
                } else {
                    Some(open.reader(&starts)?)
                });
            }
            let shared_parts = (graph.clone(), frontier.clone(), metrics.clone());
            let mut worker = Worker::new(number, shared_parts, patience, mine, readers, &owned, clock.now());
            if let Some(spill) = &options.spill {
                worker.spill_to(spill, workers);
            }
            if let Some(keeping) = &keeping {
                worker.load(&keeping.restored.state, workers)?;
            }
            running.push(WorkerThread {
                number,
                worker,
                sender: sender.clone(),
                shared: shared.clone(),
                clock: clock.clone(),
                metrics: metrics.clone(),
                memory: options.memory_limit,
                spills: options.spill.is_some(),
                keeping: keeping
                    .as_ref()
                    .map(|keeping| (wanted.clone(), keeping.checkpoints.faults.clone())),
                looks: looker.as_ref().map(|_| Looks {
                    wanted: looks.clone(),
                    windows: looked_at.clone(),
                }),
            });
        }
        drop(sender);
        let (collect, collected) = bounded(1);
        let (tell, durable) = bounded(1);
        let mut threads = Vec::with_capacity(workers + 2);
        let end = FinalThread {
            finisher,
            receiver,
            shared: shared.clone(),
            metrics: metrics.clone(),
            aligner: Aligner::new(workers),
            memory: options.memory_limit,
            spill: options.spill.clone(),
            keeping: keeping.as_ref().map(|keeping| Durable {
                collect,
                durable,
                in_flight: false,
                faults: keeping.checkpoints.faults.clone(),
            }),
            gathering,
        };
        // The final tier first: should a thread not start, workers that run find nobody to send to, and end.
        threads.push(spawn("final".to_string(), &shared, move || end.run())?);
        if let Some(Keeping {
            checkpoints, writer, ..
        }) = keeping
        {
            let mut checkpointer = Checkpointer {
                checkpoints,
                writer,
                wanted,
                collected,
                durable: tell,
                sources,
                metrics: metrics.clone(),
            };
            let failing = shared.clone();
            threads.push(spawn("checkpoints".to_string(), &shared, move || {
                // The failure stands before the channels close: the final tier must not take their end for a good one.
                if let Err(error) = checkpointer.run() {
                    failing.fail(error);
                }
                Ok(())
            })?);
        }
        for thread in running {
            threads.push(spawn(format!("worker {}", thread.number), &shared, move || {
                thread.run()
            })?);
        }
        Ok(Self {
            metrics,
            shared,
            threads,
            started: Instant::now(),
            looker,
        })
    }

    /// What it counts.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// What looks at its open windows, if [`JobOptions::looks`] names sinks that they lead to.
    pub fn looker(&self) -> Option<&Looker> {
        self.looker.as_ref()
    }

    /// A cheap handle that stops the run from elsewhere (a signal handler): rows read so far are processed and written,
    /// open windows stay unpublished.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.shared.clone())
    }

    /// True when all threads have ended.
    pub fn is_finished(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Waits for the end.
    pub fn join(self) -> Result<Summary, Error> {
        for thread in self.threads {
            if thread.join().is_err() {
                self.shared.fail(Error::State(
                    "a thread of the engine panicked: please report this".to_string(),
                ));
            }
        }
        let failure = self.shared.failure.lock().ok().and_then(|mut failure| failure.take());
        match failure {
            Some(error) => Err(error),
            None => Ok(Summary {
                elapsed: self.started.elapsed(),
                stopped: self.shared.stopped_early.load(Relaxed),
            }),
        }
    }
}

/// Stops a run.
#[derive(Clone)]
pub struct Stopper(Arc<Shared>);

impl Stopper {
    /// Asks the run to end.
    pub fn stop(&self) {
        self.0.stop.store(true, Relaxed);
    }
}

/// The sources of a graph, opened, with their partitions.
struct Opened {
    /// By source of the graph, with their tables.
    sources: Vec<(String, Box<dyn Source>)>,
    owned: Vec<Owned>,
    progress: Vec<PartitionMetrics>,
}

fn open(graph: &Graph, factory: &dyn SourceFactory) -> Result<Opened, Error> {
    let mut opened = Opened {
        sources: Vec::new(),
        owned: Vec::new(),
        progress: Vec::new(),
    };
    for number in 0..graph.sources.len() {
        let Some(node) = source(graph, number) else { continue };
        let mut source = factory.open(node)?;
        for partition in source.partitions()? {
            opened.owned.push(Owned {
                partition: opened.owned.len(),
                source: number,
                number: partition.number,
                start: partition.start,
            });
            let table = node.table.name.clone();
            opened
                .progress
                .push(PartitionMetrics::new(table, partition.number, partition.rows));
        }
        opened.sources.push((node.table.name.clone(), source));
    }
    Ok(opened)
}

/// A run that keeps checkpoints, before its threads begin.
struct Keeping {
    checkpoints: Checkpoints,
    writer: Writer,
    restored: Restored,
}

impl Keeping {
    /// Fits the state that was found to the graph; a state that begins is stored at once, so that it is known from where
    /// its partitions are read.
    fn begin(
        mut checkpoints: Checkpoints,
        graph: &Graph,
        owned: &mut [Owned],
        spill: Option<&Arc<Spill>>,
    ) -> Result<Self, Error> {
        let layout = Layout::new(graph, owned);
        let windows: Vec<_> = graph.windows.iter().map(|window| window.grouping.clone()).collect();
        let restored = restore(&mut checkpoints.claim, &layout, &windows, spill)?;
        for note in checkpoints.claim.notes().iter().chain(&restored.notes) {
            (checkpoints.report)(note);
        }
        for (owned, at) in owned.iter_mut().zip(&restored.starts) {
            owned.start = start_of(*at, owned.start);
        }
        let mut writer = Writer::new(&checkpoints.claim, layout, checkpoints.keep, checkpoints.faults.clone());
        if restored.state.read.is_empty() {
            writer.begin(&owned.iter().map(|owned| owned.start).collect::<Vec<_>>())?;
        }
        Ok(Self {
            checkpoints,
            writer,
            restored,
        })
    }

    /// The final tier goes on from the state; sinks make up for what they had not committed.
    fn recover(&mut self, finisher: &mut Finisher, owned: &[Owned]) -> Result<(), Error> {
        finisher.load(std::mem::take(&mut self.restored.state.end))?;
        let positions: Vec<Position> = owned
            .iter()
            .zip(self.writer.partitions())
            .filter_map(|(owned, name)| {
                Some(Position {
                    table: name.table.clone(),
                    partition: name.number,
                    next: owned.start?,
                })
            })
            .collect();
        for (node, number, held) in &self.restored.held {
            let checkpoint = Checkpoint {
                number: *number,
                positions: &positions,
            };
            finisher.recover(*node, &checkpoint, held)?;
        }
        Ok(())
    }
}

fn spawn(
    name: String,
    shared: &Arc<Shared>,
    run: impl FnOnce() -> Result<(), Error> + Send + 'static,
) -> Result<JoinHandle<()>, Error> {
    let shared = shared.clone();
    let run = move || {
        if let Err(error) = run() {
            shared.fail(error);
        }
    };
    let thread = std::thread::Builder::new().name(name).spawn(run);
    thread.map_err(|error| Error::State(format!("cannot start a thread: {error}")))
}
