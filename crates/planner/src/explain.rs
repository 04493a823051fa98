//! A plan for people: `hitters explain`, and snapshots in tests.
//!
//! Columns that SQL gives no name (a window, an aggregate, an expression) are shown as what computes them.

use crate::plan::{Aggregate, NamedExpr, Node, NodeId, NodeKind, Plan, SourceNode};
use crate::sql_text::{expression, is_word, name, order};
use crate::table::ColumnKind;
use crate::types::sql_type;
use crate::window_calls::window_type;
use datafusion_common::JoinType;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::Column;
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
        labels: labels(plan),
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

/// The aggregates of a window or a regrouping as calls, the functions that the engine runs with their arguments.
pub fn aggregate_calls(plan: &Plan, id: NodeId) -> Vec<String> {
    match plan.nodes.get(id) {
        Some(Node {
            kind: NodeKind::Window(window),
            inputs,
            ..
        }) => {
            let input = of_inputs(&labels(plan), inputs);
            window.aggregates.iter().map(|a| call(a, &input)).collect()
        }
        Some(Node {
            kind: NodeKind::Regroup { aggregates, .. },
            inputs,
            ..
        }) => {
            let input = of_inputs(&labels(plan), inputs);
            aggregates.iter().map(|a| call(a, &input)).collect()
        }
        _ => Vec::new(),
    }
}

struct Printer<'p> {
    plan: &'p Plan,
    /// Of each node what its columns are shown as.
    labels: Vec<Vec<String>>,
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
        let mut lines = describe(node, &self.labels).into_iter();
        self.line(depth, &format!("{number}{}", lines.next().unwrap_or_default()));
        for further in lines {
            self.line(depth + 2, &further);
        }
        for input in &node.inputs {
            self.node(*input, depth + 1);
        }
    }
}

/// Of each node what its columns are shown as.
fn labels(plan: &Plan) -> Vec<Vec<String>> {
    let mut labels: Vec<Vec<String>> = Vec::with_capacity(plan.nodes.len());
    for node in &plan.nodes {
        let input = of_inputs(&labels, &node.inputs);
        let mut own = match &node.kind {
            NodeKind::Source(_) => Vec::new(),
            NodeKind::Project(exprs) => exprs.iter().map(|e| label(e, &input)).collect(),
            NodeKind::Unnest { column } => {
                let mut own = input;
                if let Some(list) = own.get_mut(*column) {
                    *list = format!("unnest({list})");
                }
                own
            }
            NodeKind::Window(window) => {
                let mut own: Vec<_> = window.keys.iter().map(|key| label(key, &input)).collect();
                own.insert(window.position.min(own.len()), window.window.to_string());
                own.extend(window.aggregates.iter().map(|a| call(a, &input)));
                own
            }
            NodeKind::Regroup { keys, aggregates } => {
                let keys = keys.iter().map(|key| label(key, &input));
                keys.chain(aggregates.iter().map(|a| call(a, &input))).collect()
            }
            NodeKind::RowNumber { .. } => input.into_iter().chain(["row_number()".to_string()]).collect(),
            NodeKind::Join { .. } => sides(&labels, &node.inputs).concat(),
            NodeKind::Filter(_) | NodeKind::Union | NodeKind::Sink(_) => input,
        };
        // Names that were given are kept, unless an operator made the column.
        let fields = node.schema.fields();
        own.truncate(fields.len());
        let computed = own.len();
        own.extend(fields[computed..].iter().map(|f| name(f.name())));
        if matches!(node.kind, NodeKind::Union) {
            // Each input computes a column in its own way.
            for (position, (field, label)) in fields.iter().zip(&mut own).enumerate() {
                *label = match is_word(field.name()) {
                    true => field.name().clone(),
                    false => format!("column {}", position + 1),
                };
            }
        }
        labels.push(own);
    }
    labels
}

/// The columns of all inputs side by side; those of the first one for operators that take the same from each.
fn of_inputs(labels: &[Vec<String>], inputs: &[NodeId]) -> Vec<String> {
    inputs
        .iter()
        .filter_map(|id| labels.get(*id))
        .flatten()
        .cloned()
        .collect()
}

/// The columns of a join's inputs, with their side before a name that both have.
fn sides(labels: &[Vec<String>], inputs: &[NodeId]) -> [Vec<String>; 2] {
    let side = |i: usize| of_inputs(labels, inputs.get(i..=i).unwrap_or_default());
    let (left, right) = (side(0), side(1));
    let named = |own: &[String], other: &[String], side: &str| {
        let one = |label: &String| match other.contains(label) && is_word(label) {
            true => format!("{side}.{label}"),
            false => label.clone(),
        };
        own.iter().map(one).collect()
    };
    [named(&left, &right, "left"), named(&right, &left, "right")]
}

/// The name that SQL gave, or the expression.
fn label(expr: &NamedExpr, input: &[String]) -> String {
    if is_word(&expr.name) {
        expr.name.clone()
    } else {
        expression(&expr.expr, input)
    }
}

/// `sum(DISTINCT x) FILTER (WHERE y > 3)`.
fn call(aggregate: &Aggregate, input: &[String]) -> String {
    let function = &aggregate.function;
    let arguments: Vec<_> = function.expressions().iter().map(|e| expression(e, input)).collect();
    let mut arguments = match (function.fun().name(), arguments.as_slice()) {
        ("count", [one]) if one == "1" => "*".to_string(),
        _ => arguments.join(", "),
    };
    if function.is_distinct() {
        arguments.insert_str(0, "DISTINCT ");
    }
    if !function.order_bys().is_empty() {
        let orders: Vec<_> = function.order_bys().iter().map(|s| order(s, input)).collect();
        arguments.push_str(&format!(" ORDER BY {}", orders.join(", ")));
    }
    let filter = aggregate
        .filter
        .as_ref()
        .map(|f| format!(" FILTER (WHERE {})", expression(f, input)));
    format!("{}({arguments}){}", function.fun().name(), filter.unwrap_or_default())
}

/// First line: the operator. Further lines: its details.
fn describe(node: &Node, labels: &[Vec<String>]) -> Vec<String> {
    let input = of_inputs(labels, &node.inputs);
    let input = input.as_slice();
    let sql = |expr: &Arc<dyn PhysicalExpr>| expression(expr, input);
    match &node.kind {
        NodeKind::Sink(Some(table)) => vec![
            format!("write {} ({})", table.name, table.spec.describe()),
            columns(node, input),
        ],
        NodeKind::Sink(None) => vec!["print".to_string(), columns(node, input)],
        NodeKind::Source(source) => read(source, node),
        NodeKind::Project(exprs) => vec![format!("project {}", named(exprs, input))],
        NodeKind::Filter(predicate) => vec![format!("filter {}", sql(predicate))],
        NodeKind::Unnest { column } => vec![format!("unnest {}", input.get(*column).cloned().unwrap_or_default())],
        NodeKind::Union => vec!["union all".to_string()],
        NodeKind::Window(window) => {
            let mut lines = vec![format!("window {}", window.window)];
            lines.extend(grouped(&window.keys, &window.aggregates, input));
            lines
        }
        NodeKind::Regroup { keys, aggregates } => {
            let mut lines = vec!["regroup within the window".to_string()];
            lines.extend(grouped(keys, aggregates, input));
            lines
        }
        NodeKind::RowNumber {
            partition_by,
            order_by,
            limit,
        } => {
            let list = |exprs: &mut dyn Iterator<Item = String>| exprs.collect::<Vec<_>>().join(", ");
            let mut lines = vec![
                "number rows".to_string(),
                format!("of each {}", list(&mut partition_by.iter().map(sql))),
            ];
            if !order_by.is_empty() {
                lines.push(format!(
                    "ordered by {}",
                    list(&mut order_by.iter().map(|s| order(s, input)))
                ));
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
            let [left, right] = sides(labels, &node.inputs);
            let mut lines = vec![format!("{kind} join within the window")];
            lines.extend(
                on.iter()
                    .map(|(l, r)| format!("on {} = {}", expression(l, &left), expression(r, &right))),
            );
            let both = [left, right].concat();
            lines.extend(filter.iter().map(|f| format!("where {}", expression(f, &both))));
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
    // Generated columns see the stored ones, event time and watermark both.
    let mut seen: Vec<String> = source.stored.iter().map(|i| name(stored.field(*i).name())).collect();
    let mut lines = vec![format!("read {} ({})", table.name, table.spec.describe())];
    lines.push(format!(
        "decodes {} of {}: {}",
        decoded.len(),
        stored.fields().len(),
        decoded.join(", ")
    ));
    let computed = source
        .generated
        .iter()
        .map(|g| format!("computes {} = {}", g.name, expression(&g.expr, &seen)));
    lines.extend(computed.collect::<Vec<_>>());
    seen.extend(source.generated.iter().map(|g| name(&g.name)));
    lines.push(match &source.event_time {
        Some(expr) => format!("event time {}", expression(expr, &seen)),
        None => "event time of the record".to_string(),
    });
    lines.push(match &source.watermark {
        // A column alone: rows are late as soon as a row of a later window has come.
        Some(expr) if expr.is::<Column>() => format!("watermark {}, without delay", expression(expr, &seen)),
        Some(expr) => format!("watermark {}", expression(expr, &seen)),
        None => "watermark event time - INTERVAL '1 second'".to_string(),
    });
    lines.push(columns(node, &[]));
    lines
}

fn grouped(keys: &[NamedExpr], aggregates: &[Aggregate], input: &[String]) -> Vec<String> {
    let mut lines = Vec::new();
    if !keys.is_empty() {
        lines.push(format!("keys {}", named(keys, input)));
    }
    for aggregate in aggregates {
        let state = if aggregate.commutative {
            "one state a worker"
        } else {
            "one state a partition"
        };
        lines.push(format!("{} ({state})", call(aggregate, input)));
    }
    lines
}

fn named(exprs: &[NamedExpr], input: &[String]) -> String {
    let one = |e: &NamedExpr| {
        let (expr, label) = (expression(&e.expr, input), label(e, input));
        if expr == label {
            expr
        } else {
            format!("{expr} as {label}")
        }
    };
    if exprs.is_empty() {
        return "no columns".to_string();
    }
    exprs.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Names and types of what comes out; `labels` for names that SQL made up.
fn columns(node: &Node, labels: &[String]) -> String {
    let one = |(position, f): (usize, &Arc<arrow::datatypes::Field>)| {
        let data_type = if *f.data_type() == window_type() {
            "WINDOW".to_string()
        } else {
            sql_type(f.data_type())
        };
        let shown = match labels.get(position) {
            Some(label) if !is_word(f.name()) => label.clone(),
            _ => name(f.name()),
        };
        format!("{shown} {data_type}{}", if f.is_nullable() { "" } else { " NOT NULL" })
    };
    let fields = node.schema.fields().iter().enumerate();
    format!("columns {}", fields.map(one).collect::<Vec<_>>().join(", "))
}
