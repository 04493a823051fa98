//! What a node computes, as text: two nodes with the same text compute the same rows from the same logs.
//!
//! Saved state belongs to such a text. When the SQL changes, a node whose text is still there keeps its state: positions
//! of nodes and columns in a plan, further columns that other queries read, names of sinks and places in the file play no
//! part. The text is for machines, and for the one who compares two of them; `explain` is for people.

use crate::plan::{Aggregate, NamedExpr, Node, NodeId, NodeKind, Plan, SourceNode};
use datafusion_physical_expr::expressions::Column;
use datafusion_physical_expr::{PhysicalExpr, PhysicalSortExpr};
use datafusion_physical_expr_common::physical_expr::fmt_sql;
use std::collections::HashSet;
use std::fmt::Write;
use std::sync::Arc;

/// The text of a node with everything that it reads from.
pub fn identity(plan: &Plan, node: NodeId) -> String {
    let mut text = String::new();
    let mut sources = Vec::new();
    write(plan, node, &mut text, &mut sources);
    // What a generated column means belongs to those that use it only.
    let used = text.clone();
    let mut generated: Vec<&NamedExpr> = sources.iter().flat_map(|source| &source.generated).collect();
    generated.retain(|column| used.contains(&column.name));
    for column in generated {
        put(
            &mut text,
            format_args!("; {} = {}", column.name, sql(&column.expr, false)),
        );
    }
    text
}

fn write<'p>(plan: &'p Plan, id: NodeId, text: &mut String, sources: &mut Vec<&'p SourceNode>) {
    let node = &plan.nodes[id];
    let exact = ambiguous(plan, node);
    if let (NodeKind::Project(exprs), [input], false) = (&node.kind, node.inputs.as_slice(), exact)
        && exprs.iter().all(selects)
    {
        // Which columns go along depends on what others read.
        return write(plan, *input, text, sources);
    }
    match &node.kind {
        NodeKind::Source(source) => {
            let expression = |expr: &Option<Arc<dyn PhysicalExpr>>| {
                expr.as_ref().map_or("default".to_string(), |expr| sql(expr, false))
            };
            let (time, watermark) = (expression(&source.event_time), expression(&source.watermark));
            let table = &source.table;
            put(
                text,
                format_args!(
                    "read {} ({}) time {time} watermark {watermark}",
                    table.name,
                    table.spec.log()
                ),
            );
            sources.push(source);
        }
        NodeKind::Project(exprs) => put(text, format_args!("project [{}]", named(exprs, exact))),
        NodeKind::Filter(predicate) => put(text, format_args!("filter {}", sql(predicate, exact))),
        NodeKind::Unnest { column } => put(text, format_args!("unnest {column}")),
        NodeKind::Union => text.push_str("union"),
        NodeKind::Window(window) => {
            let (keys, aggregates) = (named(&window.keys, exact), aggregates(&window.aggregates, exact));
            put(
                text,
                format_args!(
                    "window {} at {} keys [{keys}] aggregates [{aggregates}]",
                    window.window, window.position
                ),
            );
        }
        NodeKind::Regroup {
            keys,
            aggregates: calls,
        } => put(
            text,
            format_args!(
                "regroup keys [{}] aggregates [{}]",
                named(keys, exact),
                aggregates(calls, exact)
            ),
        ),
        NodeKind::RowNumber {
            partition_by,
            order_by,
            limit,
        } => {
            let order: Vec<String> = order_by.iter().map(|sort| sorted(sort, exact)).collect();
            put(
                text,
                format_args!(
                    "row_number of [{}] by [{}] up to {limit:?}",
                    list(partition_by, exact),
                    order.join(", ")
                ),
            );
        }
        NodeKind::Join { join_type, on, filter } => {
            let on: Vec<String> = on
                .iter()
                .map(|(left, right)| format!("{} = {}", sql(left, false), sql(right, false)))
                .collect();
            put(text, format_args!("{join_type} join on [{}]", on.join(", ")));
            if let Some(filter) = filter {
                put(text, format_args!(" where {}", sql(filter, exact)));
            }
        }
        NodeKind::Sink(_) => text.push_str("sink"),
    }
    if let NodeKind::Window(_) | NodeKind::Regroup { .. } | NodeKind::RowNumber { .. } | NodeKind::Join { .. } =
        node.kind
    {
        let fields = node.schema.fields().iter();
        let types: Vec<String> = fields.map(|field| field.data_type().to_string()).collect();
        put(text, format_args!(" types [{}]", types.join(", ")));
    }
    if !node.inputs.is_empty() {
        text.push_str(" <- (");
        for (position, input) in node.inputs.iter().enumerate() {
            if position > 0 {
                text.push_str(", ");
            }
            write(plan, *input, text, sources);
        }
        text.push(')');
    }
}

/// Whether it is a column under its own name.
fn selects(named: &NamedExpr) -> bool {
    named
        .expr
        .downcast_ref::<Column>()
        .is_some_and(|column| column.name() == named.name)
}

/// Whether columns of the inputs share a name, as after a join.
fn ambiguous(plan: &Plan, node: &Node) -> bool {
    let mut names = HashSet::new();
    let fields = node.inputs.iter().flat_map(|input| plan.nodes[*input].schema.fields());
    let joins = matches!(node.kind, NodeKind::Join { .. }) || node.inputs.len() == 1;
    joins && !fields.map(|field| field.name()).all(|name| names.insert(name))
}

fn aggregates(calls: &[Aggregate], exact: bool) -> String {
    let one = |call: &Aggregate| {
        let function = &call.function;
        let order: Vec<String> = function.order_bys().iter().map(|sort| sorted(sort, exact)).collect();
        let mut text = format!(
            "{}({}{})",
            function.fun().name(),
            if function.is_distinct() { "distinct " } else { "" },
            list(&function.expressions(), exact)
        );
        if !order.is_empty() {
            put(&mut text, format_args!(" by {}", order.join(", ")));
        }
        if let Some(filter) = &call.filter {
            put(&mut text, format_args!(" filter {}", sql(filter, exact)));
        }
        text
    };
    calls.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn named(exprs: &[NamedExpr], exact: bool) -> String {
    let one = |named: &NamedExpr| format!("{} as {}", sql(&named.expr, exact), named.name);
    exprs.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn list<'e>(exprs: impl IntoIterator<Item = &'e Arc<dyn PhysicalExpr>>, exact: bool) -> String {
    exprs
        .into_iter()
        .map(|expr| sql(expr, exact))
        .collect::<Vec<_>>()
        .join(", ")
}

fn sorted(sort: &PhysicalSortExpr, exact: bool) -> String {
    format!("{} {}", sql(&sort.expr, exact), sort.options)
}

/// Columns by name, so that their positions play no part; `exact`: by position as well, where names are not enough.
fn sql(expr: &Arc<dyn PhysicalExpr>, exact: bool) -> String {
    if exact {
        expr.to_string()
    } else {
        fmt_sql(expr.as_ref()).to_string()
    }
}

/// Writing to a string does not fail.
fn put(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(arguments);
}
