//! The final tier: merges closed panes, runs the steps after windows, and writes to sinks.
//!
//! A step function like the worker: it takes the messages of all workers one by one. Messages of one worker come in their
//! order; how those of different workers interleave does not matter to windowed rows, because panes wait until every
//! worker has closed them.

use crate::Error;
use crate::checkpoint::snapshot::FinalState;
use crate::frontier::{END, START};
use crate::graph::{Edge, Graph, Tier};
use crate::groups::Grouping;
use crate::join::Join;
use crate::merge::{Merge, NextWindow};
use crate::metrics::{Counts, Metrics};
use crate::operator::{Bounds, Operator, WindowRows};
use crate::panes::FrozenPane;
use crate::publish::Publisher;
use crate::regroup::Regroup;
use crate::row_number::RowNumber;
use crate::sink::{Checkpoint, Sink, SinkFactory};
use crate::spill::{Partial, Spill};
use crate::stateless::Stateless;
use crate::worker::Message;
use hitters_planner::plan::{NodeId, NodeKind};
use hitters_planner::window::Window;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The final tier of a dataflow.
pub struct Finisher {
    /// By window of the graph.
    windows: Vec<WindowState>,
    steps: Steps,
}

/// What comes behind windows.
struct Steps {
    graph: Arc<Graph>,
    metrics: Arc<Metrics>,
    /// By node; `None` for nodes of the workers and for sinks.
    operators: Vec<Option<OperatorState>>,
    /// By node.
    sinks: Vec<Option<Box<dyn Sink>>>,
    dirty: bool,
}

struct WindowState {
    merge: Merge,
    /// The time up to which each worker has closed it.
    closed: Vec<i64>,
    published: i64,
}

struct OperatorState {
    operator: Box<dyn Operator>,
    /// Watermark of each input.
    inputs: Vec<i64>,
    watermark: i64,
}

impl Finisher {
    /// For so many workers; opens the sinks.
    pub fn new(
        graph: Arc<Graph>,
        metrics: Arc<Metrics>,
        workers: usize,
        sinks: &dyn SinkFactory,
    ) -> Result<Self, Error> {
        let nodes = &graph.plan.nodes;
        let mut windows = Vec::with_capacity(graph.windows.len());
        for edge in &graph.windows {
            if let NodeKind::Window(node) = &nodes[edge.node].kind {
                let schema = nodes[edge.node].schema.clone();
                // Sessions come in the order of their ends, whatever watermarks they are published at.
                let sessions = matches!(node.window, Window::Session { .. });
                let publisher = Publisher::new(schema, node.position, !sessions && !graph.sorts_after(edge.node));
                let merge = Merge::new(node.window, edge.grouping.clone(), publisher);
                windows.push(WindowState {
                    merge,
                    closed: vec![START; workers],
                    published: START,
                });
            }
        }
        let (mut operators, mut opened) = (Vec::with_capacity(nodes.len()), Vec::with_capacity(nodes.len()));
        for (id, node) in nodes.iter().enumerate() {
            let is_final = graph.tier(id) == Tier::Final;
            opened.push(match &node.kind {
                NodeKind::Sink(table) => Some(sinks.open(table.as_ref(), node.schema.clone())?),
                _ => None,
            });
            operators.push(match operator(&graph, id)? {
                Some(operator) if is_final => {
                    // Rows of workers come without a window, so no window has to wait for them.
                    let open = |input: &NodeId| if graph.tier(*input) == Tier::Worker { END } else { START };
                    let inputs = node.inputs.iter().map(open).collect();
                    Some(OperatorState {
                        operator,
                        inputs,
                        watermark: START,
                    })
                }
                _ => None,
            });
        }
        Ok(Self {
            windows,
            steps: Steps {
                graph,
                metrics,
                operators,
                sinks: opened,
                dirty: false,
            },
        })
    }

    /// From now on, closed panes that are too many for memory go there.
    pub fn spill_to(&mut self, spill: &Arc<Spill>) {
        self.windows.iter_mut().for_each(|window| window.merge.spill_to(spill));
    }

    /// Takes a message of a worker.
    pub fn handle(&mut self, message: Message) -> Result<(), Error> {
        match message {
            Message::Rows { node, input, rows } => {
                let rows = WindowRows { window: None, rows };
                self.steps.rows(Edge { node, input }, rows)
            }
            Message::Pane { window, pane } => self.windows[window].merge.add(pane),
            Message::Closed { worker, times } => self.closed(worker, times),
        }
    }

    /// A worker has closed windows up to these times. What all workers have closed is published in the order of the ends of windows, over
    /// all window nodes: who reads the rows of several from one topic finds none of them late, however far event time went at once.
    fn closed(&mut self, worker: usize, times: Vec<(usize, i64)>) -> Result<(), Error> {
        let mut due = Vec::with_capacity(times.len());
        for (window, time) in times {
            let state = &mut self.windows[window];
            state.closed[worker] = time;
            let time = state.closed.iter().copied().min().unwrap_or(END);
            if time > state.published {
                due.push((window, time));
            }
        }
        let next = |windows: &[WindowState]| {
            let ends = due.iter().filter_map(|(window, time)| {
                let end = windows[*window].merge.next_end()?;
                (end <= *time).then_some((end, *window))
            });
            ends.min()
        };
        while let Some((end, window)) = next(&self.windows) {
            self.publish(window, end)?;
        }
        due.iter().try_for_each(|(window, time)| self.publish(*window, *time))
    }

    /// Publishes the windows of a node that end at or before a time.
    fn publish(&mut self, window: usize, time: i64) -> Result<(), Error> {
        let (state, steps) = (&mut self.windows[window], &mut self.steps);
        state.published = state.published.max(time);
        let node = steps.graph.windows[window].node;
        let published = state.merge.watermark(time, &mut |rows| steps.push(node, rows))?;
        steps.metrics.windows.fetch_add(published.windows, Relaxed);
        if let Some(end) = published.until {
            steps.metrics.complete_until.fetch_max(end, Relaxed);
        }
        steps.watermark(node, time)
    }

    /// Makes everything written so far visible.
    pub fn flush(&mut self) -> Result<(), Error> {
        if std::mem::take(&mut self.steps.dirty) {
            self.steps
                .sinks
                .iter_mut()
                .flatten()
                .try_for_each(|sink| sink.flush())?;
        }
        Ok(())
    }

    /// True if rows were written since the last flush.
    pub fn is_dirty(&self) -> bool {
        self.steps.dirty
    }

    /// Flushes and closes the sinks, all of them even if one fails.
    pub fn close(&mut self) -> Result<(), Error> {
        let results: Vec<_> = self.steps.sinks.iter_mut().flatten().map(|sink| sink.close()).collect();
        results.into_iter().collect()
    }

    /// Bytes of state.
    pub fn size(&self) -> usize {
        let windows: usize = self.windows.iter().map(|window| window.merge.size()).sum();
        let held: usize = self.steps.sinks.iter().flatten().map(|sink| sink.size()).sum();
        windows
            + held
            + self
                .steps
                .operators
                .iter()
                .flatten()
                .map(|state| state.operator.size())
                .sum::<usize>()
    }

    /// The window of this number that closes next, with these open panes of the workers.
    pub fn next_window(&self, window: usize, open: &[FrozenPane]) -> Option<NextWindow> {
        let state = self.windows.get(window)?;
        let open: Vec<(i64, usize)> = open.iter().map(|pane| (pane.pane, pane.slot)).collect();
        state.merge.next_window(state.published, &open)
    }

    /// Writes the rows of a window as if it closed with these parts. For a final tier that does nothing else.
    pub fn preview(&mut self, window: usize, bounds: Bounds, parts: &[Partial]) -> Result<(), Error> {
        let steps = &mut self.steps;
        let node = steps.graph.windows[window].node;
        let merge = &self.windows[window].merge;
        merge.preview(bounds, parts, &mut |rows| steps.push(node, rows))
    }

    /// No more windows up to `time` come: steps let go of what waits in them.
    pub fn end_preview(&mut self, time: i64) -> Result<(), Error> {
        for window in 0..self.windows.len() {
            let node = self.steps.graph.windows[window].node;
            self.steps.watermark(node, time)?;
        }
        Ok(())
    }

    /// A copy of the state: of each window, then of each node.
    pub fn save(&mut self) -> Result<FinalState, Error> {
        let windows = self.windows.iter_mut().map(|w| Ok((w.merge.save()?, w.published)));
        let windows = windows.collect::<Result<_, Error>>()?;
        let save = |state: &mut Option<OperatorState>| state.as_mut().map_or(Ok(Vec::new()), |s| s.operator.save());
        let operators = self
            .steps
            .operators
            .iter_mut()
            .map(save)
            .collect::<Result<_, Error>>()?;
        Ok(FinalState { windows, operators })
    }

    /// Takes saved state into a fresh final tier.
    ///
    /// Slots of closed panes are partitions, as for workers.
    pub fn load(&mut self, state: FinalState) -> Result<(), Error> {
        if state.windows.len() != self.windows.len() || state.operators.len() != self.steps.operators.len() {
            return Err(Error::State("saved by another plan".to_string()));
        }
        for (window, (saved, published)) in self.windows.iter_mut().zip(state.windows) {
            window.merge.load(saved)?;
            window.published = published;
            window.closed.fill(published);
        }
        for (operator, saved) in self.steps.operators.iter_mut().zip(state.operators) {
            if let Some(operator) = operator {
                operator.operator.load(saved)?;
            }
        }
        // Steps learn again how far their inputs are; what that completes has been written before the state was saved.
        for window in 0..self.windows.len() {
            let published = self.windows[window].published;
            if published > START {
                let node = self.steps.graph.windows[window].node;
                self.steps.watermark(node, published)?;
            }
        }
        Ok(())
    }

    /// What sinks hold back at a barrier, by node.
    pub fn prepare(&mut self) -> Result<Vec<(NodeId, Vec<u8>)>, Error> {
        self.steps.dirty = false;
        let mut held = Vec::new();
        for (node, sink) in self.steps.sinks.iter_mut().enumerate() {
            if let Some(sink) = sink {
                held.extend(sink.prepare()?.map(|bytes| (node, bytes)));
            }
        }
        Ok(held)
    }

    /// A checkpoint is durable: sinks show what they held back for it.
    pub fn commit(&mut self, checkpoint: &Checkpoint<'_>) -> Result<(), Error> {
        self.steps
            .sinks
            .iter_mut()
            .flatten()
            .try_for_each(|sink| sink.commit(checkpoint))
    }

    /// The run goes on from a checkpoint in which a sink held something back.
    pub fn recover(&mut self, node: NodeId, checkpoint: &Checkpoint<'_>, held: &[u8]) -> Result<(), Error> {
        match self.steps.sinks.get_mut(node) {
            Some(Some(sink)) => sink.recover(checkpoint, held),
            _ => Err(Error::State(format!("node {node} is no sink"))),
        }
    }

    /// Windows and rows that it counted since the start of the run.
    pub fn counts(&self) -> Counts {
        Counts {
            rows_out: self.steps.metrics.rows_out.load(Relaxed),
            windows: self.steps.metrics.windows.load(Relaxed),
            ..Counts::default()
        }
    }
}

impl Steps {
    /// Rows that a node puts out.
    fn push(&mut self, node: NodeId, rows: WindowRows) -> Result<(), Error> {
        let graph = self.graph.clone();
        graph.consumers[node]
            .iter()
            .try_for_each(|edge| self.rows(*edge, rows.clone()))
    }

    /// Rows for an input of a node.
    fn rows(&mut self, Edge { node, input }: Edge, rows: WindowRows) -> Result<(), Error> {
        if let Some(sink) = &mut self.sinks[node] {
            self.metrics.rows_out.fetch_add(rows.rows.num_rows() as u64, Relaxed);
            self.dirty = true;
            return sink.write(&rows.rows);
        }
        let Some(state) = &mut self.operators[node] else {
            return Ok(());
        };
        let ready = state.operator.rows(input, rows)?;
        ready.into_iter().try_for_each(|rows| self.push(node, rows))
    }

    /// Windows that end at or before `time` are complete in the output of a node.
    fn watermark(&mut self, node: NodeId, time: i64) -> Result<(), Error> {
        let graph = self.graph.clone();
        for edge in &graph.consumers[node] {
            let Some(state) = &mut self.operators[edge.node] else {
                continue;
            };
            state.inputs[edge.input] = time;
            let time = state.inputs.iter().copied().min().unwrap_or(END);
            if time <= state.watermark {
                continue;
            }
            state.watermark = time;
            let ready = state.operator.watermark(time)?;
            ready.into_iter().try_for_each(|rows| self.push(edge.node, rows))?;
            self.watermark(edge.node, time)?;
        }
        Ok(())
    }
}

/// The step of a node, for those that have one in the final tier.
fn operator(graph: &Graph, id: NodeId) -> Result<Option<Box<dyn Operator>>, Error> {
    let node = &graph.plan.nodes[id];
    let schema = node.schema.clone();
    let input = |position: usize| graph.plan.nodes[node.inputs[position]].schema.clone();
    Ok(Some(match &node.kind {
        NodeKind::Project(exprs) => Box::new(Stateless::Project(exprs.clone(), schema)),
        NodeKind::Filter(predicate) => Box::new(Stateless::Filter(predicate.clone())),
        NodeKind::Unnest { column } => Box::new(Stateless::Unnest(*column, schema)),
        NodeKind::Union => Box::new(Stateless::Union(schema)),
        NodeKind::Regroup { keys, aggregates } => {
            let grouping = Grouping::new(&input(0), keys, aggregates, false)?;
            Box::new(Regroup::new(Arc::new(grouping), schema))
        }
        NodeKind::RowNumber {
            partition_by,
            order_by,
            limit,
        } => Box::new(RowNumber::new(partition_by.clone(), order_by.clone(), *limit, schema)),
        NodeKind::Join { join_type, on, filter } => {
            Box::new(Join::new(*join_type, on, filter.clone(), [input(0), input(1)], schema)?)
        }
        NodeKind::Source(_) | NodeKind::Window(_) | NodeKind::Sink(_) => return Ok(None),
    }))
}
