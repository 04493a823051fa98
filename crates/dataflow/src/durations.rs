//! A time moved by a constant interval without months.
//!
//! Arrow adds intervals by the calendar, row by row, as months ask for: several times what all else costs that a watermark is made
//! of. Days and less are the same number of nanoseconds everywhere, as timestamps here have no zone: a duration, which is one
//! addition of columns. Bounds are the same: what leaves the range of timestamps is an error. The plan keeps the interval, since
//! saved state is recognised by its text.

use arrow::datatypes::{DataType, Schema, TimeUnit};
use datafusion_common::ScalarValue;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_expr::Operator;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{BinaryExpr, Literal, lit};
use std::sync::Arc;

const DAY: i64 = 86_400_000_000_000;
const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Nanosecond, None);

/// Puts durations in the place of such intervals, in an expression over these columns. Types and values stay as they are.
pub fn of_intervals(expr: &Arc<dyn PhysicalExpr>, input: &Schema) -> Arc<dyn PhysicalExpr> {
    let shorter = |expr: Arc<dyn PhysicalExpr>| {
        let Some(moved) = expr.downcast_ref::<BinaryExpr>() else {
            return Ok(Transformed::no(expr));
        };
        let (Operator::Plus | Operator::Minus, Some(nanos)) = (moved.op(), nanoseconds(moved.right())) else {
            return Ok(Transformed::no(expr));
        };
        if !moved.left().data_type(input).is_ok_and(|moved| moved == TIMESTAMP) {
            return Ok(Transformed::no(expr));
        }
        let duration = lit(ScalarValue::DurationNanosecond(Some(nanos)));
        let shorter = BinaryExpr::new(moved.left().clone(), *moved.op(), duration);
        Ok(Transformed::yes(Arc::new(shorter) as Arc<dyn PhysicalExpr>))
    };
    let shorter = expr.clone().transform_up(shorter);
    shorter.map_or_else(|_| expr.clone(), |shorter| shorter.data)
}

fn nanoseconds(expr: &Arc<dyn PhysicalExpr>) -> Option<i64> {
    let ScalarValue::IntervalMonthDayNano(Some(interval)) = expr.downcast_ref::<Literal>()?.value() else {
        return None;
    };
    let days = i64::from(interval.days).checked_mul(DAY)?;
    days.checked_add(interval.nanoseconds).filter(|_| interval.months == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, RecordBatch, TimestampNanosecondArray};
    use arrow::datatypes::{Field, IntervalMonthDayNano};
    use datafusion_physical_expr::expressions::{col, is_null};

    fn interval(months: i32, days: i32, nanoseconds: i64) -> Arc<dyn PhysicalExpr> {
        let interval = IntervalMonthDayNano::new(months, days, nanoseconds);
        lit(ScalarValue::IntervalMonthDayNano(Some(interval)))
    }

    fn moved(time: Arc<dyn PhysicalExpr>, op: Operator, by: Arc<dyn PhysicalExpr>) -> Arc<dyn PhysicalExpr> {
        Arc::new(BinaryExpr::new(time, op, by))
    }

    #[test]
    fn days_and_less_become_durations_with_the_same_values_and_months_stay() {
        use Operator::{Minus, Plus};
        let zoned = DataType::Timestamp(TimeUnit::Nanosecond, Some("Europe/Berlin".into()));
        let schema = Arc::new(Schema::new(vec![
            Field::new("t", TIMESTAMP, true),
            Field::new("z", zoned, true),
        ]));
        let (t, z) = (col("t", &schema).unwrap(), col("z", &schema).unwrap());
        let times = TimestampNanosecondArray::from(vec![Some(-7), None, Some(0), Some(1_769_860_800_123_456_789)]);
        let columns: Vec<ArrayRef> = vec![Arc::new(times.clone()), Arc::new(times.with_timezone("Europe/Berlin"))];
        let rows = RecordBatch::try_new(schema.clone(), columns).unwrap();
        for (given, changes) in [
            (moved(t.clone(), Minus, interval(0, 0, 2)), true),
            (moved(t.clone(), Plus, interval(0, -1, 5)), true),
            (
                moved(moved(t.clone(), Minus, interval(0, 1, 0)), Minus, interval(0, 0, 1)),
                true,
            ),
            (is_null(moved(t.clone(), Plus, interval(0, 3, 0))).unwrap(), true),
            (moved(t.clone(), Minus, interval(1, 0, 2)), false),
            (moved(t, Minus, interval(0, 100, 0)), true),
            // A day of a zone may have 23 hours.
            (moved(z, Minus, interval(0, 1, 0)), false),
        ] {
            let shorter = of_intervals(&given, &schema);
            assert_eq!(&shorter != &given, changes, "{given}");
            let values = |expr: &Arc<dyn PhysicalExpr>| expr.evaluate(&rows).unwrap().into_array(4).unwrap();
            assert_eq!(&values(&shorter), &values(&given), "{given}");
        }
    }

    #[test]
    fn a_time_that_leaves_the_range_is_an_error_either_way() {
        let schema = Arc::new(Schema::new(vec![Field::new("t", TIMESTAMP, true)]));
        let times: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![i64::MIN + 1]));
        let rows = RecordBatch::try_new(schema.clone(), vec![times]).unwrap();
        let given = moved(col("t", &schema).unwrap(), Operator::Minus, interval(0, 0, 2));
        assert!(given.evaluate(&rows).is_err());
        assert!(of_intervals(&given, &schema).evaluate(&rows).is_err());
    }
}
