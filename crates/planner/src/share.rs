//! Nodes that compute the same from the same inputs stand once in a plan: a view that two INSERTs read is one window, not two.
//!
//! Nodes are compared by what they compute, to the position of each column, by their inputs, and by the names and types of what
//! comes out. Sinks and volatile expressions (`random()`) are never shared.

use crate::plan::{Aggregate, NamedExpr, Node, NodeId, NodeKind};
use arrow::datatypes::SchemaRef;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr_common::physical_expr::is_volatile;
use std::collections::HashMap;
use std::sync::Arc;

/// The same plan with equal nodes merged; a node's inputs still stand before it.
pub(crate) fn share(nodes: Vec<Node>) -> Vec<Node> {
    let mut kept: Vec<Node> = Vec::with_capacity(nodes.len());
    let mut moved: Vec<NodeId> = Vec::with_capacity(nodes.len());
    let mut known: HashMap<(String, Vec<NodeId>, SchemaRef), NodeId> = HashMap::new();
    for mut node in nodes {
        for input in &mut node.inputs {
            *input = moved[*input];
        }
        let key = computes(&node.kind).map(|text| (text, node.inputs.clone(), node.schema.clone()));
        if let Some(same) = key.as_ref().and_then(|key| known.get(key)) {
            moved.push(*same);
            continue;
        }
        let id = kept.len();
        known.extend(key.map(|key| (key, id)));
        moved.push(id);
        kept.push(node);
    }
    kept
}

/// What a node does to its inputs, exactly; `None` for nodes that are not shared.
fn computes(kind: &NodeKind) -> Option<String> {
    Some(match kind {
        // A table stands once already, and a sink writes each of its inputs.
        NodeKind::Source(_) | NodeKind::Sink(_) => return None,
        NodeKind::Project(exprs) => format!("project {}", named(exprs)?),
        NodeKind::Filter(predicate) => format!("filter {}", exact(predicate)?),
        NodeKind::Unnest { column } => format!("unnest {column}"),
        NodeKind::Union => "union".to_string(),
        NodeKind::Window(window) => format!(
            "window {:?} at {} keys {} aggregates {}",
            window.window,
            window.position,
            named(&window.keys)?,
            calls(&window.aggregates)?
        ),
        NodeKind::Regroup { keys, aggregates } => {
            format!("regroup keys {} aggregates {}", named(keys)?, calls(aggregates)?)
        }
        NodeKind::RowNumber {
            partition_by,
            order_by,
            limit,
        } => {
            let order = order_by
                .iter()
                .map(|sort| Some(format!("{} {:?}", exact(&sort.expr)?, sort.options)));
            let order: Vec<String> = order.collect::<Option<_>>()?;
            format!("number {:?} by {order:?} up to {limit:?}", all(partition_by)?)
        }
        NodeKind::Join { join_type, on, filter } => {
            let on = on.iter().map(|(left, right)| Some((exact(left)?, exact(right)?)));
            let on: Vec<_> = on.collect::<Option<_>>()?;
            let filter = match filter {
                Some(filter) => exact(filter)?,
                None => String::new(),
            };
            format!("join {join_type:?} on {on:?} where {filter}")
        }
    })
}

fn calls(aggregates: &[Aggregate]) -> Option<String> {
    let one = |call: &Aggregate| {
        let function = &call.function;
        let order = function.order_bys().iter();
        let order: Vec<String> = order
            .map(|sort| Some(format!("{} {:?}", exact(&sort.expr)?, sort.options)))
            .collect::<Option<_>>()?;
        let filter = match &call.filter {
            Some(filter) => exact(filter)?,
            None => String::new(),
        };
        Some(format!(
            "{} distinct {} nulls ignored {} of {:?} by {order:?} where {filter}",
            function.fun().name(),
            function.is_distinct(),
            function.ignore_nulls(),
            all(&function.expressions())?,
        ))
    };
    Some(format!("{:?}", aggregates.iter().map(one).collect::<Option<Vec<_>>>()?))
}

fn named(exprs: &[NamedExpr]) -> Option<String> {
    let one = |named: &NamedExpr| Some(format!("{} as {:?}", exact(&named.expr)?, named.name));
    Some(format!("{:?}", exprs.iter().map(one).collect::<Option<Vec<_>>>()?))
}

fn all(exprs: &[Arc<dyn PhysicalExpr>]) -> Option<Vec<String>> {
    exprs.iter().map(exact).collect()
}

/// An expression with the positions of its columns and the types of its constants; `None` if it is volatile.
fn exact(expr: &Arc<dyn PhysicalExpr>) -> Option<String> {
    (!is_volatile(expr)).then(|| format!("{expr:?}"))
}
