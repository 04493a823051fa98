//! Expressions as SQL text, for people: `hitters explain` and messages.
//!
//! DataFusion's own text names constants by their Arrow types and intervals by their fields; this one can be read, and mostly
//! typed in again. A column is shown by its label, which the caller gives for each position of the input.

use crate::types::sql_type;
use arrow::temporal_conversions::timestamp_ns_to_datetime;
use datafusion_common::ScalarValue;
use datafusion_expr::Operator;
use datafusion_physical_expr::expressions::{
    BinaryExpr, CaseExpr, CastExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal, NegativeExpr,
    NotExpr, TryCastExpr,
};
use datafusion_physical_expr::{PhysicalExpr, PhysicalSortExpr, ScalarFunctionExpr};
use datafusion_physical_expr_common::physical_expr::fmt_sql;
use std::sync::Arc;

/// An expression over columns with these labels.
pub(crate) fn expression(expr: &Arc<dyn PhysicalExpr>, labels: &[String]) -> String {
    let sql = |expr: &Arc<dyn PhysicalExpr>| expression(expr, labels);
    let list = |exprs: &[Arc<dyn PhysicalExpr>]| exprs.iter().map(sql).collect::<Vec<_>>().join(", ");
    // `a + b` needs parentheses where `a` alone does not.
    let operand = |expr: &Arc<dyn PhysicalExpr>| match expr.downcast_ref::<BinaryExpr>() {
        Some(_) => format!("({})", sql(expr)),
        None => sql(expr),
    };
    if let Some(column) = expr.downcast_ref::<Column>() {
        return match labels.get(column.index()) {
            Some(label) => label.clone(),
            None => name(column.name()),
        };
    }
    if let Some(value) = expr.downcast_ref::<Literal>() {
        return literal(value.value());
    }
    if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
        let precedence = binary.op().precedence();
        let side = |expr: &Arc<dyn PhysicalExpr>, right: bool| {
            let inner = expr.downcast_ref::<BinaryExpr>().map(BinaryExpr::op);
            let loose = inner.is_some_and(|op| {
                let groups = matches!(op, Operator::And | Operator::Or | Operator::Plus | Operator::Multiply);
                op.precedence() < precedence
                    || op.precedence() == 0
                    || (right && op.precedence() == precedence && !(groups && op == binary.op()))
            });
            if loose { format!("({})", sql(expr)) } else { sql(expr) }
        };
        return format!(
            "{} {} {}",
            side(binary.left(), false),
            binary.op(),
            side(binary.right(), true)
        );
    }
    if let Some(cast) = expr.downcast_ref::<CastExpr>() {
        return format!("CAST({} AS {})", sql(cast.expr()), sql_type(cast.cast_type()));
    }
    if let Some(cast) = expr.downcast_ref::<TryCastExpr>() {
        return format!("TRY_CAST({} AS {})", sql(cast.expr()), sql_type(cast.cast_type()));
    }
    if let Some(function) = expr.downcast_ref::<ScalarFunctionExpr>() {
        if let ("get_field", [value, field]) = (function.fun().name(), function.args())
            && let Some(field) = field.downcast_ref::<Literal>().and_then(|l| text(l.value()))
        {
            return format!("{}.{}", operand(value), name(field));
        }
        return format!("{}({})", function.fun().name(), list(function.args()));
    }
    if let Some(case) = expr.downcast_ref::<CaseExpr>() {
        return self::case(case, labels);
    }
    if let Some(is_null) = expr.downcast_ref::<IsNullExpr>() {
        return format!("{} IS NULL", operand(is_null.arg()));
    }
    if let Some(is_not_null) = expr.downcast_ref::<IsNotNullExpr>() {
        return format!("{} IS NOT NULL", operand(is_not_null.arg()));
    }
    if let Some(not) = expr.downcast_ref::<NotExpr>() {
        return format!("NOT {}", operand(not.arg()));
    }
    if let Some(negative) = expr.downcast_ref::<NegativeExpr>() {
        return format!("-{}", operand(negative.arg()));
    }
    if let Some(in_list) = expr.downcast_ref::<InListExpr>() {
        let not = if in_list.negated() { " NOT" } else { "" };
        return format!("{}{not} IN ({})", operand(in_list.expr()), list(in_list.list()));
    }
    if let Some(like) = expr.downcast_ref::<LikeExpr>() {
        let not = if like.negated() { " NOT" } else { "" };
        let word = if like.case_insensitive() { "ILIKE" } else { "LIKE" };
        return format!("{}{not} {word} {}", operand(like.expr()), sql(like.pattern()));
    }
    fmt_sql(expr.as_ref()).to_string()
}

/// `ORDER BY` of one expression, without what is SQL's default.
pub(crate) fn order(sort: &PhysicalSortExpr, labels: &[String]) -> String {
    let direction = if sort.options.descending { " DESC" } else { "" };
    let nulls = match (sort.options.nulls_first, sort.options.descending) {
        (first, descending) if first == descending => "",
        (true, _) => " NULLS FIRST",
        (false, _) => " NULLS LAST",
    };
    format!("{}{direction}{nulls}", expression(&sort.expr, labels))
}

/// The optimiser makes `coalesce(a, b)` a CASE, which is turned back.
fn case(case: &CaseExpr, labels: &[String]) -> String {
    let sql = |expr: &Arc<dyn PhysicalExpr>| expression(expr, labels);
    let first_of = |(when, then): &(Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>)| {
        when.downcast_ref::<IsNotNullExpr>()
            .is_some_and(|test| test.arg().as_ref() == then.as_ref())
    };
    if let (None, Some(last)) = (case.expr(), case.else_expr())
        && case.when_then_expr().iter().all(first_of)
    {
        let values = case.when_then_expr().iter().map(|(_, then)| sql(then));
        return format!("coalesce({})", values.chain([sql(last)]).collect::<Vec<_>>().join(", "));
    }
    let mut out = "CASE".to_string();
    if let Some(value) = case.expr() {
        out.push_str(&format!(" {}", sql(value)));
    }
    for (when, then) in case.when_then_expr() {
        out.push_str(&format!(" WHEN {} THEN {}", sql(when), sql(then)));
    }
    if let Some(value) = case.else_expr() {
        out.push_str(&format!(" ELSE {}", sql(value)));
    }
    out + " END"
}

/// A constant as it is written.
fn literal(value: &ScalarValue) -> String {
    if value.is_null() {
        return "NULL".to_string();
    }
    if let Some(text) = text(value) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    match value {
        ScalarValue::IntervalMonthDayNano(Some(i)) => interval(i.months, i.days, i.nanoseconds),
        ScalarValue::IntervalDayTime(Some(i)) => interval(0, i.days, i64::from(i.milliseconds) * 1_000_000),
        ScalarValue::IntervalYearMonth(Some(months)) => interval(*months, 0, 0),
        ScalarValue::DurationNanosecond(Some(nanos)) => interval(0, 0, *nanos),
        ScalarValue::TimestampNanosecond(Some(nanos), None) => match timestamp_ns_to_datetime(*nanos) {
            Some(time) => format!("TIMESTAMP '{}'", time.format("%Y-%m-%d %H:%M:%S%.f")),
            None => value.to_string(),
        },
        ScalarValue::Date32(Some(_)) => format!("DATE '{value}'"),
        other => other.to_string(),
    }
}

fn text(value: &ScalarValue) -> Option<&str> {
    match value {
        ScalarValue::Utf8(text) | ScalarValue::Utf8View(text) | ScalarValue::LargeUtf8(text) => text.as_deref(),
        _ => None,
    }
}

/// `INTERVAL '1 month 2 days 10 seconds'`.
pub(crate) fn interval(months: i32, days: i32, nanos: i64) -> String {
    const UNITS: [(i64, &str); 7] = [
        (86_400_000_000_000, "day"),
        (3_600_000_000_000, "hour"),
        (60_000_000_000, "minute"),
        (1_000_000_000, "second"),
        (1_000_000, "millisecond"),
        (1_000, "microsecond"),
        (1, "nanosecond"),
    ];
    let mut parts = Vec::new();
    let mut part = |number: i64, unit: &str| {
        if number != 0 {
            parts.push(format!("{number} {unit}{}", if number == 1 { "" } else { "s" }));
        }
    };
    part(months.into(), "month");
    part(days.into(), "day");
    let (size, unit) = UNITS
        .into_iter()
        .find(|(size, _)| nanos % size == 0)
        .unwrap_or(UNITS[6]);
    part(nanos / size, unit);
    match parts.is_empty() {
        true => "INTERVAL '0 seconds'".to_string(),
        false => format!("INTERVAL '{}'", parts.join(" ")),
    }
}

/// A name as it is written: in quotes unless it is a plain word.
pub(crate) fn name(name: &str) -> String {
    if is_word(name) {
        name.to_string()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

/// Letters, digits and `_`, not beginning with a digit.
pub(crate) fn is_word(name: &str) -> bool {
    name.chars().all(|c| c.is_alphanumeric() || c == '_')
        && !name.starts_with(|c: char| c.is_numeric())
        && !name.is_empty()
}

#[cfg(test)]
mod tests {
    use super::interval;

    #[test]
    fn intervals_are_told_in_their_largest_whole_unit() {
        assert_eq!(interval(0, 0, 10_000_000_000), "INTERVAL '10 seconds'");
        assert_eq!(interval(0, 0, 90_000_000_000), "INTERVAL '90 seconds'");
        assert_eq!(interval(0, 0, 86_400_000_000_000), "INTERVAL '1 day'");
        assert_eq!(interval(0, 0, 1_500_000), "INTERVAL '1500 microseconds'");
        assert_eq!(interval(1, -2, 3_600_000_000_000), "INTERVAL '1 month -2 days 1 hour'");
        assert_eq!(interval(0, 0, 0), "INTERVAL '0 seconds'");
    }
}
