//! Rows of answers as Arrow columns.

use crate::faults::Refused;
use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMillisecondArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::error::DataFusionError;
use hitters_service::Problem;
use http::StatusCode;
use serde_json::Value;
use std::sync::Arc;

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `bigint`.
    Int,
    /// `double precision`.
    Float,
    /// `boolean`.
    Bool,
    /// `text`.
    Text,
    /// `timestamp with time zone`.
    Time,
}

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// NULL: unknown, or there is none.
    Null,
    /// An integer.
    Int(i64),
    /// A share.
    Float(f64),
    /// A truth.
    Bool(bool),
    /// A text.
    Text(Arc<str>),
    /// Milliseconds since the epoch.
    Time(i64),
}

/// A row, in the order of its columns.
pub type Row = Vec<Cell>;

/// The columns of a table.
pub fn schema<'a>(columns: impl IntoIterator<Item = (&'a str, Kind)>) -> SchemaRef {
    let field = |(name, kind)| {
        let kind = match kind {
            Kind::Int => DataType::Int64,
            Kind::Float => DataType::Float64,
            Kind::Bool => DataType::Boolean,
            Kind::Text => DataType::Utf8,
            Kind::Time => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
        };
        Field::new(name, kind, true)
    };
    Arc::new(Schema::new(columns.into_iter().map(field).collect::<Vec<_>>()))
}

/// The rows as a batch.
///
/// # Errors
/// If rows and columns do not fit each other, which would be a fault of this crate.
pub fn batch(schema: &SchemaRef, rows: &[Row]) -> Result<RecordBatch, DataFusionError> {
    let column = |(at, field): (usize, &Arc<Field>)| -> ArrayRef {
        let cells = rows.iter().map(|row| row.get(at).unwrap_or(&Cell::Null));
        match field.data_type() {
            DataType::Int64 => Arc::new(Int64Array::from_iter(cells.map(|cell| match cell {
                Cell::Int(value) => Some(*value),
                _ => None,
            }))),
            DataType::Float64 => Arc::new(Float64Array::from_iter(cells.map(|cell| match cell {
                Cell::Float(value) => Some(*value),
                _ => None,
            }))),
            DataType::Boolean => Arc::new(BooleanArray::from_iter(cells.map(|cell| match cell {
                Cell::Bool(value) => Some(*value),
                _ => None,
            }))),
            DataType::Utf8 => Arc::new(StringArray::from_iter(cells.map(|cell| match cell {
                Cell::Text(text) => Some(text.as_ref()),
                _ => None,
            }))),
            _ => {
                let times = cells.map(|cell| match cell {
                    Cell::Time(at) => Some(*at),
                    _ => None,
                });
                Arc::new(TimestampMillisecondArray::from_iter(times).with_timezone("UTC"))
            }
        }
    };
    let columns = schema.fields().iter().enumerate().map(column).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

/// A count of an answer: a number, or a text above 2^53.
///
/// # Errors
/// If `bigint` does not hold it: a bound that is cut off would be none.
pub fn count(value: &Value) -> Result<Cell, Refused> {
    let number = match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        _ => return Ok(Cell::Null),
    };
    number.map(Cell::Int).ok_or_else(|| {
        let detail = format!("the count {value} is beyond bigint; ask for it over REST, which writes it as text");
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "too-large-for-bigint",
            "out of range",
            detail,
        )
        .into()
    })
}

/// A text, or NULL.
pub fn text(value: &Value) -> Cell {
    value.as_str().map_or(Cell::Null, |text| Cell::Text(text.into()))
}

/// A share, or NULL.
pub fn float(value: &Value) -> Cell {
    value.as_f64().map_or(Cell::Null, Cell::Float)
}

/// A truth, or NULL.
pub fn truth(value: &Value) -> Cell {
    value.as_bool().map_or(Cell::Null, Cell::Bool)
}

/// RFC 3339, or NULL.
pub fn time(value: &Value) -> Cell {
    let at = value.as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    at.map_or(Cell::Null, |at| Cell::Time(at.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn counts_are_whole_or_refused() {
        assert_eq!(count(&json!(5)).unwrap(), Cell::Int(5));
        assert_eq!(count(&json!("9007199254740993")).unwrap(), Cell::Int((1 << 53) + 1));
        assert_eq!(count(&Value::Null).unwrap(), Cell::Null);
        assert!(count(&json!("9223372036854775808")).is_err());
        assert_eq!(time(&json!("1970-01-01T01:00:01+01:00")), Cell::Time(1000));
    }

    #[test]
    fn rows_become_columns() {
        let schema = schema([("n", Kind::Int), ("t", Kind::Text), ("at", Kind::Time)]);
        let rows = vec![
            vec![Cell::Int(1), Cell::Text("a".into()), Cell::Time(5)],
            vec![Cell::Null, Cell::Null, Cell::Null],
        ];
        let batch = batch(&schema, &rows).unwrap();
        assert_eq!((batch.num_rows(), batch.column(1).null_count()), (2, 1));
        let none = super::batch(&schema, &[]).unwrap();
        assert_eq!(none.num_rows(), 0);
    }
}
