//! `count_min_accumulate(item, epsilon, delta)`: the Count-Min table of a group.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion_common::{DataFusionError, Result, ScalarValue, internal_err};
use datafusion_expr::{AggregateUDF, Documentation};
use hitters_sketch::{CountMin, Error, ItemKind, Rows};

use crate::aggregate::{Batch, Cell, Columns, Definition, Output, Summary, Value, aggregate};
use crate::argument::{self, plan_error, run_error};
use crate::manual;

const NAME: &str = "count_min_accumulate";

/// The function.
pub(super) fn function() -> Arc<AggregateUDF> {
    aggregate(Accumulate)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Accumulate;

impl Definition for Accumulate {
    type Summary = Table;

    fn name(&self) -> &'static str {
        NAME
    }

    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        argument::count(NAME, &["item", "epsilon", "delta"], types)?;
        Ok(vec![
            argument::item(NAME, &types[0])?,
            argument::share(NAME, "epsilon", &types[1])?,
            argument::share(NAME, "delta", &types[2])?,
        ])
    }

    fn output(&self) -> Output {
        Output::Sketch
    }

    fn nullable(&self) -> bool {
        false
    }

    fn summary(&self, types: &[DataType], literals: &[Option<ScalarValue>]) -> Result<Table> {
        let literal = |i: usize| literals.get(i).and_then(Option::as_ref);
        let table = Table {
            kind: argument::item_kind(&types[0]),
            epsilon: argument::fraction(NAME, "epsilon", literal(1))?,
            delta: argument::fraction(NAME, "delta", literal(2))?,
        };
        // A table that is too large is refused here, not at the first row.
        table.empty().map_err(|error| plan_error(NAME, error))?;
        Ok(table)
    }

    fn documentation(&self) -> Documentation {
        manual::page(
            "Returns a Count-Min table (BYTEA) of how often items occur. It answers for any item through \
             count_min_estimate: never too low, and too high by more than epsilon of the total with a probability of delta \
             at most. It takes about 8 x e / epsilon x ln(1 / delta) bytes from the first row on, rounded up to a power of \
             two, and names no items itself.",
            "count_min_accumulate(item, epsilon, delta)",
        )
        .with_sql_example("SELECT count_min_accumulate(page, 0.001, 0.01) AS counts FROM hits")
        .with_argument("item", manual::ITEM)
        .with_argument("epsilon", "Literal DOUBLE between 0 and 1: the error as a share of the total.")
        .with_argument("delta", "Literal DOUBLE between 0 and 1: the probability of a larger error.")
        .with_related_udf("count_min_combine")
        .with_related_udf("count_min_estimate")
        .build()
    }
}

/// A call.
#[derive(Debug)]
struct Table {
    kind: ItemKind,
    epsilon: f64,
    delta: f64,
}

impl Table {
    fn empty(&self) -> Result<CountMin, Error> {
        CountMin::new(self.kind, self.epsilon, self.delta)
    }

    fn table<'a>(&self, cell: &'a mut Cell<CountMin>) -> Result<&'a mut CountMin> {
        match cell {
            Some(table) => Ok(Arc::make_mut(table)),
            None => Ok(Arc::make_mut(cell.insert(Arc::new(self.empty().map_err(error)?)))),
        }
    }
}

fn error(error: Error) -> DataFusionError {
    run_error(NAME, error)
}

impl Summary for Table {
    type Sketch = CountMin;

    fn function(&self) -> &'static str {
        NAME
    }

    fn output(&self) -> Output {
        Output::Sketch
    }

    fn columns(&self, arguments: &[ArrayRef]) -> Result<Columns> {
        match arguments {
            [items, ..] => Columns::new(NAME, items, None),
            [] => internal_err!("{NAME} was called without columns"),
        }
    }

    fn update(&self, cell: &mut Cell<CountMin>, batch: &Batch<'_>, rows: Rows<'_>) -> Result<()> {
        self.table(cell)?.update_batch(batch.items, rows, None);
        Ok(())
    }

    fn skip(&self, cell: &mut Cell<CountMin>, rows: u64) -> Result<()> {
        self.table(cell)?.skip(rows);
        Ok(())
    }

    fn save(&self, table: &CountMin) -> Vec<u8> {
        table.to_bytes()
    }

    fn load(&self, bytes: &[u8]) -> Result<CountMin> {
        super::read(NAME, bytes)
    }

    fn merge(&self, into: &mut CountMin, other: &CountMin) -> Result<()> {
        into.merge(other).map_err(error)
    }

    fn finish(&self, cell: &Cell<CountMin>) -> Result<Option<Value>> {
        let bytes = match cell {
            Some(table) => table.to_bytes(),
            None => self.empty().map_err(error)?.to_bytes(),
        };
        Ok(Some(Value::Sketch(bytes)))
    }

    fn size(&self, table: &CountMin) -> usize {
        size_of::<CountMin>() + table.size_bytes()
    }
}
