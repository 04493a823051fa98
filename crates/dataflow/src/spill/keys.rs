//! Keys of groups in comparable form: the order of runs, and of rows that are published in the order of their keys.

use crate::Error;
use crate::batch::take_rows;
use arrow::array::{RecordBatch, UInt32Array};
use arrow::row::{RowConverter, Rows, SortField};

/// The keys of some rows. Those of a grouping without keys are all equal.
pub struct Keys {
    rows: Option<Rows>,
    len: usize,
}

impl Keys {
    /// Of a batch whose first `count` columns are the keys.
    pub fn of(rows: &RecordBatch, count: usize) -> Result<Self, Error> {
        let columns = &rows.columns()[..count];
        let len = rows.num_rows();
        if columns.is_empty() {
            return Ok(Self { rows: None, len });
        }
        let fields = columns
            .iter()
            .map(|column| SortField::new(column.data_type().clone()))
            .collect();
        let rows = RowConverter::new(fields)?.convert_columns(columns)?;
        Ok(Self { rows: Some(rows), len })
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// The key of a row.
    pub fn get(&self, row: usize) -> &[u8] {
        self.rows.as_ref().map_or(&[], |rows| rows.row(row).data())
    }

    /// How many of the rows from `from` on, which are in order, have a key of at most `bound`.
    pub fn up_to(&self, from: usize, bound: &[u8]) -> usize {
        let (mut low, mut high) = (from, self.len);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.get(middle) <= bound {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low - from
    }
}

/// Rows in the order of their keys, which are their first `count` columns, with these keys.
pub fn sorted(rows: &RecordBatch, count: usize) -> Result<(RecordBatch, Keys), Error> {
    let keys = Keys::of(rows, count)?;
    if (1..keys.len()).all(|row| keys.get(row - 1) <= keys.get(row)) {
        return Ok((rows.clone(), keys));
    }
    let mut order: Vec<u32> = (0..keys.len() as u32).collect();
    order.sort_unstable_by(|a, b| keys.get(*a as usize).cmp(keys.get(*b as usize)));
    let rows = take_rows(rows, &UInt32Array::from(order))?;
    let keys = Keys::of(&rows, count)?;
    Ok((rows, keys))
}
