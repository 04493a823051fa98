//! SQL types of columns as Arrow types, and back.

use crate::error::Error;
use crate::functions::is_json_union;
use arrow::datatypes::{DataType, Field, Fields, IntervalUnit, TimeUnit};
use datafusion_sql::sqlparser::ast::{ArrayElemTypeDef, DataType as SqlType, ExactNumberInfo, TimezoneInfo};
use std::sync::Arc;

/// Most digits of an Arrow decimal of 128 bits.
const MAX_PRECISION: u64 = 38;

/// The Arrow type of a column, and whether it was declared as JSON (its text is kept as it stands in the message).
pub(crate) fn column_type(sql: &SqlType) -> Result<(DataType, bool), Error> {
    if matches!(sql, SqlType::JSON | SqlType::JSONB) {
        Ok((DataType::Utf8View, true))
    } else {
        Ok((arrow_type(sql)?, false))
    }
}

fn arrow_type(sql: &SqlType) -> Result<DataType, Error> {
    let unsupported = |what: String| {
        Err(Error::new(format!("type {what} is not supported")).hint(
            "types: BOOLEAN, TINYINT, SMALLINT, INT, BIGINT (each also UNSIGNED), FLOAT, DOUBLE, DECIMAL(p, s), TEXT, BYTEA, JSON, \
             TIMESTAMP, TIMESTAMP(0|3|6|9), DATE, TIME, STRUCT<name type, ...>, type[]",
        ))
    };
    Ok(match sql {
        SqlType::Boolean | SqlType::Bool => DataType::Boolean,
        SqlType::TinyInt(_) => DataType::Int8,
        SqlType::SmallInt(_) | SqlType::Int2(_) => DataType::Int16,
        SqlType::Int(_) | SqlType::Integer(_) | SqlType::Int4(_) => DataType::Int32,
        SqlType::BigInt(_) | SqlType::Int8(_) => DataType::Int64,
        SqlType::TinyIntUnsigned(_) => DataType::UInt8,
        SqlType::SmallIntUnsigned(_) | SqlType::Int2Unsigned(_) => DataType::UInt16,
        SqlType::IntUnsigned(_) | SqlType::IntegerUnsigned(_) | SqlType::UnsignedInteger | SqlType::Int4Unsigned(_) => {
            DataType::UInt32
        }
        SqlType::BigIntUnsigned(_) | SqlType::Int8Unsigned(_) => DataType::UInt64,
        SqlType::Float(_) | SqlType::Real | SqlType::Float4 => DataType::Float32,
        SqlType::Double(_) | SqlType::DoublePrecision | SqlType::Float8 => DataType::Float64,
        SqlType::Char(_) | SqlType::Varchar(_) | SqlType::Text | SqlType::String(_) => DataType::Utf8View,
        SqlType::Bytea => DataType::BinaryView,
        SqlType::Date => DataType::Date32,
        SqlType::Time(None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            DataType::Time64(TimeUnit::Nanosecond)
        }
        SqlType::Timestamp(precision, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => timestamp(*precision)?,
        SqlType::Datetime(precision) => timestamp(*precision)?,
        SqlType::Interval { .. } => DataType::Interval(IntervalUnit::MonthDayNano),
        SqlType::Numeric(info) | SqlType::Decimal(info) | SqlType::Dec(info) => decimal(info)?,
        SqlType::Array(ArrayElemTypeDef::AngleBracket(item) | ArrayElemTypeDef::SquareBracket(item, _)) => {
            DataType::List(Arc::new(Field::new_list_field(arrow_type(item)?, true)))
        }
        SqlType::Struct(fields, _) => {
            let fields = fields.iter().map(|field| {
                let Some(name) = &field.field_name else {
                    return Err(Error::new("the fields of a STRUCT need names").hint("write STRUCT<name type, ...>"));
                };
                Ok(Field::new(&name.value, arrow_type(&field.field_type)?, true))
            });
            DataType::Struct(fields.collect::<Result<Fields, Error>>()?)
        }
        SqlType::JSON | SqlType::JSONB => {
            return Err(Error::new("JSON is a type of columns, not of elements or fields").hint("use TEXT"));
        }
        other => return unsupported(other.to_string()),
    })
}

fn timestamp(precision: Option<u64>) -> Result<DataType, Error> {
    let unit = match precision {
        None | Some(9) => TimeUnit::Nanosecond,
        Some(0) => TimeUnit::Second,
        Some(3) => TimeUnit::Millisecond,
        Some(6) => TimeUnit::Microsecond,
        Some(other) => {
            return Err(Error::new(format!("TIMESTAMP({other}) is not supported")).hint(
                "precisions: 0 (seconds), 3 (milliseconds), 6 (microseconds), 9 (nanoseconds, as without a number)",
            ));
        }
    };
    Ok(DataType::Timestamp(unit, None))
}

fn decimal(info: &ExactNumberInfo) -> Result<DataType, Error> {
    let (precision, scale) = match *info {
        ExactNumberInfo::None => (MAX_PRECISION, 10),
        ExactNumberInfo::Precision(precision) => (precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (precision, scale),
    };
    match (u8::try_from(precision), i8::try_from(scale)) {
        (Ok(p), Ok(s)) if (1..=MAX_PRECISION).contains(&precision) && u64::from(s.unsigned_abs()) <= precision => {
            Ok(DataType::Decimal128(p, s))
        }
        _ => Err(Error::new(format!("DECIMAL({precision}, {scale}) is not supported"))
            .hint("1 <= precision <= 38, scale <= precision")),
    }
}

/// The name of a type as a user writes it: `BIGINT` for `Int64`, and so on.
pub fn sql_type(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => "TEXT".to_string(),
        DataType::Binary | DataType::BinaryView | DataType::LargeBinary => "BYTEA".to_string(),
        DataType::Boolean => "BOOLEAN".to_string(),
        DataType::Int8 => "TINYINT".to_string(),
        DataType::Int16 => "SMALLINT".to_string(),
        DataType::Int32 => "INT".to_string(),
        DataType::Int64 => "BIGINT".to_string(),
        DataType::UInt8 => "TINYINT UNSIGNED".to_string(),
        DataType::UInt16 => "SMALLINT UNSIGNED".to_string(),
        DataType::UInt32 => "INT UNSIGNED".to_string(),
        DataType::UInt64 => "BIGINT UNSIGNED".to_string(),
        DataType::Float32 => "FLOAT".to_string(),
        DataType::Float64 => "DOUBLE".to_string(),
        DataType::Decimal128(p, s) => format!("DECIMAL({p}, {s})"),
        DataType::Date32 | DataType::Date64 => "DATE".to_string(),
        DataType::Time32(_) | DataType::Time64(_) => "TIME".to_string(),
        DataType::Timestamp(TimeUnit::Nanosecond, None) => "TIMESTAMP".to_string(),
        DataType::Timestamp(TimeUnit::Microsecond, None) => "TIMESTAMP(6)".to_string(),
        DataType::Timestamp(TimeUnit::Millisecond, None) => "TIMESTAMP(3)".to_string(),
        DataType::Timestamp(TimeUnit::Second, None) => "TIMESTAMP(0)".to_string(),
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP WITH TIME ZONE".to_string(),
        DataType::Interval(_) | DataType::Duration(_) => "INTERVAL".to_string(),
        DataType::Null => "NULL".to_string(),
        DataType::Struct(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .map(|f| format!("{} {}", f.name(), sql_type(f.data_type())))
                .collect();
            format!("STRUCT<{}>", fields.join(", "))
        }
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            format!("{}[]", sql_type(item.data_type()))
        }
        t if is_json_union(t) => "JSON".to_string(),
        other => other.to_string(),
    }
}
