//! How many rows of a partition `row_number()` has to keep: read off the filter above it.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator};

/// The numbering right below, through aliases.
pub(crate) fn numbered(plan: &LogicalPlan) -> Option<(&LogicalPlan, &[Expr])> {
    match plan {
        LogicalPlan::Window(window) if window.window_expr.len() == 1 => Some((plan, &window.window_expr)),
        LogicalPlan::SubqueryAlias(alias) => numbered(&alias.input),
        _ => None,
    }
}

/// The largest number that a filter lets through. Bounds from above are taken out of the filter, since the operator keeps
/// them; an equality stays.
pub(crate) fn limit(predicates: &mut Vec<&Expr>, name: &str) -> Option<usize> {
    let mut limit: Option<usize> = None;
    predicates.retain(|predicate| {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = predicate else {
            return true;
        };
        let (op, value) = match (number(left, name), literal(right), literal(left), number(right, name)) {
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

fn number(expr: &Expr, name: &str) -> bool {
    match expr {
        Expr::Column(column) => column.name == name,
        Expr::Cast(cast) => number(&cast.expr, name),
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
