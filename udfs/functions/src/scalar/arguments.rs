//! The arguments of one call of a scalar function, row by row.
//!
//! A literal is kept once and read for every row: a sketch of a megabyte is not repeated a thousand times.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion_common::{Result, internal_err};
use datafusion_expr::ColumnarValue;

/// Arguments of the types that the function asked for.
pub(crate) struct Arguments {
    columns: Vec<Column>,
    rows: usize,
}

struct Column {
    values: ArrayRef,
    /// One value for all rows.
    literal: bool,
}

impl Arguments {
    /// Takes the arguments of a call, cast to `types` where the planner did not do it.
    pub fn new(arguments: Vec<ColumnarValue>, types: &[DataType], rows: usize) -> Result<Self> {
        let columns = arguments.into_iter().zip(types).map(|(argument, wanted)| {
            let (values, literal) = match argument {
                ColumnarValue::Array(values) if values.len() == rows => (values, false),
                ColumnarValue::Array(values) => {
                    return internal_err!("a column of {} rows came in a batch of {rows}", values.len());
                }
                ColumnarValue::Scalar(value) => (value.to_array()?, true),
            };
            let values = if values.data_type() == wanted {
                values
            } else {
                cast(&values, wanted)?
            };
            Ok(Column { values, literal })
        });
        Ok(Self {
            columns: columns.collect::<Result<_>>()?,
            rows,
        })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The array of an argument, and the position of a row in it.
    fn at(&self, argument: usize, row: usize) -> (&ArrayRef, usize) {
        let column = &self.columns[argument];
        (&column.values, if column.literal { 0 } else { row })
    }

    /// An argument as a column of all rows.
    pub fn column(&self, argument: usize) -> Result<ArrayRef> {
        let column = &self.columns[argument];
        if !column.literal {
            return Ok(column.values.clone());
        }
        datafusion_common::ScalarValue::try_from_array(&column.values, 0)?.to_array_of_size(self.rows)
    }

    /// Whether an argument is a literal, and then its value as an array of one.
    pub fn literal(&self, argument: usize) -> Option<&ArrayRef> {
        let column = &self.columns[argument];
        column.literal.then_some(&column.values)
    }

    /// Whether an argument is NULL in a row.
    pub fn is_null(&self, argument: usize, row: usize) -> bool {
        let (values, at) = self.at(argument, row);
        values.is_null(at)
    }

    /// The type of an argument.
    pub fn data_type(&self, argument: usize) -> &DataType {
        self.columns[argument].values.data_type()
    }

    /// A BIGINT argument.
    pub fn integer(&self, argument: usize, row: usize) -> i64 {
        let (values, at) = self.at(argument, row);
        values.as_primitive::<Int64Type>().value(at)
    }

    /// A DOUBLE argument.
    pub fn number(&self, argument: usize, row: usize) -> f64 {
        let (values, at) = self.at(argument, row);
        values.as_primitive::<Float64Type>().value(at)
    }

    /// An argument of TEXT or BYTEA, in any of Arrow's layouts.
    pub fn bytes(&self, argument: usize, row: usize) -> &[u8] {
        let (values, at) = self.at(argument, row);
        match values.data_type() {
            DataType::Utf8 => values.as_string::<i32>().value(at).as_bytes(),
            DataType::LargeUtf8 => values.as_string::<i64>().value(at).as_bytes(),
            DataType::Utf8View => values.as_string_view().value(at).as_bytes(),
            DataType::Binary => values.as_binary::<i32>().value(at),
            DataType::LargeBinary => values.as_binary::<i64>().value(at),
            _ => values.as_binary_view().value(at),
        }
    }
}
