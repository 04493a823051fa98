//! `unnest`: one row for each element of a list.

use crate::Error;
use crate::batch::{record_batch, take_rows};
use arrow::array::{Array, ArrayRef, AsArray, FixedSizeListArray, RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, SchemaRef};

/// The rows that come out, and for each the position of the row that it comes from.
///
/// NULL and empty lists give no row.
pub fn unnest(rows: &RecordBatch, column: usize, schema: &SchemaRef) -> Result<(RecordBatch, UInt32Array), Error> {
    let list = rows.column(column);
    let (elements, lengths) = flatten(list)?;
    let origins: UInt32Array = lengths
        .iter()
        .enumerate()
        .flat_map(|(row, length)| std::iter::repeat_n(row as u32, *length))
        .collect();
    let mut columns = take_rows(rows, &origins)?.columns().to_vec();
    columns[column] = elements;
    Ok((record_batch(schema.clone(), columns, origins.len())?, origins))
}

/// The elements of all lists one after another, and how many each list has.
fn flatten(list: &ArrayRef) -> Result<(ArrayRef, Vec<usize>), Error> {
    let list = match list.data_type() {
        DataType::List(field) => cast(list, &DataType::LargeList(field.clone()))?,
        DataType::FixedSizeList(field, _) => {
            let fixed: &FixedSizeListArray = list.as_fixed_size_list();
            cast(fixed, &DataType::LargeList(field.clone()))?
        }
        _ => list.clone(),
    };
    let list = list
        .as_list_opt::<i64>()
        .ok_or_else(|| Error::State(format!("unnest needs a list, not {}", list.data_type())))?;
    let lengths: Vec<usize> = (0..list.len())
        .map(|row| {
            if list.is_null(row) {
                0
            } else {
                list.value_length(row) as usize
            }
        })
        .collect();
    let positions: UInt64Array = (0..list.len())
        .flat_map(|row| {
            let start = list.value_offsets()[row] as u64;
            start..start + lengths[row] as u64
        })
        .collect();
    Ok((take(list.values(), &positions, None)?, lengths))
}
