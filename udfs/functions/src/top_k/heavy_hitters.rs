//! `approx_heavy_hitters(sketch, phi)`: every item above a share of the total.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::{Documentation, ScalarUDF};

use crate::aggregate::{Output, Value};
use crate::argument::{self, run_error};
use crate::manual;
use crate::scalar::{Arguments, Function, Sketches, scalar};

const NAME: &str = "approx_heavy_hitters";

/// The function.
pub(super) fn function() -> Arc<ScalarUDF> {
    scalar(HeavyHitters)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct HeavyHitters;

impl Function for HeavyHitters {
    fn name(&self) -> &'static str {
        NAME
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        argument::count(NAME, &["sketch", "phi"], types)?;
        Ok(vec![
            argument::sketch(NAME, &types[0])?,
            argument::share(NAME, "phi", &types[1])?,
        ])
    }

    fn returns(&self) -> DataType {
        Output::Answer.data_type()
    }

    fn check(&self, literals: &[Option<&ScalarValue>]) -> Result<()> {
        if let Some(Some(phi)) = literals.get(1)
            && !phi.is_null()
        {
            argument::fraction(NAME, "phi", Some(phi))?;
        }
        Ok(())
    }

    fn evaluate(&self, arguments: &Arguments) -> Result<ArrayRef> {
        let mut sketches = Sketches::new(arguments, |bytes| super::read(NAME, bytes));
        Output::Answer.array((0..arguments.rows()).map(|row| {
            let (Some(sketch), false) = (sketches.row(row)?, arguments.is_null(1, row)) else {
                return Ok(None);
            };
            let answer = sketch
                .heavy_hitters(arguments.number(1, row))
                .map_err(|error| run_error(NAME, error))?;
            Ok(Some(Value::Answer(answer.to_json())))
        }))
    }

    fn documentation(&self) -> Documentation {
        manual::page(
            "Returns all items of a sketch that may have more than the share phi of the total, as an answer (JSON text): \
             `certain` ones are proven to be above it. `complete` says that no item above the share can be missing, which \
             holds when the answer's `max_missed` is below phi x total. NULL in, NULL out.",
            "approx_heavy_hitters(sketch, phi)",
        )
        .with_sql_example("SELECT approx_heavy_hitters(sketch, 0.01) FROM minutes")
        .with_argument("sketch", manual::SKETCH)
        .with_argument("phi", "DOUBLE between 0 and 1: a share of the total. May be a column.")
        .with_related_udf("approx_top_k_estimate")
        .build()
    }
}
