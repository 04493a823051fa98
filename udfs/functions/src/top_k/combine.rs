//! `approx_top_k_combine(sketch)`: one sketch of many.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::{AggregateUDF, Documentation};
use hitters_sketch::{Rows, TopK};

use crate::aggregate::{Batch, Cell, Columns, Definition, Output, Summary, Value, aggregate};
use crate::argument::{self, run_error};
use crate::manual;

const NAME: &str = "approx_top_k_combine";

/// The function.
pub(super) fn function() -> Arc<AggregateUDF> {
    aggregate(Combine)
}

/// The function, and a call of it: there is no literal to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Combine;

impl Definition for Combine {
    type Summary = Self;

    fn name(&self) -> &'static str {
        NAME
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        argument::count(NAME, &["sketch"], types)?;
        Ok(vec![argument::sketch(NAME, &types[0])?])
    }

    fn output(&self) -> Output {
        Output::Sketch
    }

    fn nullable(&self) -> bool {
        true
    }

    fn summary(&self, _: &[DataType], _: &[Option<ScalarValue>]) -> Result<Self> {
        Ok(Self)
    }

    fn documentation(&self) -> Documentation {
        manual::page(
            "Merges sketches of approx_top_k_accumulate, approx_top_sum_accumulate and their _batch kin into one, whatever \
             windows, shards and capacities they come from; the smallest capacity wins, and all bounds hold. NULL sketches \
             are ignored; without any sketch the result is NULL. Bytes that are no sketch, and sketches of different item \
             types or of rows and weights mixed, are an error.",
            "approx_top_k_combine(sketch)",
        )
        .with_sql_example("SELECT approx_top_k_estimate(approx_top_k_combine(sketch), 10) FROM minutes")
        .with_argument("sketch", manual::SKETCH)
        .with_related_udf("approx_top_k_accumulate")
        .with_related_udf("approx_top_k_estimate")
        .build()
    }
}

impl Summary for Combine {
    type Sketch = TopK;

    fn function(&self) -> &'static str {
        NAME
    }

    fn output(&self) -> Output {
        Output::Sketch
    }

    fn columns(&self, arguments: &[ArrayRef]) -> Result<Columns> {
        match arguments {
            [sketches] => Columns::new(NAME, sketches, None),
            _ => internal_err!("{NAME} was called with {} columns", arguments.len()),
        }
    }

    fn update(&self, cell: &mut Cell<TopK>, batch: &Batch<'_>, rows: Rows<'_>) -> Result<()> {
        self.merge_rows(cell, batch, rows)
    }

    fn skip(&self, _: &mut Cell<TopK>, _: u64) -> Result<()> {
        // A NULL is a window or a batch row without a sketch, not a row that was lost.
        Ok(())
    }

    fn save(&self, sketch: &TopK) -> Vec<u8> {
        sketch.to_bytes()
    }

    fn load(&self, bytes: &[u8]) -> Result<TopK> {
        super::read(NAME, bytes)
    }

    fn merge(&self, into: &mut TopK, other: &TopK) -> Result<()> {
        into.merge(other).map_err(|error| run_error(NAME, error))
    }

    fn finish(&self, cell: &Cell<TopK>) -> Result<Option<Value>> {
        Ok(cell.as_ref().map(|sketch| Value::Sketch(sketch.to_bytes())))
    }

    fn size(&self, sketch: &TopK) -> usize {
        size_of::<TopK>() + sketch.size_bytes()
    }
}
