//! From the groups of a complete window to its rows.

use crate::Error;
use crate::batch::{assemble, take_rows};
use crate::groups::GroupTable;
use crate::operator::{Bounds, WindowRows};
use arrow::array::{ArrayRef, RecordBatch, StructArray, TimestampNanosecondArray, UInt32Array};
use arrow::datatypes::{DataType, Field, Fields, SchemaRef, TimeUnit};
use arrow::row::{RowConverter, SortField};
use std::sync::Arc;

/// Puts rows together: group expressions with the window at its position, then results.
pub struct Publisher {
    schema: SchemaRef,
    position: usize,
    ordered: bool,
}

impl Publisher {
    /// `position` is that of the window among the group expressions. `ordered`: rows come in the order of their keys, so
    /// that the output is the same whatever the parallelism; not needed where the next step sorts anyway.
    pub fn new(schema: SchemaRef, position: usize, ordered: bool) -> Self {
        Self {
            schema,
            position,
            ordered,
        }
    }

    /// The rows of a window; empties the table.
    pub fn publish(&self, table: &mut GroupTable, window: Bounds) -> Result<WindowRows, Error> {
        let rows = table.len();
        let (keys, results) = table.take_results()?;
        let windows = window_column(&vec![window; rows]);
        Ok(WindowRows {
            window: Some(window),
            rows: self.rows(keys, windows, results, rows)?,
        })
    }

    /// Rows of keys, windows and results that stand side by side.
    pub fn rows(
        &self,
        keys: Vec<ArrayRef>,
        windows: ArrayRef,
        results: Vec<ArrayRef>,
        rows: usize,
    ) -> Result<RecordBatch, Error> {
        let order = if self.ordered { key_order(&keys)? } else { None };
        let mut columns = keys;
        columns.insert(self.position, windows);
        columns.extend(results);
        let rows = assemble(&self.schema, columns, rows)?;
        match order {
            Some(order) => take_rows(&rows, &order),
            None => Ok(rows),
        }
    }
}

/// The order of rows by their keys; `None` if there is nothing to order.
pub fn key_order(keys: &[ArrayRef]) -> Result<Option<UInt32Array>, Error> {
    if keys.is_empty() {
        return Ok(None);
    }
    let fields = keys.iter().map(|key| SortField::new(key.data_type().clone())).collect();
    let rows = RowConverter::new(fields)?.convert_columns(keys)?;
    let mut order: Vec<u32> = (0..rows.num_rows() as u32).collect();
    order.sort_unstable_by(|a, b| rows.row(*a as usize).cmp(&rows.row(*b as usize)));
    Ok(Some(UInt32Array::from(order)))
}

/// The fields of a window column.
pub fn window_fields() -> Fields {
    let time = DataType::Timestamp(TimeUnit::Nanosecond, None);
    Fields::from(vec![
        Field::new("start", time.clone(), false),
        Field::new("end", time, false),
    ])
}

/// A window column.
pub fn window_column(windows: &[Bounds]) -> ArrayRef {
    let starts: TimestampNanosecondArray = windows.iter().map(|w| Some(w.start)).collect();
    let ends: TimestampNanosecondArray = windows.iter().map(|w| Some(w.end)).collect();
    let columns: Vec<ArrayRef> = vec![Arc::new(starts), Arc::new(ends)];
    Arc::new(StructArray::new(window_fields(), columns, None))
}
