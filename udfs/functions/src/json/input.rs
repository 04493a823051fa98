//! The arguments of the accessors: JSON text in any of its forms, and paths, the same for all rows or one a row.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, LargeStringArray, StringArray, StringViewArray, UInt64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, UInt64Type};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::ColumnarValue;

use super::find::Step;
use super::union::{json_union, nested, nested_scalar};
use crate::argument::{plan_error, run_error};

fn is_text(of: &DataType) -> bool {
    matches!(of, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn is_integer(of: &DataType) -> bool {
    matches!(of, DataType::Int64 | DataType::UInt64)
}

/// Whether JSON can be of that type: text, what `json_get` returns, or a dictionary of them.
fn is_json(of: &DataType) -> bool {
    match of {
        DataType::Dictionary(_, values) => is_text(values) || *values.as_ref() == *json_union(),
        of => is_text(of) || of == json_union(),
    }
}

/// Whether a step can be of that type, or a whole path.
fn is_path(of: &DataType) -> bool {
    match of {
        DataType::Dictionary(_, values) => is_text(values) || is_integer(values),
        // A parameter that has no type yet is NULL.
        DataType::List(field) => {
            let of = field.data_type();
            is_text(of) || is_integer(of) || of == &DataType::Null
        }
        of => is_text(of) || is_integer(of),
    }
}

/// Refuses arguments of other types.
pub(super) fn check(function: &str, types: &[DataType]) -> Result<()> {
    let Some((json, path)) = types.split_first() else {
        return Err(plan_error(function, "takes JSON and a path, not nothing"));
    };
    if !is_json(json) {
        return Err(plan_error(
            function,
            format!("argument 1 must be JSON as TEXT, not {json}"),
        ));
    }
    match path.iter().position(|of| !is_path(of)) {
        None => Ok(()),
        Some(i) => {
            let message = format!(
                "argument {} must be a key (TEXT) or an index (BIGINT), not {}",
                i + 2,
                path[i]
            );
            Err(plan_error(function, message))
        }
    }
}

/// The JSON texts of the rows.
#[derive(Debug)]
pub(super) enum Texts<'a> {
    /// The same in every row.
    One(Option<&'a str>),
    Utf8(&'a StringArray),
    LargeUtf8(&'a LargeStringArray),
    View(&'a StringViewArray),
    /// As many rows of NULL.
    Nulls(usize),
}

impl<'a> Texts<'a> {
    /// Those of a column that is no dictionary. Of the union, the nested values that a step by key (or else by index) can go into.
    pub fn of_column(function: &str, column: &'a ArrayRef, by_key: bool) -> Result<Self> {
        Ok(match column.data_type() {
            DataType::Utf8 => Texts::Utf8(column.as_string()),
            DataType::LargeUtf8 => Texts::LargeUtf8(column.as_string()),
            DataType::Utf8View => Texts::View(column.as_string_view()),
            DataType::Null => Texts::Nulls(column.len()),
            other => match nested(column, by_key) {
                Some(texts) => Texts::Utf8(texts.as_string()),
                None => {
                    return Err(run_error(
                        function,
                        format!("argument 1 must be JSON as TEXT, not {other}"),
                    ));
                }
            },
        })
    }

    pub fn of_scalar(function: &str, value: &'a ScalarValue) -> Result<Self> {
        Ok(Texts::One(match value {
            ScalarValue::Utf8(text) | ScalarValue::Utf8View(text) | ScalarValue::LargeUtf8(text) => text.as_deref(),
            ScalarValue::Union(value, fields, _) => nested_scalar(value.as_ref(), fields),
            ScalarValue::Dictionary(_, value) => return Self::of_scalar(function, value),
            other => {
                let of = other.data_type();
                return Err(run_error(
                    function,
                    format!("argument 1 must be JSON as TEXT, not {of}"),
                ));
            }
        }))
    }

    /// How many rows there are, unless it is the same for any number.
    pub fn rows(&self) -> Option<usize> {
        match self {
            Texts::One(_) => None,
            Texts::Utf8(column) => Some(column.len()),
            Texts::LargeUtf8(column) => Some(column.len()),
            Texts::View(column) => Some(column.len()),
            Texts::Nulls(rows) => Some(*rows),
        }
    }

    pub fn get(&self, row: usize) -> Option<&'a str> {
        match self {
            Texts::One(text) => *text,
            Texts::Utf8(column) => column.is_valid(row).then(|| column.value(row)),
            Texts::LargeUtf8(column) => column.is_valid(row).then(|| column.value(row)),
            Texts::View(column) => column.is_valid(row).then(|| column.value(row)),
            Texts::Nulls(_) => None,
        }
    }
}

/// The paths of the rows.
#[derive(Debug)]
pub(super) enum Paths<'a> {
    /// The same for every row.
    Same(Vec<Step<'a>>),
    /// One step a row, a column that is no dictionary.
    Each(ArrayRef),
}

impl<'a> Paths<'a> {
    pub fn new(function: &str, arguments: &'a [ColumnarValue]) -> Result<Self> {
        if let [ColumnarValue::Array(column)] = arguments {
            return Ok(Paths::Each(match column.data_type() {
                DataType::Dictionary(_, values) => cast(column, values)?,
                _ => Arc::clone(column),
            }));
        }
        let mut path = Vec::with_capacity(arguments.len());
        for (i, argument) in arguments.iter().enumerate() {
            match argument {
                ColumnarValue::Array(_) => {
                    return Err(run_error(
                        function,
                        "a path of several steps must be literal, or one list",
                    ));
                }
                ColumnarValue::Scalar(ScalarValue::List(list)) => {
                    if list.len() != 1 {
                        let message = format!("argument {} must be one list, not {}", i + 2, list.len());
                        return Err(run_error(function, message));
                    }
                    let steps = list.value(0);
                    for row in 0..steps.len() {
                        let value = ScalarValue::try_from_array(&steps, row)?;
                        path.push(step(function, i, &value)?.into_owned());
                    }
                }
                ColumnarValue::Scalar(value) => path.push(step(function, i, value)?),
            }
        }
        Ok(Paths::Same(path))
    }

    /// Whether the first step is by key.
    pub fn by_key(&self) -> bool {
        match self {
            Paths::Same(path) => matches!(path.first(), Some(Step::Key(_))),
            Paths::Each(column) => is_text(column.data_type()),
        }
    }
}

fn step<'a>(function: &str, i: usize, value: &'a ScalarValue) -> Result<Step<'a>> {
    match value {
        ScalarValue::Dictionary(_, value) => step(function, i, value),
        ScalarValue::UInt64(Some(index)) => Ok((*index).into()),
        ScalarValue::Int64(Some(index)) => Ok((*index).into()),
        value if value.is_null() => Ok(Step::Nowhere),
        value => match value.try_as_str() {
            Some(Some(key)) => Ok(key.into()),
            _ => {
                let (place, of) = (i + 2, value.data_type());
                let message = format!("argument {place} must be a key (TEXT) or an index (BIGINT), not {of}");
                Err(run_error(function, message))
            }
        },
    }
}

/// A column of steps.
#[derive(Debug)]
pub(super) enum Steps<'a> {
    Utf8(&'a StringArray),
    LargeUtf8(&'a LargeStringArray),
    View(&'a StringViewArray),
    Int64(&'a Int64Array),
    UInt64(&'a UInt64Array),
}

impl<'a> Steps<'a> {
    pub fn new(function: &str, column: &'a ArrayRef) -> Result<Self> {
        Ok(match column.data_type() {
            DataType::Utf8 => Steps::Utf8(column.as_string()),
            DataType::LargeUtf8 => Steps::LargeUtf8(column.as_string()),
            DataType::Utf8View => Steps::View(column.as_string_view()),
            DataType::Int64 => Steps::Int64(column.as_primitive::<Int64Type>()),
            DataType::UInt64 => Steps::UInt64(column.as_primitive::<UInt64Type>()),
            other => {
                let message = format!("argument 2 must be a key (TEXT) or an index (BIGINT), not {other}");
                return Err(run_error(function, message));
            }
        })
    }

    /// The step of a row, unless it is NULL.
    pub fn get(&self, row: usize) -> Option<Step<'a>> {
        match self {
            Steps::Utf8(column) => column.is_valid(row).then(|| column.value(row).into()),
            Steps::LargeUtf8(column) => column.is_valid(row).then(|| column.value(row).into()),
            Steps::View(column) => column.is_valid(row).then(|| column.value(row).into()),
            Steps::Int64(column) => column.is_valid(row).then(|| column.value(row).into()),
            Steps::UInt64(column) => column.is_valid(row).then(|| column.value(row).into()),
        }
    }
}
