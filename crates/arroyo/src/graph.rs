//! The graph that the cluster's planner makes of a text, and whether it is whole.
//!
//! A cluster that chains operators (`pipeline.chaining.enabled`, its default) may lose edges of an operator that feeds several others
//! (0.15 and 0.16: it goes on using numbers of edges that a removal has changed). The setting cannot be asked for, but the graph shows
//! what came of it: each lost edge leaves an operator without an input, since no operator that is fed by one of several edges has another.

use serde::Deserialize;
use std::collections::HashSet;
use std::fmt;

/// What stands for operators that were joined.
const CHAINED: &str = "chained_op";

/// Operators and what flows between them.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Graph {
    #[serde(default)]
    pub nodes: Vec<Node>,
    #[serde(default)]
    pub edges: Vec<Edge>,
}

/// An operator, or a chain of them.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Node {
    pub node_id: u64,
    /// A connector, `chained_op`, or a word and a number.
    #[serde(default)]
    pub operator: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub parallelism: u64,
}

/// From one to another.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Edge {
    pub src_id: u64,
    pub dest_id: u64,
}

/// An operator that gets no rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// As the graph describes it: the names of its tables, views and steps.
    pub operator: String,
    /// The sinks that lack its rows.
    pub sinks: Vec<String>,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' gets no rows", self.operator)?;
        match self.sinks.as_slice() {
            [] => Ok(()),
            sinks => write!(f, ", and so there are none of it in {}", sinks.join(", ")),
        }
    }
}

impl Graph {
    /// What chaining has cut off.
    pub(crate) fn cuts(&self) -> Vec<Cut> {
        if !self.nodes.iter().any(|node| node.operator == CHAINED) {
            return Vec::new();
        }
        let fed: HashSet<u64> = self.edges.iter().map(|edge| edge.dest_id).collect();
        let without_input = self.nodes.iter().filter(|node| !fed.contains(&node.node_id));
        let cut = without_input.filter(|node| !self.is_source(node));
        let sinks = |from: &Node| {
            let sinks = self.ends(from).into_iter().filter(|end| end.node_id != from.node_id);
            sinks.map(|end| end.description.clone()).collect()
        };
        let mut cuts: Vec<Cut> = Vec::new();
        for node in cut {
            let one = Cut {
                operator: node.description.clone(),
                sinks: sinks(node),
            };
            // Operators may have one name.
            if !cuts.contains(&one) {
                cuts.push(one);
            }
        }
        cuts
    }

    /// A connector that feeds something.
    fn is_source(&self, node: &Node) -> bool {
        let numbered = node
            .operator
            .rsplit_once('_')
            .is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()));
        let feeds = self.edges.iter().any(|edge| edge.src_id == node.node_id);
        node.operator != CHAINED && !numbered && feeds
    }

    /// What is reached from an operator and feeds nothing.
    fn ends(&self, from: &Node) -> Vec<&Node> {
        let (mut seen, mut open) = (HashSet::from([from.node_id]), vec![from.node_id]);
        let mut ends = Vec::new();
        while let Some(id) = open.pop() {
            let mut next = self.edges.iter().filter(|edge| edge.src_id == id).peekable();
            if next.peek().is_none() {
                ends.extend(self.nodes.iter().find(|node| node.node_id == id));
            }
            open.extend(next.map(|edge| edge.dest_id).filter(|id| seen.insert(*id)));
        }
        ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn graph(nodes: &[(u64, &str, &str)], edges: &[(u64, u64)]) -> Graph {
        let nodes: Vec<_> = nodes
            .iter()
            .map(|(id, operator, description)| json!({ "node_id": id, "operator": operator, "description": description, "parallelism": 1 }))
            .collect();
        let edges: Vec<_> = edges
            .iter()
            .map(|(from, to)| json!({ "src_id": from, "dest_id": to, "edge_type": "Forward" }))
            .collect();
        serde_json::from_value(json!({ "nodes": nodes, "edges": edges })).unwrap()
    }

    /// As `cdn` came out of a cluster, made smaller.
    const NODES: [(u64, &str, &str); 6] = [
        (0, "kafka", "KafkaSource<events>"),
        (1, "chained_op", "messages -> watermark -> events"),
        (4, "tumbling_4", "TumblingWindow"),
        (45, "value_45", "sink projection"),
        (46, "redis", "RedisSink<latest>"),
        (50, "kafka", "KafkaSink<results>"),
    ];

    #[test]
    fn an_operator_that_lost_its_input_is_found_with_the_sinks_behind_it() {
        let whole = [(0, 1), (1, 4), (4, 45), (45, 46), (4, 50)];
        assert_eq!(graph(&NODES, &whole).cuts(), []);
        let lost: Vec<_> = whole.into_iter().filter(|edge| *edge != (4, 45)).collect();
        let cuts = graph(&NODES, &lost).cuts();
        assert_eq!(
            cuts,
            [Cut {
                operator: "sink projection".into(),
                sinks: vec!["RedisSink<latest>".into()],
            }]
        );
        assert_eq!(
            cuts[0].to_string(),
            "'sink projection' gets no rows, and so there are none of it in RedisSink<latest>"
        );
    }

    #[test]
    fn a_sink_may_be_cut_off_itself() {
        let cuts = graph(&NODES, &[(0, 1), (1, 4), (4, 45), (45, 46)]).cuts();
        assert_eq!(
            (cuts[0].operator.as_str(), cuts[0].sinks.len()),
            ("KafkaSink<results>", 0)
        );
    }

    #[test]
    fn without_chains_nothing_is_said() {
        let mut nodes = NODES;
        nodes[1].1 = "value_1";
        assert_eq!(graph(&nodes, &[(0, 1)]).cuts(), []);
        assert_eq!(Graph::default().cuts(), []);
    }
}
