//! Expressions that Arroyo takes and that break on rows.

use super::At;
use super::findings::Findings;
use crate::convert::column_span;
use crate::error::Error;
use crate::functions::is_json_union;
use crate::places::Places;
use crate::types::sql_type;
use arrow::datatypes::{DataType, TimeUnit};
use datafusion_common::DFSchema;
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_expr::{Expr, ExprSchemable, LogicalPlan, Unnest};

/// Functions by JSONPath: their path is parsed once.
const PATHS: [&str; 3] = ["extract_json", "extract_json_string", "get_first_json_object"];

/// Functions with an item among their arguments, and its position. It is text there.
const ITEMS: [(&str, usize); 9] = [
    ("approx_top_k", 0),
    ("approx_top_sum", 0),
    ("approx_top_k_accumulate", 0),
    ("approx_top_sum_accumulate", 0),
    ("approx_top_k_batch", 0),
    ("approx_top_sum_batch", 0),
    ("approx_count_estimate", 1),
    ("count_min_accumulate", 0),
    ("count_min_estimate", 1),
];

/// Whether the path among a function's arguments is more than a literal.
fn computed_path(args: &[Expr]) -> bool {
    args.get(1)
        .is_some_and(|path| !matches!(path.clone().unalias(), Expr::Literal(..)))
}

/// An expression over columns of `schema`.
pub(crate) fn check(expr: &Expr, schema: &DFSchema, at: &At<'_>, found: &mut Findings) {
    let visited = expr.apply(|e| {
        match e {
            Expr::Cast(cast) => seconds(&cast.expr, cast.field.data_type(), schema, at, found),
            Expr::ScalarFunction(call) if PATHS.contains(&call.func.name()) && computed_path(&call.args) => {
                let name = call.func.name();
                found.error(
                    Error::new(format!(
                        "Arroyo takes a literal path in {name}(), and fails on anything else when rows come"
                    ))
                    .at(at(name))
                    .hint("write the path as a text, or take fields with json_get_str(value, key)"),
                );
            }
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    });
    debug_assert!(visited.is_ok());
}

/// `CAST(bigint AS TIMESTAMP)`, which DataFusion plans by way of TIMESTAMP(0).
fn seconds(from: &Expr, to: &DataType, schema: &DFSchema, at: &At<'_>, found: &mut Findings) {
    let from = match from {
        Expr::Cast(inner) if *inner.field.data_type() == DataType::Timestamp(TimeUnit::Second, None) => &inner.expr,
        other => other,
    };
    let whole = from.get_type(schema).is_ok_and(|t| t.is_integer());
    let to_time = *to == DataType::Timestamp(TimeUnit::Nanosecond, None);
    if !whole || !to_time || matches!(from, Expr::Literal(..)) {
        return;
    }
    found.error(
        Error::new("CAST of a whole number to TIMESTAMP takes it for seconds, and milliseconds then overflow and end the job on Arroyo")
            .at(column_span(from))
            .at(at(""))
            .hint("say the unit: CAST(to_timestamp_millis(x) AS TIMESTAMP), or to_timestamp_seconds(x)"),
    );
}

/// Expressions by which rows are grouped, numbered or sorted.
pub(crate) fn keys(exprs: &[Expr], schema: &DFSchema, places: &Places, found: &mut Findings) {
    for expr in exprs {
        if expr.get_type(schema).is_ok_and(|t| is_json_union(&t)) {
            found.error(
                Error::new("a JSON value cannot be a key on Arroyo: it fails when rows come")
                    .at(column_span(expr))
                    .at(places.grouping(exprs))
                    .hint("take text or a number: json_get_str(value, key), json_get_int(value, key), value->>'key'"),
            );
        }
    }
}

/// A list that may be NULL.
pub(crate) fn unnested(unnest: &Unnest, places: &Places, found: &mut Findings) {
    let list = unnest.list_type_columns.first().map(|(index, _)| *index);
    if list.is_some_and(|index| by_path(&unnest.input, index)) {
        found.warning(
            Error::new("unnest() of a NULL list gives a row with NULL on Arroyo, and none here")
                .at(places.function("unnest"))
                .hint("keep the elements that are there: WHERE element IS NOT NULL in a query around"),
        );
    }
}

/// True where the list comes out of a text by a JSONPath: NULL if the text is no JSON.
fn by_path(plan: &LogicalPlan, index: usize) -> bool {
    let LogicalPlan::Projection(projection) = plan else {
        return false;
    };
    let expr = projection.expr.get(index).map(|e| e.clone().unalias());
    matches!(expr, Some(Expr::ScalarFunction(call)) if PATHS.contains(&call.func.name()))
}

/// Items that are not text.
pub(crate) fn items(expr: &Expr, schema: &DFSchema, at: &At<'_>, found: &mut Findings) {
    let visited = expr.apply(|e| {
        let (name, args) = match e {
            Expr::ScalarFunction(call) => (call.func.name(), call.args.as_slice()),
            Expr::AggregateFunction(call) => (call.func.name(), call.params.args.as_slice()),
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        let position = ITEMS
            .iter()
            .find(|(function, _)| *function == name)
            .map(|(_, position)| *position);
        let item = position.and_then(|position| args.get(position));
        let is_text = |t: &DataType| {
            matches!(
                t,
                DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 | DataType::Null
            )
        };
        if let Some(Ok(given)) = item.map(|item| item.get_type(schema))
            && !is_text(&given)
        {
            let given = sql_type(&given);
            found.error(
                Error::new(format!(
                    "the item of {name}() is {given}, and on Arroyo it must be TEXT"
                ))
                .at(item.and_then(column_span))
                .at(at(name))
                .hint("write CAST(item AS TEXT)"),
            );
        }
        Ok(TreeNodeRecursion::Continue)
    });
    debug_assert!(visited.is_ok());
}
