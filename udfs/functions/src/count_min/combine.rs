//! `count_min_combine(sketch)`: one Count-Min table of many.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::{AggregateUDF, Documentation};
use hitters_sketch::{CountMin, Rows};

use crate::aggregate::{Batch, Cell, Columns, Definition, Output, Summary, Value, aggregate};
use crate::argument::{self, run_error};
use crate::manual;

const NAME: &str = "count_min_combine";

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
            "Adds Count-Min tables of count_min_accumulate into one. Tables of different precision meet at the coarser one. \
             NULL tables are ignored; without any table the result is NULL.",
            "count_min_combine(sketch)",
        )
        .with_sql_example("SELECT count_min_combine(counts) FROM minutes")
        .with_argument("sketch", "BYTEA: a table of count_min_accumulate. NULL adds nothing.")
        .with_related_udf("count_min_accumulate")
        .with_related_udf("count_min_estimate")
        .build()
    }
}

impl Summary for Combine {
    type Sketch = CountMin;

    fn function(&self) -> &'static str {
        NAME
    }

    fn output(&self) -> Output {
        Output::Sketch
    }

    fn columns(&self, arguments: &[ArrayRef]) -> Result<Columns> {
        match arguments {
            [tables] => Columns::new(NAME, tables, None),
            _ => internal_err!("{NAME} was called with {} columns", arguments.len()),
        }
    }

    fn update(&self, cell: &mut Cell<CountMin>, batch: &Batch<'_>, rows: Rows<'_>) -> Result<()> {
        self.merge_rows(cell, batch, rows)
    }

    fn skip(&self, _: &mut Cell<CountMin>, _: u64) -> Result<()> {
        // A NULL is a window without a table, not a row that was lost.
        Ok(())
    }

    fn save(&self, table: &CountMin) -> Vec<u8> {
        table.to_bytes()
    }

    fn load(&self, bytes: &[u8]) -> Result<CountMin> {
        super::read(NAME, bytes)
    }

    fn merge(&self, into: &mut CountMin, other: &CountMin) -> Result<()> {
        into.merge(other).map_err(|error| run_error(NAME, error))
    }

    fn finish(&self, cell: &Cell<CountMin>) -> Result<Option<Value>> {
        Ok(cell.as_ref().map(|table| Value::Sketch(table.to_bytes())))
    }

    fn size(&self, table: &CountMin) -> usize {
        size_of::<CountMin>() + table.size_bytes()
    }
}
