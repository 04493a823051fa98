//! Arguments of SQL calls: which types they take, what they are coerced to, and literals that are checked while planning.
//!
//! Invariant: after [`item`], [`weight`], [`integer`], [`share`] and [`sketch`] had their say, the functions see only the
//! types that they are written for. DataFusion inserts the casts; whatever has no lossless or no obvious one is refused here,
//! with the way out in the text.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use datafusion_common::{DataFusionError, Result, ScalarValue};
use datafusion_expr::ColumnarValue;
use datafusion_physical_expr::PhysicalExpr;
use hitters_sketch::ItemKind;

/// An error of planning: the call itself is wrong.
pub(crate) fn plan_error(function: &str, message: impl std::fmt::Display) -> DataFusionError {
    DataFusionError::Plan(format!("{function}: {message}"))
}

/// An error of running: a value in the data is wrong.
pub(crate) fn run_error(function: &str, message: impl std::fmt::Display) -> DataFusionError {
    DataFusionError::Execution(format!("{function}: {message}"))
}

/// Refuses a call with another number of arguments than `names`.
pub(crate) fn count(function: &str, names: &[&str], types: &[DataType]) -> Result<()> {
    if types.len() == names.len() {
        return Ok(());
    }
    let (wanted, given) = (names.len(), types.len());
    let plural = if wanted == 1 { "argument" } else { "arguments" };
    Err(plan_error(
        function,
        format!("takes {wanted} {plural}, {function}({}), not {given}", names.join(", ")),
    ))
}

/// The type that an item of type `of` is counted as: TEXT, BYTEA or BIGINT.
///
/// Text and bytes stay as they are, so that no row is copied. Integers become BIGINT; `UInt64`, which does not fit, and
/// everything else that is one value becomes its SQL text, which is what answers show of it anyway. Dictionaries are
/// counted by their values.
pub(crate) fn item(function: &str, of: &DataType) -> Result<DataType> {
    use DataType::*;
    Ok(match of {
        Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView => of.clone(),
        FixedSizeBinary(_) => BinaryView,
        Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 => Int64,
        Dictionary(_, values) => match item(function, values)? {
            Utf8 | LargeUtf8 => Utf8View,
            Binary | LargeBinary => BinaryView,
            other => other,
        },
        RunEndEncoded(_, values) => item(function, values.data_type())?,
        Null | UInt64 | Boolean | Float16 | Float32 | Float64 | Date32 | Date64 => Utf8View,
        Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..) => Utf8View,
        Time32(_) | Time64(_) | Timestamp(..) | Duration(_) | Interval(_) => Utf8View,
        nested => {
            let hint = "count one value: take it out of the nested one, or make it TEXT";
            return Err(plan_error(
                function,
                format!("an item of type {nested} cannot be counted ({hint})"),
            ));
        }
    })
}

/// The kind of items that a column of a type given by [`item`] holds.
pub(crate) fn item_kind(of: &DataType) -> ItemKind {
    match of {
        DataType::Int64 => ItemKind::Int64,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => ItemKind::Bytes,
        _ => ItemKind::Text,
    }
}

/// The type that a weight of type `of` is added as: BIGINT, or `UInt64`, whose values above BIGINT's are skipped row by row.
pub(crate) fn weight(function: &str, of: &DataType) -> Result<DataType> {
    use DataType::*;
    match of {
        Null | Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 => Ok(Int64),
        UInt64 => Ok(UInt64),
        Float16 | Float32 | Float64 | Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..) => {
            let hint = "fractions do not add up the same way in every order; count whole units instead, money in cents: \
                        CAST(weight * 100 AS BIGINT)";
            Err(plan_error(
                function,
                format!("a weight must be BIGINT, not {of} ({hint})"),
            ))
        }
        _ => Err(plan_error(
            function,
            format!("a weight must be BIGINT, not {of} (CAST(... AS BIGINT))"),
        )),
    }
}

/// The type of an integer argument.
pub(crate) fn integer(function: &str, name: &str, of: &DataType) -> Result<DataType> {
    if of.is_integer() || of.is_null() {
        return Ok(DataType::Int64);
    }
    Err(plan_error(function, format!("{name} must be BIGINT, not {of}")))
}

/// The type of an argument between 0 and 1.
pub(crate) fn share(function: &str, name: &str, of: &DataType) -> Result<DataType> {
    if of.is_numeric() || of.is_null() {
        return Ok(DataType::Float64);
    }
    Err(plan_error(function, format!("{name} must be DOUBLE, not {of}")))
}

/// The type of a sketch argument.
pub(crate) fn sketch(function: &str, of: &DataType) -> Result<DataType> {
    use DataType::*;
    match of {
        Binary | LargeBinary | BinaryView => Ok(of.clone()),
        Null | FixedSizeBinary(_) => Ok(BinaryView),
        Dictionary(_, values) if matches!(**values, Binary | LargeBinary | BinaryView) => Ok(BinaryView),
        Utf8 | LargeUtf8 | Utf8View => {
            let hint = "a sketch that was written as JSON is base64: decode(rtrim(sketch, '='), 'base64')";
            Err(plan_error(
                function,
                format!("a sketch must be BYTEA, not {of} ({hint})"),
            ))
        }
        _ => Err(plan_error(function, format!("a sketch must be BYTEA, not {of}"))),
    }
}

/// The type of a text argument.
pub(crate) fn text(function: &str, name: &str, of: &DataType) -> Result<DataType> {
    use DataType::*;
    match of {
        Null | Utf8 | LargeUtf8 | Utf8View => Ok(Utf8View),
        Dictionary(_, values) if values.is_string() => Ok(Utf8View),
        _ => Err(plan_error(
            function,
            format!("{name} must be TEXT, not {of} (CAST(... AS TEXT))"),
        )),
    }
}

/// The value of an expression that reads no column; `None` for others.
pub(crate) fn literal(expr: &Arc<dyn PhysicalExpr>) -> Option<ScalarValue> {
    let no_columns = RecordBatch::new_empty(Arc::new(Schema::empty()));
    match expr.evaluate(&no_columns) {
        Ok(ColumnarValue::Scalar(value)) => Some(value),
        _ => None,
    }
}

/// A whole number from 1 to `max` out of a literal.
pub(crate) fn positive(function: &str, name: &str, value: Option<&ScalarValue>, max: usize) -> Result<usize> {
    let must = format!("{name} must be a literal whole number from 1 to {max}");
    let Some(value) = value else {
        return Err(plan_error(
            function,
            format!("{must}, not a column or an expression over columns"),
        ));
    };
    let number = match value.cast_to(&DataType::Int64) {
        Ok(ScalarValue::Int64(Some(number))) if value.data_type().is_integer() => number,
        _ => return Err(plan_error(function, format!("{must}, not {value}"))),
    };
    match usize::try_from(number) {
        Ok(number) if (1..=max).contains(&number) => Ok(number),
        _ => Err(plan_error(function, format!("{must}, not {number}"))),
    }
}

/// A number between 0 and 1, both excluded, out of a literal.
pub(crate) fn fraction(function: &str, name: &str, value: Option<&ScalarValue>) -> Result<f64> {
    let must = format!("{name} must be a literal number between 0 and 1");
    let Some(value) = value else {
        return Err(plan_error(
            function,
            format!("{must}, not a column or an expression over columns"),
        ));
    };
    match value.cast_to(&DataType::Float64) {
        Ok(ScalarValue::Float64(Some(number))) if number > 0.0 && number < 1.0 => Ok(number),
        _ => Err(plan_error(function, format!("{must}, not {value}"))),
    }
}
