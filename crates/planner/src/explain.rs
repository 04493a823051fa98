//! A plan for people: `hitters explain`, and snapshots in tests.

use crate::plan::{Aggregate, NamedExpr, Node, NodeId, NodeKind, Plan, SourceNode};
use crate::table::ColumnKind;
use crate::window::Nanos;
use crate::window_calls::window_type;
use datafusion::common::JoinType;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr_common::physical_expr::fmt_sql;
use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::sync::Arc;

/// The tree of each sink, inputs indented below their operator. A node that several operators read stands once, with a
/// number (`#3`) by which the others name it. Warnings are not in it.
pub fn explain(plan: &Plan) -> String {
    let mut readers: HashMap<NodeId, usize> = HashMap::new();
    for input in plan.nodes.iter().flat_map(|n| &n.inputs) {
        *readers.entry(*input).or_default() += 1;
    }
    let mut printer = Printer {
        plan,
        readers,
        printed: HashSet::new(),
        text: String::new(),
    };
    let roots = plan
        .nodes
        .iter()
        .enumerate()
        .filter(|(_, n)| matches!(n.kind, NodeKind::Sink(_)));
    for (id, _) in roots {
        printer.node(id, 0);
    }
    printer.text
}

struct Printer<'p> {
    plan: &'p Plan,
    readers: HashMap<NodeId, usize>,
    printed: HashSet<NodeId>,
    text: String,
}

impl Printer<'_> {
    fn line(&mut self, depth: usize, text: &str) {
        let _ = writeln!(self.text, "{:indent$}{text}", "", indent = depth * 2);
    }

    fn node(&mut self, id: NodeId, depth: usize) {
        let Some(node) = self.plan.nodes.get(id) else { return };
        let number = if self.readers.get(&id).is_some_and(|n| *n > 1) {
            format!("#{id} ")
        } else {
            String::new()
        };
        if !self.printed.insert(id) {
            self.line(depth, &format!("{number}(above)"));
            return;
        }
        let mut lines = describe(node).into_iter();
        self.line(depth, &format!("{number}{}", lines.next().unwrap_or_default()));
        for further in lines {
            self.line(depth + 2, &further);
        }
        for input in &node.inputs {
            self.node(*input, depth + 1);
        }
    }
}

/// First line: the operator. Further lines: its details.
fn describe(node: &Node) -> Vec<String> {
    match &node.kind {
        NodeKind::Sink(Some(table)) => vec![
            format!("write {} ({})", table.name, table.spec.describe()),
            columns(node),
        ],
        NodeKind::Sink(None) => vec!["print".to_string(), columns(node)],
        NodeKind::Source(source) => read(source, node),
        NodeKind::Project(exprs) => vec![format!("project {}", named(exprs))],
        NodeKind::Filter(predicate) => vec![format!("filter {}", sql(predicate))],
        NodeKind::Unnest { column } => vec![format!("unnest the list in column {}", column + 1)],
        NodeKind::Union => vec!["union all".to_string()],
        NodeKind::Window(window) => {
            let mut lines = vec![format!("window {}", window.window)];
            lines.extend(grouped(&window.keys, &window.aggregates));
            lines
        }
        NodeKind::Regroup { keys, aggregates } => {
            let mut lines = vec!["regroup within the window".to_string()];
            lines.extend(grouped(keys, aggregates));
            lines
        }
        NodeKind::RowNumber {
            partition_by,
            order_by,
            limit,
        } => {
            let list = |exprs: &mut dyn Iterator<Item = String>| exprs.collect::<Vec<_>>().join(", ");
            let order = |s: &datafusion::physical_expr::PhysicalSortExpr| {
                let direction = if s.options.descending { " DESC" } else { "" };
                let nulls = if s.options.nulls_first == s.options.descending {
                    ""
                } else if s.options.nulls_first {
                    " NULLS FIRST"
                } else {
                    " NULLS LAST"
                };
                format!("{}{direction}{nulls}", sql(&s.expr))
            };
            let mut lines = vec![
                "number rows".to_string(),
                format!("of each {}", list(&mut partition_by.iter().map(sql))),
            ];
            if !order_by.is_empty() {
                lines.push(format!("ordered by {}", list(&mut order_by.iter().map(order))));
            }
            lines.push(match limit {
                Some(n) => format!("keeps {n}"),
                None => "keeps all".to_string(),
            });
            lines
        }
        NodeKind::Join { join_type, on, filter } => {
            let kind = match join_type {
                JoinType::Inner => "inner",
                JoinType::Left => "left",
                JoinType::Right => "right",
                JoinType::Full => "full",
                _ => "other",
            };
            let mut lines = vec![format!("{kind} join within the window")];
            lines.extend(on.iter().map(|(l, r)| format!("on {} = {}", sql(l), sql(r))));
            lines.extend(filter.iter().map(|f| format!("where {}", sql(f))));
            lines
        }
    }
}

fn read(source: &SourceNode, node: &Node) -> Vec<String> {
    let table = &source.table;
    let stored = table.stored_schema();
    let decoded: Vec<_> = source
        .stored
        .iter()
        .map(|i| {
            let name = stored.field(*i).name();
            let metadata = table
                .columns
                .iter()
                .find(|c| c.field.name() == name)
                .and_then(|c| match &c.kind {
                    ColumnKind::Metadata(key) => Some(format!("{name} (metadata {key})")),
                    _ => None,
                });
            metadata.unwrap_or_else(|| name.clone())
        })
        .collect();
    let mut lines = vec![format!("read {} ({})", table.name, table.spec.describe())];
    lines.push(format!(
        "decodes {} of {}: {}",
        decoded.len(),
        stored.fields().len(),
        decoded.join(", ")
    ));
    lines.extend(
        source
            .generated
            .iter()
            .map(|g| format!("computes {} = {}", g.name, sql(&g.expr))),
    );
    lines.push(match &source.event_time {
        Some(expr) => format!("event time {}", sql(expr)),
        None => "event time of the record".to_string(),
    });
    lines.push(match &source.watermark {
        Some(expr) => format!("watermark {}", sql(expr)),
        None => "watermark event time - 1 s".to_string(),
    });
    lines.push(columns(node));
    lines
}

fn grouped(keys: &[NamedExpr], aggregates: &[Aggregate]) -> Vec<String> {
    let mut lines = Vec::new();
    if !keys.is_empty() {
        lines.push(format!("keys {}", named(keys)));
    }
    for aggregate in aggregates {
        let name = aggregate
            .function
            .human_display()
            .filter(|n| !n.is_empty())
            .unwrap_or(aggregate.function.name());
        let state = if aggregate.commutative {
            "one state a worker"
        } else {
            "one state a partition"
        };
        lines.push(format!("{} ({state})", readable(name)));
    }
    lines
}

fn named(exprs: &[NamedExpr]) -> String {
    let one = |e: &NamedExpr| {
        let (expr, name) = (sql(&e.expr), readable(&e.name));
        if expr == name {
            expr
        } else {
            format!("{expr} as {name}")
        }
    };
    if exprs.is_empty() {
        return "no columns".to_string();
    }
    exprs.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn columns(node: &Node) -> String {
    let one = |f: &Arc<arrow::datatypes::Field>| {
        let name = if *f.data_type() == window_type() {
            "WINDOW".to_string()
        } else {
            crate::insert::sql_type(f.data_type())
        };
        format!(
            "{} {name}{}",
            readable(f.name()),
            if f.is_nullable() { "" } else { " NOT NULL" }
        )
    };
    format!(
        "columns {}",
        node.schema.fields().iter().map(one).collect::<Vec<_>>().join(", ")
    )
}

fn sql(expr: &Arc<dyn PhysicalExpr>) -> String {
    readable(&fmt_sql(expr.as_ref()).to_string())
}

/// DataFusion's names of constants and frames, in fewer words.
fn readable(text: &str) -> String {
    const INTERVAL: &str = "IntervalMonthDayNano { months: ";
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(INTERVAL) {
        let Some((fields, behind)) = after.split_once(" }") else {
            break;
        };
        let numbers: Vec<i64> = fields
            .split(|c: char| !c.is_ascii_digit() && c != '-')
            .filter_map(|n| n.parse().ok())
            .collect();
        let width = match numbers.as_slice() {
            &[0, days, nanos] => days.checked_mul(86_400_000_000_000).and_then(|d| d.checked_add(nanos)),
            _ => None,
        };
        let Some(width) = width else { break };
        let (before, behind) = match (
            before.strip_suffix("IntervalMonthDayNano(\""),
            behind.strip_prefix("\")"),
        ) {
            (Some(before), Some(behind)) => (before, behind),
            _ => (before, behind),
        };
        out.push_str(before);
        out.push_str(&Nanos(width).to_string());
        rest = behind;
    }
    out.push_str(rest);
    out.replace(" RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW", "")
        .replace("count(Int64(1))", "count(*)")
}
