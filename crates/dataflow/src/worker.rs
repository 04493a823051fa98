//! The worker tier: reads some partitions, runs the steps before the first window, and keeps open panes.
//!
//! A worker is a step function: [`Worker::step`] reads at most one batch of each source and puts what the final tier
//! should know into its output, in order. It owns no thread and asks no clock.

use crate::Error;
use crate::batch::{Batch, record_batch};
use crate::checkpoint::snapshot::{Read, State, WorkerSnapshot};
use crate::event_time::EventTime;
use crate::expr::{evaluate_predicate, project};
use crate::frontier::{END, Frontier, Progress, START};
use crate::graph::{Graph, Tier};
use crate::look::{MOST_GROUPS, OpenPanes};
use crate::metrics::{Counts, Metrics};
use crate::panes::{PanePartial, Panes, completion, pane_start, pane_width};
use crate::silence::Silence;
use crate::source::{Poll, Reader, Rows};
use crate::spill::Spill;
use crate::unnest::unnest;
use arrow::array::RecordBatch;
use hitters_planner::plan::{NodeId, NodeKind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// What a worker tells the final tier.
#[derive(Debug)]
pub enum Message {
    /// Rows without a window for an input of a final step.
    Rows {
        /// The step.
        node: NodeId,
        /// Its input.
        input: usize,
        /// The rows.
        rows: RecordBatch,
    },
    /// A closed pane.
    Pane {
        /// Position among the windows of the graph.
        window: usize,
        /// Its groups.
        pane: PanePartial,
    },
    /// This worker has closed all panes of some windows that end at or before a time. Windows over the same partitions come together, up to
    /// the same watermark.
    Closed {
        /// Number of the worker.
        worker: usize,
        /// Positions among the windows of the graph, and times.
        times: Vec<(usize, i64)>,
    },
}

/// When silence counts.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// A partition without rows for so long, its log read to the end, is left out of the watermark.
    pub idle_timeout: Duration,
    /// When all partitions have been silent for so long, open windows are published. `None`: never.
    pub idle_close: Option<Duration>,
}

/// A partition that a worker reads.
#[derive(Clone, Copy, Debug)]
pub struct Owned {
    /// Position among all partitions of the dataflow.
    pub partition: usize,
    /// Number of its source.
    pub source: usize,
    /// Number within the source.
    pub number: i32,
    /// Where it is read from, if that is known.
    pub start: Option<i64>,
}

struct OwnedState {
    owned: Owned,
    ended: bool,
    silence: Silence,
    /// Where reading goes on, once rows have come.
    next: Option<i64>,
}

/// One worker.
pub struct Worker {
    number: usize,
    graph: Arc<Graph>,
    frontier: Arc<Frontier>,
    metrics: Arc<Metrics>,
    patience: Patience,
    owned: Vec<OwnedState>,
    /// Readers by source.
    readers: Vec<Option<Box<dyn Reader>>>,
    event_times: Vec<EventTime>,
    /// By window of the graph, with the time up to which it is closed.
    panes: Vec<(Panes, i64)>,
    /// All partitions of the sources of each window.
    window_partitions: Vec<Vec<usize>>,
    output: Vec<Message>,
    counts: Counts,
    steps: u64,
    /// Bytes of open panes over which the largest go to disk.
    share: usize,
}

/// How a step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Rows came.
    Busy,
    /// No rows came.
    Idle,
    /// All partitions ended and all windows are closed.
    Finished,
}

impl Worker {
    /// `readers` stand by source; `partitions` are those of all workers with their sources.
    pub fn new(
        number: usize,
        (graph, frontier, metrics): (Arc<Graph>, Arc<Frontier>, Arc<Metrics>),
        patience: Patience,
        owned: Vec<Owned>,
        readers: Vec<Option<Box<dyn Reader>>>,
        partitions: &[Owned],
        now: Duration,
    ) -> Self {
        let nodes = &graph.plan.nodes;
        let event_times = graph.sources.iter().filter_map(|id| match &nodes[*id].kind {
            NodeKind::Source(source) => Some(EventTime::new(source, nodes[*id].schema.clone())),
            _ => None,
        });
        let event_times = event_times.collect();
        let panes = graph.windows.iter().filter_map(|edge| match &nodes[edge.node].kind {
            NodeKind::Window(node) => Some((Panes::new(node.window, edge.grouping.clone(), number), START)),
            _ => None,
        });
        let panes = panes.collect();
        let of_sources = |sources: &[usize]| {
            partitions
                .iter()
                .filter(|p| sources.contains(&p.source))
                .map(|p| p.partition)
                .collect()
        };
        let window_partitions = graph.windows.iter().map(|edge| of_sources(&edge.sources)).collect();
        let owned = owned.into_iter().map(|owned| OwnedState {
            owned,
            ended: false,
            silence: Silence::new(now),
            next: owned.start,
        });
        let owned = owned.collect();
        Self {
            number,
            graph,
            frontier,
            metrics,
            patience,
            owned,
            readers,
            event_times,
            panes,
            window_partitions,
            output: Vec::new(),
            counts: Counts::default(),
            steps: 0,
            share: usize::MAX,
        }
    }

    /// From now on, panes go there when those of this worker, one of `workers`, outgrow their share of the memory.
    pub fn spill_to(&mut self, spill: &Arc<Spill>, workers: usize) {
        self.share = spill.shares.open / workers.max(1);
        self.panes
            .iter_mut()
            .for_each(|(panes, _)| panes.spill_to(spill.clone()));
    }

    /// Reads and processes one batch of each source at most, waiting up to `wait` if there is none.
    pub fn step(&mut self, now: Duration, wait: Duration) -> Result<Step, Error> {
        let mut busy = false;
        let metrics = self.metrics.clone();
        let timeout = self.patience.idle_timeout;
        let waiting = self.readers.iter().flatten().count().max(1) as u32;
        for source in 0..self.readers.len() {
            let Some(reader) = &mut self.readers[source] else {
                continue;
            };
            match reader.poll(wait / waiting)? {
                Poll::Rows(rows) => {
                    busy = true;
                    self.take_rows(source, rows, now)?;
                }
                Poll::CaughtUp(number) => self.note(source, number, |state| {
                    state.silence.end(now, timeout);
                    metrics.partitions[state.owned.partition].caught_up.store(true, Relaxed);
                }),
                Poll::End(number) => {
                    self.note(source, number, |state| {
                        state.ended = true;
                        metrics.partitions[state.owned.partition].caught_up.store(true, Relaxed);
                    });
                    if let Some(state) = self.find(source, number) {
                        self.frontier.end(state.owned.partition);
                    }
                    if self
                        .owned
                        .iter()
                        .filter(|state| state.owned.source == source)
                        .all(|state| state.ended)
                    {
                        self.readers[source] = None;
                    }
                }
                Poll::Idle => {}
            }
        }
        self.listen(now)?;
        self.close()?;
        self.relieve()?;
        self.steps += 1;
        let finished =
            self.owned.iter().all(|state| state.ended) && self.panes.iter().all(|(_, closed)| *closed == END);
        Ok(match (finished, busy) {
            (true, _) => Step::Finished,
            (false, true) => Step::Busy,
            (false, false) => Step::Idle,
        })
    }

    /// What the final tier should know, in order; empties the output.
    pub fn take_output(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.output)
    }

    /// Bytes of state.
    pub fn size(&self) -> usize {
        self.panes.iter().map(|(panes, _)| panes.size()).sum()
    }

    /// Open panes and groups in them, over all windows.
    pub fn groups(&self) -> (usize, usize) {
        self.panes
            .iter()
            .map(|(panes, _)| panes.groups())
            .fold((0, 0), |sum, more| (sum.0 + more.0, sum.1 + more.1))
    }

    /// Number of steps so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// A copy of the state. The output so far belongs before it.
    pub fn freeze(&mut self) -> Result<WorkerSnapshot, Error> {
        let read = self.owned.iter().map(|state| {
            let partition = state.owned.partition;
            Read {
                partition,
                next: state.next,
                watermark: self.frontier.watermark(partition),
                latest: self.frontier.latest(partition),
            }
        });
        let read = read.collect();
        let (frontier, partitions) = (&self.frontier, &self.window_partitions);
        let freeze = |(window, (panes, _)): (usize, &mut (Panes, i64))| {
            let closed = match panes.closed_until() {
                // All inputs have ended. The log may grow, and another run go on: windows behind the last row are not closed.
                END => {
                    let latest = partitions[window].iter().map(|p| frontier.latest(*p)).max();
                    completion(panes.window(), latest.unwrap_or(START))
                }
                closed => closed,
            };
            Ok((panes.freeze()?, closed))
        };
        let windows = self.panes.iter_mut().enumerate().map(freeze);
        Ok(WorkerSnapshot {
            read,
            windows: windows.collect::<Result<_, Error>>()?,
            counts: self.counts,
        })
    }

    /// Its open panes of these windows; `None` if they cannot be looked at. The output so far belongs before it.
    pub fn look(&mut self, windows: &[usize]) -> Result<Option<OpenPanes>, Error> {
        let mut open = Vec::with_capacity(windows.len());
        for window in windows {
            let Some((panes, _)) = self.panes.get_mut(*window) else {
                continue;
            };
            let Some(panes) = panes.look(MOST_GROUPS)? else {
                return Ok(None);
            };
            open.push((*window, panes));
        }
        Ok(Some(open))
    }

    /// Takes its part of a state into a fresh worker, one of `workers`. The slots of panes are partitions; those of
    /// commutative aggregates are the workers of the earlier run, and go to any.
    pub fn load(&mut self, state: &State, workers: usize) -> Result<(), Error> {
        for owned in &mut self.owned {
            if let Some(read) = state.read.iter().find(|read| read.partition == owned.owned.partition) {
                owned.next = read.next;
                self.frontier.restore(read.partition, read.watermark, read.latest);
            }
        }
        for ((panes, _), (saved, until)) in self.panes.iter_mut().zip(&state.windows) {
            panes.load_closed(*until);
            for pane in saved.iter().filter(|pane| pane.slot % workers == self.number) {
                panes.load(pane)?;
                while panes.size() > self.share && panes.relieve()? {}
            }
        }
        Ok(())
    }

    /// Writes open panes to disk, the largest first, until half of the share is free.
    fn relieve(&mut self) -> Result<(), Error> {
        if self.share == usize::MAX || self.size() <= self.share {
            return Ok(());
        }
        while self.size() > self.share / 2 {
            let panes = self.panes.iter_mut().map(|(panes, _)| panes);
            let Some(largest) = panes.max_by_key(|panes| panes.largest()) else {
                break;
            };
            if !largest.relieve()? {
                break;
            }
        }
        Ok(())
    }

    /// Finds out which partitions are silent.
    fn listen(&mut self, now: Duration) -> Result<(), Error> {
        let timeout = self.patience.idle_timeout;
        for state in self.owned.iter_mut().filter(|state| !state.ended) {
            let (silence, owned) = (&mut state.silence, state.owned);
            let out_of_reach = silence.is_out_of_reach(now, timeout);
            if out_of_reach {
                self.frontier.out_of_reach(owned.partition, now);
            }
            if silence.look(now, timeout)
                && let Some(reader) = &mut self.readers[owned.source]
                && !reader.look(owned.number)?
            {
                silence.end(now, timeout);
            }
            if let Some((since, seen)) = silence.silent(timeout).filter(|_| !out_of_reach) {
                self.frontier.idle(owned.partition, since, seen);
            }
        }
        Ok(())
    }

    fn find(&self, source: usize, number: i32) -> Option<&OwnedState> {
        self.owned
            .iter()
            .find(|state| state.owned.source == source && state.owned.number == number)
    }

    fn note(&mut self, source: usize, number: i32, change: impl FnOnce(&mut OwnedState)) {
        let found = self
            .owned
            .iter_mut()
            .find(|s| s.owned.source == source && s.owned.number == number);
        if let Some(state) = found {
            change(state);
        }
    }

    fn take_rows(&mut self, source: usize, rows: Rows, now: Duration) -> Result<(), Error> {
        let number = rows.partition;
        let Some(state) = self.find(source, number) else {
            return Err(Error::State(format!(
                "rows of partition {number}, which this worker does not read"
            )));
        };
        let partition = state.owned.partition;
        let next = rows.next;
        self.note(source, number, |state| {
            state.silence.rows(now);
            state.next = Some(next);
        });
        self.metrics.records.fetch_add(rows.records, Relaxed);
        self.metrics.bytes.fetch_add(rows.bytes, Relaxed);
        self.counts.records += rows.records;
        self.counts.bytes += rows.bytes;
        let progress = &self.metrics.partitions[partition];
        progress.records.fetch_add(rows.records, Relaxed);
        progress.position.store(rows.next, Relaxed);
        progress.caught_up.store(false, Relaxed);
        let mut bad = rows.bad;
        let timed = self.event_times[source].apply(partition, self.frontier.watermark(partition), rows)?;
        if !timed.rejected.is_empty() {
            bad += timed.rejected.len() as u64;
            if let Some(reader) = &mut self.readers[source] {
                reader.reject(&timed.rejected)?;
            }
        }
        self.metrics.bad.fetch_add(bad, Relaxed);
        self.counts.bad += bad;
        progress.latest.fetch_max(timed.latest, Relaxed);
        self.push(self.graph.sources[source], timed.batch)?;
        self.frontier.rows(partition, timed.watermark, timed.latest, now);
        Ok(())
    }

    /// Hands the output of a node to those who take it.
    fn push(&mut self, node: NodeId, batch: Batch) -> Result<(), Error> {
        if batch.rows.num_rows() == 0 {
            return Ok(());
        }
        let graph = self.graph.clone();
        for edge in &graph.consumers[node] {
            let to = &graph.plan.nodes[edge.node];
            match graph.tier(edge.node) {
                Tier::Final => {
                    let rows = batch.rows.clone();
                    self.output.push(Message::Rows {
                        node: edge.node,
                        input: edge.input,
                        rows,
                    });
                }
                Tier::Window => {
                    if let Some((panes, _)) = graph.window_of(edge.node).and_then(|window| self.panes.get_mut(window)) {
                        let late = panes.add(&batch)?;
                        self.metrics.late.fetch_add(late.late, Relaxed);
                        self.metrics.late_idle.fetch_add(late.late_idle, Relaxed);
                        self.counts.late += late.late;
                        self.counts.late_idle += late.late_idle;
                    }
                }
                Tier::Worker => {
                    let next = match &to.kind {
                        NodeKind::Project(exprs) => batch.with_rows(project(exprs, &to.schema, &batch.rows)?),
                        NodeKind::Filter(predicate) => batch.filter(&evaluate_predicate(predicate, &batch.rows)?)?,
                        NodeKind::Unnest { column } => {
                            let (rows, origins) = unnest(&batch.rows, *column, &to.schema)?;
                            batch.take_times(rows, &origins)?
                        }
                        _ => {
                            let columns = batch.rows.columns().to_vec();
                            batch.with_rows(record_batch(to.schema.clone(), columns, batch.rows.num_rows())?)
                        }
                    };
                    self.push(edge.node, next)?;
                }
            }
        }
        Ok(())
    }

    /// Closes the panes that the watermarks allow to close.
    fn close(&mut self) -> Result<(), Error> {
        let (frontier, partitions) = (&self.frontier, &self.window_partitions);
        // Others move the watermark all the while: windows over the same partitions look once.
        let mut looked: Vec<Progress> = Vec::with_capacity(partitions.len());
        for (window, of_window) in partitions.iter().enumerate() {
            let same = partitions[..window].iter().position(|other| other == of_window);
            looked.push(same.map_or_else(|| frontier.progress(of_window), |same| looked[same]));
        }
        let mut times = Vec::new();
        for (window, (panes, closed)) in self.panes.iter_mut().enumerate() {
            let time = match looked[window] {
                Progress::Until(END) => END,
                // Watermarks inside a pane complete nothing.
                Progress::Until(time) => pane_start(time, pane_width(panes.window())),
                Progress::Silent { latest, since, seen } => match self.patience.idle_close {
                    Some(idle_close) if seen.saturating_sub(since) >= idle_close => completion(panes.window(), latest),
                    _ => START,
                },
            };
            if time > *closed {
                let panes = panes
                    .close(time)?
                    .into_iter()
                    .map(|pane| Message::Pane { window, pane });
                self.output.extend(panes);
                times.push((window, time));
                *closed = time;
            }
        }
        if !times.is_empty() {
            self.output.push(Message::Closed {
                worker: self.number,
                times,
            });
        }
        Ok(())
    }
}
