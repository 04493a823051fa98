//! What the aggregates over rows keep for a group: a [`TopK`], which ends as an answer or as its bytes.

use std::sync::Arc;

use arrow::array::ArrayRef;
use datafusion_common::{Result, internal_err};
use hitters_sketch::{Error, ItemKind, Measure, Rows, TopK};

use crate::aggregate::{Batch, Cell, Columns, Output, Summary, Value};
use crate::argument::run_error;

/// A call of `approx_top_k`, `approx_top_sum` or one of their `_accumulate`.
#[derive(Debug)]
pub(super) struct RowSummary {
    pub function: &'static str,
    pub kind: ItemKind,
    pub measure: Measure,
    pub capacity: usize,
    /// How many items the answer lists; `None`: the sketch itself comes out.
    pub k: Option<usize>,
}

impl RowSummary {
    fn empty(&self) -> Result<TopK> {
        TopK::new(self.kind, self.measure, self.capacity).map_err(|error| self.error(error))
    }

    fn error(&self, error: Error) -> datafusion_common::DataFusionError {
        run_error(self.function, error)
    }

    fn sketch<'a>(&self, cell: &'a mut Cell<TopK>) -> Result<&'a mut TopK> {
        match cell {
            Some(sketch) => Ok(Arc::make_mut(sketch)),
            None => Ok(Arc::make_mut(cell.insert(Arc::new(self.empty()?)))),
        }
    }
}

impl Summary for RowSummary {
    type Sketch = TopK;

    fn function(&self) -> &'static str {
        self.function
    }

    fn output(&self) -> Output {
        if self.k.is_some() {
            Output::Answer
        } else {
            Output::Sketch
        }
    }

    fn columns(&self, arguments: &[ArrayRef]) -> Result<Columns> {
        match (arguments, self.measure) {
            ([items, ..], Measure::Count) => Columns::new(self.function, items, None),
            ([items, weights, ..], Measure::Sum) => Columns::new(self.function, items, Some(weights)),
            _ => internal_err!("{} was called with {} columns", self.function, arguments.len()),
        }
    }

    fn update(&self, cell: &mut Cell<TopK>, batch: &Batch<'_>, rows: Rows<'_>) -> Result<()> {
        self.sketch(cell)?.update_batch(batch.items, rows, batch.weights);
        Ok(())
    }

    fn skip(&self, cell: &mut Cell<TopK>, rows: u64) -> Result<()> {
        self.sketch(cell)?.skip(rows);
        Ok(())
    }

    fn save(&self, sketch: &TopK) -> Vec<u8> {
        sketch.to_bytes()
    }

    fn load(&self, bytes: &[u8]) -> Result<TopK> {
        let sketch = super::read(self.function, bytes)?;
        if (sketch.kind(), sketch.measure(), sketch.capacity()) != (self.kind, self.measure, self.capacity) {
            let (kind, measure, capacity) = (sketch.kind(), sketch.measure(), sketch.capacity());
            let found = format!("a {measure} of {kind} items with capacity {capacity}");
            let wanted = format!(
                "a {} of {} items with capacity {}",
                self.measure, self.kind, self.capacity
            );
            let hint = "the query has changed since; start it without that state";
            return Err(run_error(
                self.function,
                format!("the state is {found}, not {wanted} ({hint})"),
            ));
        }
        Ok(sketch)
    }

    fn merge(&self, into: &mut TopK, other: &TopK) -> Result<()> {
        into.merge(other).map_err(|error| self.error(error))
    }

    fn finish(&self, cell: &Cell<TopK>) -> Result<Option<Value>> {
        let empty;
        let sketch = match cell {
            Some(sketch) => sketch.as_ref(),
            None => {
                empty = self.empty()?;
                &empty
            }
        };
        Ok(Some(match self.k {
            Some(k) => Value::Answer(sketch.answer(k).map_err(|error| self.error(error))?.to_json()),
            None => Value::Sketch(sketch.to_bytes()),
        }))
    }

    fn size(&self, sketch: &TopK) -> usize {
        size_of::<TopK>() + sketch.size_bytes()
    }
}
