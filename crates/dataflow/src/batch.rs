//! Rows on their way from a source to the first window.

use crate::Error;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{cast, concat_batches, filter, filter_record_batch, take, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use std::sync::Arc;

/// Rows of one partition with their event times, in the order of the log.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The partition: its position among all partitions of the dataflow.
    pub partition: usize,
    /// The rows.
    pub rows: RecordBatch,
    /// Event time of each row, nanoseconds since the epoch; no NULLs.
    pub times: Int64Array,
    /// The partition's watermark before each row, which decides whether it is late. `None` where the whole batch is so
    /// recent that no row of it can be late for any window: the normal case, which so costs nothing.
    pub watermarks: Option<Int64Array>,
}

impl Batch {
    /// The same times with other rows (as many).
    pub fn with_rows(&self, rows: RecordBatch) -> Self {
        Self {
            partition: self.partition,
            rows,
            times: self.times.clone(),
            watermarks: self.watermarks.clone(),
        }
    }

    /// The rows for which the predicate is true.
    pub fn filter(&self, keep: &BooleanArray) -> Result<Self, Error> {
        let column = |values: &Int64Array| filter(values, keep).map(|kept| Int64Array::from(kept.to_data()));
        Ok(Self {
            partition: self.partition,
            rows: filter_record_batch(&self.rows, keep)?,
            times: column(&self.times)?,
            watermarks: self.watermarks.as_ref().map(column).transpose()?,
        })
    }

    /// Other rows, each with the times of the row that it comes from.
    pub fn take_times(&self, rows: RecordBatch, origins: &UInt32Array) -> Result<Self, Error> {
        let column = |values: &Int64Array| take(values, origins, None).map(|taken| Int64Array::from(taken.to_data()));
        Ok(Self {
            partition: self.partition,
            rows,
            times: column(&self.times)?,
            watermarks: self.watermarks.as_ref().map(column).transpose()?,
        })
    }
}

/// A record batch that keeps its number of rows when it has no columns (`count(*)` needs none).
pub fn record_batch(schema: SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch, Error> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
}

/// A record batch of this schema; columns of another encoding of the same type (views, dictionaries) are cast.
pub fn assemble(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch, Error> {
    let columns = columns
        .into_iter()
        .zip(schema.fields())
        .map(|(column, field)| match column.data_type() == field.data_type() {
            true => Ok(column),
            false => Ok(cast(&column, field.data_type())?),
        })
        .collect::<Result<_, Error>>()?;
    record_batch(schema.clone(), columns, rows)
}

/// Views hold on to the buffers of the batch that they were taken from: the bytes that they show are enough.
pub fn compact(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Utf8View => Arc::new(column.as_string_view().gc()),
        DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
        _ => column.clone(),
    }
}

/// [`compact`] for every column.
pub fn compact_rows(rows: &RecordBatch) -> Result<RecordBatch, Error> {
    let columns = rows.columns().iter().map(compact).collect();
    record_batch(rows.schema(), columns, rows.num_rows())
}

/// Bytes of what rows show, which may be a slice of larger buffers.
pub fn data_bytes(rows: &RecordBatch) -> usize {
    // A view is sixteen bytes; its text stands elsewhere if it is longer than twelve, and the length comes first.
    let views = |views: &[u128]| -> usize {
        let behind = |view: &u128| match *view as u32 {
            length if length > 12 => length as usize,
            _ => 0,
        };
        size_of_val(views) + views.iter().map(behind).sum::<usize>()
    };
    let column = |column: &ArrayRef| match column.data_type() {
        DataType::Utf8View => views(column.as_string_view().views()),
        DataType::BinaryView => views(column.as_binary_view().views()),
        _ => {
            let slice = column.to_data().get_slice_memory_size();
            slice.unwrap_or_else(|_| column.get_array_memory_size())
        }
    };
    rows.columns().iter().map(column).sum()
}

/// Writes rows as one Arrow IPC stream. Rows of a view type may share buffers with many others; only what they show is written.
pub fn write_rows(rows: &RecordBatch, bytes: &mut Vec<u8>) -> Result<(), Error> {
    let rows = compact_rows(rows)?;
    let mut writer = StreamWriter::try_new(bytes, rows.schema_ref())?;
    writer.write(&rows)?;
    writer.finish()?;
    Ok(())
}

/// Reads what [`write_rows`] wrote.
pub fn read_rows(bytes: &[u8]) -> Result<RecordBatch, Error> {
    let reader = StreamReader::try_new(bytes, None)?;
    let schema = reader.schema();
    let batches = reader.collect::<Result<Vec<_>, _>>()?;
    Ok(match <[RecordBatch; 1]>::try_from(batches) {
        Ok([rows]) => rows,
        Err(batches) => concat_batches(&schema, &batches)?,
    })
}

/// Rows at these positions; also of a batch without columns.
pub fn take_rows(rows: &RecordBatch, positions: &UInt32Array) -> Result<RecordBatch, Error> {
    if rows.num_columns() == 0 {
        return record_batch(rows.schema(), vec![], positions.len());
    }
    Ok(take_record_batch(rows, positions)?)
}
