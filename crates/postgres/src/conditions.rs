//! Conditions of a statement that become part of the question: `region = 'eu'` is `where=region=eu` of REST, and a condition on
//! `time` is the range of a series.

use crate::faults::Refused;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use hitters_service::Problem;
use http::StatusCode;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// Groups of one question.
const MOST_GROUPS: usize = 50;

/// The values that a dimension may have.
pub type Wanted = BTreeMap<String, BTreeSet<String>>;

/// What a condition says about one column.
#[derive(Debug, PartialEq)]
pub enum Condition {
    /// The column is one of these texts.
    OneOf(String, BTreeSet<String>),
    /// The column is at or after this time, in ms.
    From(String, i64),
    /// The column is before this time.
    To(String, i64),
}

/// Reads a condition; `None` if it is of another kind.
pub fn read(filter: &Expr) -> Option<Vec<Condition>> {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::Or => {
                let (left, right) = (read(left)?, read(right)?);
                match (&left[..], &right[..]) {
                    ([Condition::OneOf(a, first)], [Condition::OneOf(b, second)]) if a == b => {
                        Some(vec![Condition::OneOf(a.clone(), first | second)])
                    }
                    _ => None,
                }
            }
            Operator::And => {
                let mut all = read(left)?;
                all.extend(read(right)?);
                Some(all)
            }
            _ => {
                let (column, op, value) = match (&**left, &**right) {
                    (Expr::Column(column), Expr::Literal(value, _)) => (column, *op, value),
                    (Expr::Literal(value, _), Expr::Column(column)) => (column, op.swap()?, value),
                    _ => return None,
                };
                compared(&column.name, op, value).map(|condition| vec![condition])
            }
        },
        Expr::InList(list) if !list.negated => {
            let Expr::Column(column) = &*list.expr else { return None };
            let value = |value: &Expr| match value {
                Expr::Literal(value, _) => text(value),
                _ => None,
            };
            let values: Option<BTreeSet<String>> = list.list.iter().map(value).collect();
            Some(vec![Condition::OneOf(column.name.clone(), values?)])
        }
        Expr::Between(between) if !between.negated => match (&*between.expr, &*between.low, &*between.high) {
            (Expr::Column(column), Expr::Literal(low, _), Expr::Literal(high, _)) => Some(vec![
                compared(&column.name, Operator::GtEq, low)?,
                compared(&column.name, Operator::LtEq, high)?,
            ]),
            _ => None,
        },
        _ => None,
    }
}

fn compared(column: &str, op: Operator, value: &ScalarValue) -> Option<Condition> {
    let column = column.to_owned();
    match op {
        Operator::Eq => text(value).map(|text| Condition::OneOf(column, [text].into())),
        Operator::Gt | Operator::GtEq => Some(Condition::From(column, millis(value)?)),
        // The condition stays in the plan: what is asked for may be wider than it.
        Operator::Lt | Operator::LtEq => Some(Condition::To(column, millis(value)?.saturating_add(1))),
        _ => None,
    }
}

fn text(value: &ScalarValue) -> Option<String> {
    value.try_as_str().flatten().map(str::to_owned)
}

/// A timestamp in ms since the epoch, rounded down.
pub fn millis(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::TimestampSecond(Some(at), _) => at.checked_mul(1000),
        ScalarValue::TimestampMillisecond(Some(at), _) => Some(*at),
        ScalarValue::TimestampMicrosecond(Some(at), _) => Some(at.div_euclid(1000)),
        ScalarValue::TimestampNanosecond(Some(at), _) => Some(at.div_euclid(1_000_000)),
        _ => None,
    }
}

/// Every combination of the wanted values: each is a question of its own.
///
/// # Errors
/// If there are too many.
pub fn combinations(wanted: &Wanted) -> Result<Vec<BTreeMap<String, String>>, Refused> {
    let mut all = vec![BTreeMap::new()];
    for (dimension, values) in wanted {
        if all.len().saturating_mul(values.len()) > MOST_GROUPS {
            let detail = format!("a question asks for {MOST_GROUPS} groups at most; name fewer values");
            let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "too-many", "too many groups", detail);
            return Err(problem.allowed(json!({ "max": MOST_GROUPS })).into());
        }
        all = all
            .iter()
            .flat_map(|group| {
                values.iter().map(move |value| {
                    let mut group: BTreeMap<String, String> = group.clone();
                    group.insert(dimension.clone(), value.clone());
                    group
                })
            })
            .collect();
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::prelude::{col, lit};

    fn one_of(column: &str, values: &[&str]) -> Condition {
        Condition::OneOf(column.into(), values.iter().map(|value| (*value).to_owned()).collect())
    }

    #[test]
    fn conditions_that_name_values_are_read() {
        assert_eq!(read(&col("r").eq(lit("eu"))), Some(vec![one_of("r", &["eu"])]));
        assert_eq!(read(&lit("eu").eq(col("r"))), Some(vec![one_of("r", &["eu"])]));
        let either = col("r").eq(lit("eu")).or(col("r").eq(lit("us")));
        assert_eq!(read(&either), Some(vec![one_of("r", &["eu", "us"])]));
        let list = col("r").in_list(vec![lit("eu"), lit("us")], false);
        assert_eq!(read(&list), Some(vec![one_of("r", &["eu", "us"])]));
        for other in [
            col("r").not_eq(lit("eu")),
            col("r").like(lit("e%")),
            col("r").eq(col("s")),
            col("r").eq(lit("eu")).or(col("s").eq(lit("eu"))),
            col("r").in_list(vec![lit("eu")], true),
        ] {
            assert_eq!(read(&other), None, "{other}");
        }
    }

    #[test]
    fn times_make_a_range() {
        let at = |millis: i64| lit(ScalarValue::TimestampMillisecond(Some(millis), Some("UTC".into())));
        let expected = vec![Condition::From("time".into(), 5), Condition::To("time".into(), 10)];
        assert_eq!(read(&col("time").between(at(5), at(9))), Some(expected));
        assert_eq!(
            read(&at(5).lt_eq(col("time"))),
            Some(vec![Condition::From("time".into(), 5)])
        );
        assert_eq!(millis(&ScalarValue::TimestampNanosecond(Some(-1), None)), Some(-1));
    }

    #[test]
    fn values_combine_up_to_a_limit() {
        let wanted = |values: usize| -> Wanted {
            let values: BTreeSet<String> = (0..values).map(|value| value.to_string()).collect();
            [("a".to_owned(), values.clone()), ("b".to_owned(), values)].into()
        };
        assert_eq!(combinations(&wanted(2)).unwrap().len(), 4);
        assert_eq!(combinations(&Wanted::new()).unwrap(), [BTreeMap::new()]);
        assert!(combinations(&wanted(8)).is_err());
    }
}
