//! `approx_top_k_estimate(sketch, k)`: the answer of a stored sketch.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::{Documentation, ScalarUDF};
use hitters_sketch::MAX_CAPACITY;

use crate::aggregate::{Output, Value};
use crate::argument::{self, run_error};
use crate::manual;
use crate::scalar::{Arguments, Function, Sketches, scalar};

const NAME: &str = "approx_top_k_estimate";

/// The function.
pub(super) fn function() -> Arc<ScalarUDF> {
    scalar(TopKEstimate)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct TopKEstimate;

impl Function for TopKEstimate {
    fn name(&self) -> &'static str {
        NAME
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        argument::count(NAME, &["sketch", "k"], types)?;
        Ok(vec![
            argument::sketch(NAME, &types[0])?,
            argument::integer(NAME, "k", &types[1])?,
        ])
    }

    fn returns(&self) -> DataType {
        Output::Answer.data_type()
    }

    fn check(&self, literals: &[Option<&ScalarValue>]) -> Result<()> {
        if let Some(Some(k)) = literals.get(1)
            && !k.is_null()
        {
            argument::positive(NAME, "k", Some(k), MAX_CAPACITY)?;
        }
        Ok(())
    }

    fn evaluate(&self, arguments: &Arguments) -> Result<ArrayRef> {
        let mut sketches = Sketches::new(arguments, |bytes| super::read(NAME, bytes));
        Output::Answer.array((0..arguments.rows()).map(|row| {
            let (Some(sketch), false) = (sketches.row(row)?, arguments.is_null(1, row)) else {
                return Ok(None);
            };
            let k = arguments.integer(1, row);
            let k = usize::try_from(k).map_err(|_| run_error(NAME, format!("k must be 1 or more, not {k}")))?;
            let answer = sketch.answer(k).map_err(|error| run_error(NAME, error))?;
            Ok(Some(Value::Answer(answer.to_json())))
        }))
    }

    fn documentation(&self) -> Documentation {
        manual::page(
            "Returns the k leading items of a sketch with proven bounds, as an answer (JSON text). A k above the sketch's \
             capacity is an error that names the fix. NULL in, NULL out.",
            "approx_top_k_estimate(sketch, k)",
        )
        .with_sql_example("SELECT approx_top_k_estimate(sketch, 10) FROM minutes")
        .with_argument("sketch", manual::SKETCH)
        .with_argument("k", "BIGINT from 1 to the sketch's capacity: how many items the answer lists. May be a column.")
        .with_related_udf("approx_top_k_combine")
        .with_related_udf("approx_heavy_hitters")
        .build()
    }
}
