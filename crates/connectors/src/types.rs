//! The SQL names of Arrow types, for messages to people who wrote SQL.

use arrow::datatypes::{DataType, TimeUnit};

/// `BIGINT` for `Int64`, and so on.
pub(crate) fn sql_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INT".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::UInt8 => "TINYINT UNSIGNED".into(),
        DataType::UInt16 => "SMALLINT UNSIGNED".into(),
        DataType::UInt32 => "INT UNSIGNED".into(),
        DataType::UInt64 => "BIGINT UNSIGNED".into(),
        DataType::Float32 => "FLOAT".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::Utf8View | DataType::Utf8 | DataType::LargeUtf8 => "TEXT".into(),
        DataType::BinaryView | DataType::Binary | DataType::LargeBinary => "BYTEA".into(),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => "TIMESTAMP".into(),
        DataType::Timestamp(TimeUnit::Microsecond, _) => "TIMESTAMP(6)".into(),
        DataType::Timestamp(TimeUnit::Millisecond, _) => "TIMESTAMP(3)".into(),
        DataType::Timestamp(TimeUnit::Second, _) => "TIMESTAMP(0)".into(),
        DataType::Date32 | DataType::Date64 => "DATE".into(),
        DataType::Time32(_) | DataType::Time64(_) => "TIME".into(),
        DataType::Interval(_) => "INTERVAL".into(),
        DataType::List(item) => format!("{}[]", sql_name(item.data_type())),
        DataType::Struct(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .map(|f| format!("{} {}", f.name(), sql_name(f.data_type())))
                .collect();
            format!("STRUCT<{}>", fields.join(", "))
        }
        other => other.to_string(),
    }
}
