//! Which steps of a plan run where: the worker tier, parallel by partition, up to the first window; the final tier after.

use crate::Error;
use crate::groups::Grouping;
use hitters_planner::plan::{NodeId, NodeKind, Plan};
use std::sync::Arc;

/// A plan with its edges turned round and its tiers told apart.
pub struct Graph {
    /// The plan.
    pub plan: Plan,
    /// For each node, who takes its rows.
    pub consumers: Vec<Vec<Edge>>,
    /// The source nodes, in the order of the plan: a source's number is its position here.
    pub sources: Vec<NodeId>,
    /// The windows.
    pub windows: Vec<WindowEdge>,
    tiers: Vec<Tier>,
    /// For each node, its position among the windows.
    window_of: Vec<Option<usize>>,
}

/// To an input of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The node.
    pub node: NodeId,
    /// Which of its inputs.
    pub input: usize,
}

/// A window: the border between the tiers.
pub struct WindowEdge {
    /// Its node.
    pub node: NodeId,
    /// What it groups and aggregates.
    pub grouping: Arc<Grouping>,
    /// Numbers of the sources that its rows come from: their watermarks close it.
    pub sources: Vec<usize>,
}

/// Where a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// On each worker.
    Worker,
    /// Half on each worker, half in the final tier.
    Window,
    /// In the final tier.
    Final,
}

impl Graph {
    /// Looks through a plan.
    pub fn new(plan: Plan) -> Result<Self, Error> {
        let mut consumers = vec![Vec::new(); plan.nodes.len()];
        let mut tiers: Vec<Tier> = Vec::with_capacity(plan.nodes.len());
        let mut reached: Vec<Vec<usize>> = Vec::with_capacity(plan.nodes.len());
        let (mut sources, mut windows) = (Vec::new(), Vec::new());
        for (id, node) in plan.nodes.iter().enumerate() {
            for (input, from) in node.inputs.iter().enumerate() {
                consumers[*from].push(Edge { node: id, input });
            }
            let in_workers = node.inputs.iter().all(|from| tiers[*from] == Tier::Worker);
            tiers.push(match &node.kind {
                NodeKind::Source(_) => Tier::Worker,
                NodeKind::Window(_) if in_workers => Tier::Window,
                NodeKind::Window(_) => return Err(Error::State("a window of rows that have a window".to_string())),
                NodeKind::Project(_) | NodeKind::Filter(_) | NodeKind::Unnest { .. } | NodeKind::Union
                    if in_workers =>
                {
                    Tier::Worker
                }
                _ => Tier::Final,
            });
            let mut from: Vec<usize> = node.inputs.iter().flat_map(|input| reached[*input].clone()).collect();
            from.sort_unstable();
            from.dedup();
            match &node.kind {
                NodeKind::Source(_) => {
                    from = vec![sources.len()];
                    sources.push(id);
                }
                NodeKind::Window(window) => {
                    let input = &plan.nodes[node.inputs[0]].schema;
                    let sessions = matches!(window.window, hitters_planner::window::Window::Session { .. });
                    let grouping = Arc::new(Grouping::new(input, &window.keys, &window.aggregates, sessions)?);
                    windows.push(WindowEdge {
                        node: id,
                        grouping,
                        sources: from.clone(),
                    });
                }
                _ => {}
            }
            reached.push(from);
        }
        let mut window_of = vec![None; plan.nodes.len()];
        for (position, window) in windows.iter().enumerate() {
            window_of[window.node] = Some(position);
        }
        Ok(Self {
            plan,
            consumers,
            sources,
            windows,
            tiers,
            window_of,
        })
    }

    /// The position of a node among the windows, if it is one.
    pub fn window_of(&self, node: NodeId) -> Option<usize> {
        self.window_of[node]
    }

    /// Where a node runs.
    pub fn tier(&self, node: NodeId) -> Tier {
        self.tiers[node]
    }

    /// Whether rows of this window go straight to a step that orders them itself.
    pub fn sorts_after(&self, node: NodeId) -> bool {
        let consumers = &self.consumers[node];
        !consumers.is_empty()
            && consumers.iter().all(|edge| match &self.plan.nodes[edge.node].kind {
                NodeKind::RowNumber { .. } => true,
                NodeKind::Project(_) | NodeKind::Filter(_) => self.sorts_after(edge.node),
                _ => false,
            })
    }
}
