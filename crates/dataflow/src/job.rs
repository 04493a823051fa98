//! Runs a plan: threads for the workers and the final tier, and a handle to watch and stop them. Threads live only here.
//!
//! Messages travel through one bounded channel, so a slow sink slows the sources and memory stays bounded.

use crate::Error;
use crate::clock::{Clock, SystemClock};
use crate::finisher::Finisher;
use crate::frontier::Frontier;
use crate::graph::Graph;
use crate::metrics::{Metrics, PartitionMetrics};
use crate::sink::SinkFactory;
use crate::source::{At, SourceFactory, Start};
use crate::worker::{Message, Owned, Patience, Step, Worker};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use hitters_planner::plan::{NodeKind, Plan};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
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
    /// A partition without rows for so long, its log read to the end, is left out of the watermark.
    pub idle_timeout: Duration,
    /// When all partitions have been silent for so long, open windows are published. `None`: never.
    pub idle_close: Option<Duration>,
}

impl Default for JobOptions {
    fn default() -> Self {
        Self {
            parallelism: 1,
            memory_limit: None,
            idle_timeout: Duration::from_secs(10),
            idle_close: Some(Duration::from_secs(30)),
        }
    }
}

/// How long a worker waits for rows before it looks at the watermarks again: bounds how late a window closes.
const WAIT: Duration = Duration::from_millis(5);
/// Rows become visible in sinks at least this often.
const FLUSH: Duration = Duration::from_millis(100);
/// Messages in flight between workers and the final tier.
const IN_FLIGHT: usize = 256;
/// State is measured once in so many steps of a worker.
const MEASURE: u64 = 32;

/// A running plan.
pub struct Job {
    metrics: Arc<Metrics>,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    started: Instant,
}

/// How a run went.
#[derive(Clone, Debug)]
pub struct Summary {
    /// From start to end.
    pub elapsed: Duration,
    /// True if it was stopped before its sources ended: windows were left open.
    pub stopped: bool,
}

struct Shared {
    stop: AtomicBool,
    failure: Mutex<Option<Error>>,
    stopped_early: AtomicBool,
}

impl Shared {
    fn failed(&self) -> bool {
        self.failure.lock().is_ok_and(|failure| failure.is_some())
    }

    /// The first failure is the one that is reported.
    fn fail(&self, error: Error) {
        if let Ok(mut failure) = self.failure.lock() {
            failure.get_or_insert(error);
        }
        self.stop.store(true, Relaxed);
    }
}

impl Job {
    /// Opens sources and sinks and starts.
    pub fn start(
        plan: Plan,
        sources: &dyn SourceFactory,
        sinks: &dyn SinkFactory,
        options: JobOptions,
    ) -> Result<Self, Error> {
        let graph = Arc::new(Graph::new(plan)?);
        let mut opened = Vec::new();
        let (mut owned, mut progress) = (Vec::new(), Vec::new());
        for (number, id) in graph.sources.iter().enumerate() {
            let NodeKind::Source(node) = &graph.plan.nodes[*id].kind else {
                continue;
            };
            let mut source = sources.open(node)?;
            for partition in source.partitions()? {
                owned.push(Owned {
                    partition: owned.len(),
                    source: number,
                    number: partition.number,
                });
                progress.push(PartitionMetrics::new(
                    node.table.name.clone(),
                    partition.number,
                    partition.rows,
                ));
            }
            opened.push(source);
        }
        let workers = options.parallelism.clamp(1, owned.len().max(1));
        let frontier = Arc::new(Frontier::new(owned.len()));
        let metrics = Arc::new(Metrics::new(workers, progress));
        let finisher = Finisher::new(graph.clone(), metrics.clone(), workers, sinks)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            failure: Mutex::new(None),
            stopped_early: AtomicBool::new(false),
        });
        let patience = Patience {
            idle_timeout: options.idle_timeout,
            idle_close: options.idle_close,
        };
        let (sender, receiver) = bounded(IN_FLIGHT);
        let mut threads = Vec::with_capacity(workers + 1);
        for number in 0..workers {
            let mine: Vec<Owned> = owned
                .iter()
                .copied()
                .filter(|o| o.partition % workers == number)
                .collect();
            let mut readers = Vec::with_capacity(opened.len());
            for (source, open) in opened.iter_mut().enumerate() {
                let starts: Vec<Start> = mine
                    .iter()
                    .filter(|o| o.source == source)
                    .map(|o| Start {
                        number: o.number,
                        at: At::Options,
                    })
                    .collect();
                readers.push(if starts.is_empty() {
                    None
                } else {
                    Some(open.reader(&starts)?)
                });
            }
            let shared_parts = (graph.clone(), frontier.clone(), metrics.clone());
            let worker = Worker::new(number, shared_parts, patience, mine, readers, &owned, clock.now());
            let thread = WorkerThread {
                number,
                worker,
                sender: sender.clone(),
                shared: shared.clone(),
                clock: clock.clone(),
                metrics: metrics.clone(),
                memory: options.memory_limit,
            };
            threads.push(spawn(format!("worker {number}"), move || thread.run())?);
        }
        drop(sender);
        let end = FinalThread {
            finisher,
            receiver,
            shared: shared.clone(),
            metrics: metrics.clone(),
            workers,
            memory: options.memory_limit,
        };
        threads.push(spawn("final".to_string(), move || end.run())?);
        Ok(Self {
            metrics,
            shared,
            threads,
            started: Instant::now(),
        })
    }

    /// What it counts.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
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

struct WorkerThread {
    number: usize,
    worker: Worker,
    sender: Sender<Message>,
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    memory: Option<usize>,
}

impl WorkerThread {
    fn run(mut self) {
        if let Err(error) = self.work() {
            self.shared.fail(error);
        }
    }

    fn work(&mut self) -> Result<(), Error> {
        loop {
            if self.shared.stop.load(Relaxed) {
                self.shared.stopped_early.store(true, Relaxed);
                return Ok(());
            }
            let step = self.worker.step(self.clock.now(), WAIT)?;
            for message in self.worker.take_output() {
                if self.sender.send(message).is_err() {
                    // The final tier ended first, which it does only on a failure that it has reported.
                    return Ok(());
                }
            }
            if self.worker.steps().is_multiple_of(MEASURE) || step == Step::Finished {
                self.measure()?;
            }
            match step {
                Step::Finished => return Ok(()),
                Step::Busy | Step::Idle => {}
            }
        }
    }

    fn measure(&mut self) -> Result<(), Error> {
        let open = self.worker.groups();
        if let Ok(mut cell) = self.metrics.open[self.number].lock() {
            *cell = open;
        }
        let all = self.metrics.note_state(self.number, self.worker.size());
        check_memory(all, self.memory, &self.metrics)
    }
}

struct FinalThread {
    finisher: Finisher,
    receiver: Receiver<Message>,
    shared: Arc<Shared>,
    metrics: Arc<Metrics>,
    workers: usize,
    memory: Option<usize>,
}

impl FinalThread {
    fn run(mut self) {
        let worked = self.work();
        let ended = if worked.is_ok() && !self.shared.failed() {
            self.finisher.close()
        } else {
            // What was written before a failure is made visible all the same, but nothing is called whole.
            self.finisher.flush()
        };
        // The first error is the one to report.
        if let Err(error) = worked.and(ended) {
            self.shared.fail(error);
        }
    }

    fn work(&mut self) -> Result<(), Error> {
        let mut flushed = Instant::now();
        let mut handled = 0u64;
        loop {
            let wait = if self.finisher.is_dirty() {
                FLUSH.saturating_sub(flushed.elapsed())
            } else {
                FLUSH
            };
            match self.receiver.recv_timeout(wait) {
                Ok(message) => {
                    let closes = matches!(message, Message::Closed { .. });
                    self.finisher.handle(message)?;
                    handled += 1;
                    if closes || handled.is_multiple_of(MEASURE) {
                        let all = self.metrics.note_state(self.workers, self.finisher.size());
                        check_memory(all, self.memory, &self.metrics)?;
                    }
                    if closes || flushed.elapsed() >= FLUSH {
                        self.finisher.flush()?;
                        flushed = Instant::now();
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.finisher.flush()?;
                    flushed = Instant::now();
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }
}

fn spawn(name: String, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    let thread = std::thread::Builder::new().name(name).spawn(run);
    thread.map_err(|error| Error::State(format!("cannot start a thread: {error}")))
}

fn check_memory(bytes: usize, limit: Option<usize>, metrics: &Metrics) -> Result<(), Error> {
    let Some(limit) = limit.filter(|limit| bytes > *limit) else {
        return Ok(());
    };
    let open = metrics
        .open
        .iter()
        .filter_map(|cell| cell.lock().ok().map(|open| *open));
    let (panes, groups) = open.fold((0, 0), |sum, more| (sum.0 + more.0, sum.1 + more.1));
    let mib = |bytes: usize| bytes.div_ceil(1 << 20);
    Err(Error::Memory(format!(
        "state holds {} MiB, over the memory limit of {} MiB: {panes} panes with {groups} groups are open; raise the limit, \
         group by fewer keys, track fewer items, or use shorter windows",
        mib(bytes),
        mib(limit)
    )))
}
