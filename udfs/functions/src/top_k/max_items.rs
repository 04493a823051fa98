//! `approx_max_items(epsilon, delta)`: the capacity for a wanted precision.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::{Documentation, ScalarUDF};

use crate::argument::{self, plan_error, run_error};
use crate::manual;
use crate::scalar::{Arguments, Function, scalar};

const NAME: &str = "approx_max_items";

/// The function.
pub(super) fn function() -> Arc<ScalarUDF> {
    scalar(MaxItems)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct MaxItems;

impl Function for MaxItems {
    fn name(&self) -> &'static str {
        NAME
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        argument::count(NAME, &["epsilon", "delta"], types)?;
        Ok(vec![
            argument::share(NAME, "epsilon", &types[0])?,
            argument::share(NAME, "delta", &types[1])?,
        ])
    }

    fn returns(&self) -> DataType {
        DataType::Int64
    }

    fn check(&self, literals: &[Option<&ScalarValue>]) -> Result<()> {
        let mut values = [0.5; 2];
        for ((value, literal), name) in values.iter_mut().zip(literals).zip(["epsilon", "delta"]) {
            if let Some(literal) = literal
                && !literal.is_null()
            {
                *value = argument::fraction(NAME, name, Some(literal))?;
            }
        }
        let [epsilon, delta] = values;
        hitters_sketch::max_items(epsilon, delta)
            .map(drop)
            .map_err(|error| plan_error(NAME, error))
    }

    fn evaluate(&self, arguments: &Arguments) -> Result<ArrayRef> {
        let values = (0..arguments.rows()).map(|row| {
            if arguments.is_null(0, row) || arguments.is_null(1, row) {
                return Ok(None);
            }
            let items = hitters_sketch::max_items(arguments.number(0, row), arguments.number(1, row))
                .map_err(|error| run_error(NAME, error))?;
            Ok(Some(items as i64))
        });
        Ok(Arc::new(values.collect::<Result<Int64Array>>()?))
    }

    fn documentation(&self) -> Documentation {
        manual::page(
            "Returns how many items (BIGINT) a sketch must track so that the upper bound of an item that is not tracked exceeds \
             its true count by at most epsilon of the total, with a probability of at least 1 - delta over the draw of the \
             hashes. It holds for every stream and is far on the safe side: the bounds in an answer are proven whatever the \
             capacity. The result serves as max_items.",
            "approx_max_items(epsilon, delta)",
        )
        .with_sql_example("SELECT approx_max_items(0.001, 0.05)")
        .with_argument("epsilon", "DOUBLE between 0 and 1: the largest error as a share of the total.")
        .with_argument("delta", "DOUBLE between 0 and 1: the probability of a larger error.")
        .with_related_udf("approx_top_k_accumulate")
        .build()
    }
}
