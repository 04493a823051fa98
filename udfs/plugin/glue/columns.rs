//! The columns of a call, checked once.

use arroyo_udf_plugin::arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, BinaryArray, Int64Array, StringArray, make_array,
};
use arroyo_udf_plugin::arrow::datatypes::{DataType, Float64Type, Int64Type};

use super::{Function, Type};

/// Columns of the types that the function asks for, all of one length.
pub(crate) struct Columns {
    function: &'static [(&'static str, Type)],
    arrays: Vec<ArrayRef>,
    rows: usize,
}

impl Columns {
    pub(super) fn new(function: &Function, arguments: Vec<ArrayData>) -> Result<Self, String> {
        if arguments.len() != function.arguments.len() {
            let (wanted, given) = (function.arguments.len(), arguments.len());
            return Err(format!("takes {wanted} arguments, not {given}"));
        }
        let rows = arguments.first().map_or(0, ArrayData::len);
        for ((name, of), given) in function.arguments.iter().zip(&arguments) {
            let wanted = match of {
                Type::Text => DataType::Utf8,
                Type::Bytes => DataType::Binary,
                Type::Integer => DataType::Int64,
                Type::Number => DataType::Float64,
            };
            if *given.data_type() != wanted || given.len() != rows {
                let (given, length) = (given.data_type(), given.len());
                return Err(format!(
                    "{name} must be {rows} rows of {wanted}, not {length} of {given}"
                ));
            }
        }
        Ok(Self {
            function: function.arguments,
            arrays: arguments.into_iter().map(make_array).collect(),
            rows,
        })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Whether a value is NULL.
    pub fn is_null(&self, argument: usize, row: usize) -> bool {
        self.arrays[argument].is_null(row)
    }

    /// Whether a column holds no NULL.
    pub fn is_full(&self, argument: usize) -> bool {
        self.arrays[argument].null_count() == 0
    }

    /// A column of TEXT.
    pub fn texts(&self, argument: usize) -> &StringArray {
        self.arrays[argument].as_string()
    }

    /// A column of BIGINT.
    pub fn integers(&self, argument: usize) -> &Int64Array {
        self.arrays[argument].as_primitive::<Int64Type>()
    }

    /// A text; `None` for NULL.
    pub fn text(&self, argument: usize, row: usize) -> Option<&str> {
        (!self.is_null(argument, row)).then(|| self.texts(argument).value(row))
    }

    /// Bytes; `None` for NULL.
    pub fn bytes(&self, argument: usize, row: usize) -> Option<&[u8]> {
        let array: &BinaryArray = self.arrays[argument].as_binary();
        (!self.is_null(argument, row)).then(|| array.value(row))
    }

    /// An integer; `None` for NULL.
    pub fn integer(&self, argument: usize, row: usize) -> Option<i64> {
        (!self.is_null(argument, row)).then(|| self.integers(argument).value(row))
    }

    /// A number; `None` for NULL.
    pub fn number(&self, argument: usize, row: usize) -> Option<f64> {
        let array = self.arrays[argument].as_primitive::<Float64Type>();
        (!self.is_null(argument, row)).then(|| array.value(row))
    }

    /// An argument that is a literal, which comes as a column of equal values: a whole number from 1 to `max`.
    pub fn literal(&self, argument: usize, max: usize) -> Result<usize, String> {
        let name = self.function[argument].0;
        let must = format!("{name} must be a literal whole number from 1 to {max}");
        let first = (self.rows > 0).then(|| self.integer(argument, 0)).flatten();
        let Some(first) = first else {
            return Err(format!("{must}, not NULL"));
        };
        let values = self.integers(argument);
        if !self.is_full(argument) || values.values().iter().any(|value| *value != first) {
            return Err(format!("{must}, the same in every row"));
        }
        match usize::try_from(first) {
            Ok(number) if (1..=max).contains(&number) => Ok(number),
            _ => Err(format!("{must}, not {first}")),
        }
    }

    /// The same for a number between 0 and 1, both excluded.
    pub fn share(&self, argument: usize) -> Result<f64, String> {
        let name = self.function[argument].0;
        let must = format!("{name} must be a literal number between 0 and 1");
        let first = (self.rows > 0).then(|| self.number(argument, 0)).flatten();
        let Some(first) = first else {
            return Err(format!("{must}, not NULL"));
        };
        if (1..self.rows).any(|row| self.number(argument, row) != Some(first)) {
            return Err(format!("{must}, the same in every row"));
        }
        if first > 0.0 && first < 1.0 {
            Ok(first)
        } else {
            Err(format!("{must}, not {first}"))
        }
    }
}
