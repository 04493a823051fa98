//! `count_min_estimate(sketch, item)`: what a Count-Min table knows of an item.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::{Documentation, ScalarUDF};
use hitters_sketch::CountMin;

use crate::aggregate::{Output, Value};
use crate::argument::{self, run_error};
use crate::lookup::{Key, key};
use crate::manual;
use crate::scalar::{Arguments, Function, Sketches, scalar};

const NAME: &str = "count_min_estimate";

/// The function.
pub(super) fn function() -> Arc<ScalarUDF> {
    scalar(CountMinEstimate)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct CountMinEstimate;

impl Function for CountMinEstimate {
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
        let mut tables: Sketches<'_, CountMin> = Sketches::new(arguments, |bytes| super::read(NAME, bytes));
        Output::Answer.array((0..arguments.rows()).map(|row| {
            let (Some(table), false) = (tables.row(row)?, arguments.is_null(1, row)) else {
                return Ok(None);
            };
            let key = key(arguments, 1, row, table.kind()).map_err(|error| run_error(NAME, error))?;
            let estimate = match key {
                Key::Bytes(bytes) => table.estimate(bytes),
                Key::Digits(digits) => table.estimate(digits.as_bytes()),
                Key::Integer(number) => table.estimate_i64(number),
            };
            Ok(Some(Value::Answer(estimate.to_json())))
        }))
    }

    fn documentation(&self) -> Documentation {
        manual::page(
            "Returns what a Count-Min table knows of an item as JSON text: `estimate` and `upper`, below which the true count \
             never is; `lower`, which is 0; and `likely_lower`, above which it is with the probability `confidence`, a \
             statement about the draw of the hashes and no proof. NULL in, NULL out.",
            "count_min_estimate(sketch, item)",
        )
        .with_sql_example("SELECT count_min_estimate(counts, '/index.html') FROM minutes")
        .with_argument("sketch", "BYTEA: a table of count_min_accumulate or count_min_combine.")
        .with_argument("item", "The item, of the type that was counted, or its text. May be a column.")
        .with_related_udf("count_min_accumulate")
        .build()
    }
}
