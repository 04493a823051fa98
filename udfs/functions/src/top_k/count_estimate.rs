//! `approx_count_estimate(sketch, item)`: the bounds of any item, tracked or not.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::{Documentation, ScalarUDF};

use crate::aggregate::{Output, Value};
use crate::argument::{self, run_error};
use crate::lookup::{Key, key};
use crate::manual;
use crate::scalar::{Arguments, Function, Sketches, scalar};

const NAME: &str = "approx_count_estimate";

/// The function.
pub(super) fn function() -> Arc<ScalarUDF> {
    scalar(CountEstimate)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct CountEstimate;

impl Function for CountEstimate {
    fn name(&self) -> &'static str {
        NAME
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        argument::count(NAME, &["sketch", "item"], types)?;
        Ok(vec![
            argument::sketch(NAME, &types[0])?,
            argument::item(NAME, &types[1])?,
        ])
    }

    fn returns(&self) -> DataType {
        Output::Answer.data_type()
    }

    fn check(&self, _: &[Option<&ScalarValue>]) -> Result<()> {
        Ok(())
    }

    fn evaluate(&self, arguments: &Arguments) -> Result<ArrayRef> {
        let mut sketches = Sketches::new(arguments, |bytes| super::read(NAME, bytes));
        Output::Answer.array((0..arguments.rows()).map(|row| {
            let (Some(sketch), false) = (sketches.row(row)?, arguments.is_null(1, row)) else {
                return Ok(None);
            };
            let key = key(arguments, 1, row, sketch.kind()).map_err(|error| run_error(NAME, error))?;
            let estimate = match key {
                Key::Bytes(bytes) => sketch.estimate(bytes),
                Key::Digits(digits) => sketch.estimate(digits.as_bytes()),
                Key::Integer(number) => sketch.estimate_i64(number),
            };
            Ok(Some(Value::Answer(estimate.to_json())))
        }))
    }

    fn documentation(&self) -> Documentation {
        manual::page(
            "Returns what a sketch knows of one item as JSON text, {\"estimate\", \"lower\", \"upper\"}: the true count lies \
             between the bounds, whether the item is tracked or not. NULL in, NULL out.",
            "approx_count_estimate(sketch, item)",
        )
        .with_sql_example("SELECT json_get_int(approx_count_estimate(sketch, '/index.html'), 'upper') FROM minutes")
        .with_argument("sketch", manual::SKETCH)
        .with_argument("item", "The item, of the type that was counted, or its text. May be a column.")
        .with_related_udf("approx_top_k_estimate")
        .build()
    }
}
