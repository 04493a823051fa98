//! How many rows of a partition `row_number()` has to keep: read off the filter above it.

use datafusion_common::{Column, ScalarValue};
use datafusion_expr::{BinaryExpr, Expr, LogicalPlan, Operator};

/// True if a column is the number that a single `row_number()` below gives, with nothing but aliases and projections between.
fn is_number(plan: &LogicalPlan, column: &Column) -> bool {
    let Some(index) = plan.schema().maybe_index_of_column(column) else {
        return false;
    };
    match plan {
        LogicalPlan::Window(window) => window.window_expr.len() == 1 && index + 1 == window.schema.fields().len(),
        LogicalPlan::SubqueryAlias(alias) => {
            is_number(&alias.input, &Column::from(alias.input.schema().qualified_field(index)))
        }
        LogicalPlan::Projection(projection) => match projection.expr.get(index).cloned().map(Expr::unalias) {
            Some(Expr::Column(inner)) => is_number(&projection.input, &inner),
            _ => false,
        },
        _ => false,
    }
}

/// The largest number that a filter lets through. Bounds from above are taken out of the filter, since the operator keeps
/// them; an equality stays.
pub(crate) fn limit(predicates: &mut Vec<&Expr>, input: &LogicalPlan) -> Option<usize> {
    let mut limit: Option<usize> = None;
    predicates.retain(|predicate| {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = predicate else {
            return true;
        };
        let (op, value) = match (number(left, input), literal(right), literal(left), number(right, input)) {
            (true, Some(value), ..) => (Some(*op), value),
            (_, _, Some(value), true) => (op.swap(), value),
            _ => return true,
        };
        let (bound, stays) = match op {
            Some(Operator::LtEq) => (value, false),
            Some(Operator::Lt) => (value.saturating_sub(1), false),
            Some(Operator::Eq) => (value, true),
            _ => return true,
        };
        // No number is below 1: a filter that lets nothing through stays a filter.
        let (Ok(bound), false) = (usize::try_from(bound), bound < 1) else {
            return true;
        };
        limit = Some(limit.map_or(bound, |l| l.min(bound)));
        stays
    });
    limit
}

fn number(expr: &Expr, input: &LogicalPlan) -> bool {
    match expr {
        Expr::Column(column) => is_number(input, column),
        Expr::Cast(cast) => number(&cast.expr, input),
        _ => false,
    }
}

fn literal(expr: &Expr) -> Option<i128> {
    match expr {
        Expr::Literal(value, _) => match value {
            ScalarValue::UInt64(Some(n)) => Some(i128::from(*n)),
            ScalarValue::Int64(Some(n)) => Some(i128::from(*n)),
            ScalarValue::Int32(Some(n)) => Some(i128::from(*n)),
            _ => None,
        },
        _ => None,
    }
}
