//! What the state of a plan consists of, by names that outlive the plan: nodes by what they compute, partitions by table and
//! number, sinks by the table that they write.

use crate::graph::Graph;
use crate::worker::Owned;
use hitters_planner::identity::identity;
use hitters_planner::plan::{NodeId, NodeKind, SourceNode};
use std::collections::{BTreeMap, HashMap};

/// The state of one plan over its partitions.
#[derive(Debug, Default)]
pub struct Layout {
    /// By partition of the dataflow.
    pub partitions: Vec<PartitionName>,
    /// Nodes of the windows, by window of the graph.
    pub windows: Vec<NodeId>,
    /// What each node with state computes.
    pub identities: BTreeMap<NodeId, String>,
    /// The table of each sink, and which of the sinks of that table it is.
    pub sinks: BTreeMap<NodeId, (String, usize)>,
}

/// A partition by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionName {
    /// The table.
    pub table: String,
    /// What its positions are in.
    pub log: String,
    /// Number within the table.
    pub number: i32,
}

impl Layout {
    /// Of a graph with these partitions.
    pub fn new(graph: &Graph, owned: &[Owned]) -> Self {
        let mut layout = Self {
            windows: graph.windows.iter().map(|window| window.node).collect(),
            ..Self::default()
        };
        let mut equals: HashMap<String, usize> = HashMap::new();
        let mut sinks: HashMap<String, usize> = HashMap::new();
        for (id, node) in graph.plan.nodes.iter().enumerate() {
            match &node.kind {
                NodeKind::Window(_) | NodeKind::Regroup { .. } | NodeKind::RowNumber { .. } | NodeKind::Join { .. } => {
                    let text = identity(&graph.plan, id);
                    // Nodes that compute the same are told apart by their order.
                    let before = equals.entry(text.clone()).or_default();
                    let text = if *before > 0 { format!("{text} #{before}") } else { text };
                    *before += 1;
                    layout.identities.insert(id, text);
                }
                NodeKind::Sink(table) => {
                    let name = table.as_ref().map_or(String::new(), |table| table.name.clone());
                    let before = sinks.entry(name.clone()).or_default();
                    layout.sinks.insert(id, (name, *before));
                    *before += 1;
                }
                _ => {}
            }
        }
        layout.partitions = owned
            .iter()
            .filter_map(|owned| {
                let source = source(graph, owned.source)?;
                Some(PartitionName {
                    table: source.table.name.clone(),
                    log: source.table.spec.log(),
                    number: owned.number,
                })
            })
            .collect();
        layout
    }

    /// The node with state that computes this.
    pub fn node_of(&self, identity: &str) -> Option<NodeId> {
        self.identities
            .iter()
            .find(|(_, text)| *text == identity)
            .map(|(node, _)| *node)
    }

    /// The window of the graph that is this node.
    pub fn window_of(&self, node: NodeId) -> Option<usize> {
        self.windows.iter().position(|window| *window == node)
    }
}

/// A source of a graph by its number.
pub fn source(graph: &Graph, number: usize) -> Option<&SourceNode> {
    match &graph.plan.nodes[*graph.sources.get(number)?].kind {
        NodeKind::Source(source) => Some(source),
        _ => None,
    }
}
