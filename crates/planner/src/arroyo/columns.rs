//! Columns of tables: types that a connection cannot have, names that Arroyo uses itself.

use super::findings::Findings;
use super::tables::Facts;
use crate::create_table::{ColumnDef, CreateTable};
use crate::error::Error;
use crate::syntax::place;
use datafusion_sql::sqlparser::ast::{ArrayElemTypeDef, DataType, TimezoneInfo};

/// Columns that Arroyo adds to the rows of a stream.
const RESERVED: [&str; 4] = ["_timestamp", "_updating_meta", "__watermark", "__unnested"];

pub(crate) fn check(statement: &CreateTable, facts: &Facts, found: &mut Findings) {
    for column in &statement.columns {
        let name = &column.name.value;
        if RESERVED.contains(&name.as_str()) {
            found.error(
                Error::new(format!("Arroyo has a column {name} of its own in every stream"))
                    .at(place(column.name.span))
                    .hint("give the column another name"),
            );
        }
        if let Some((message, hint)) = wrong(&column.data_type, column.generated.is_none(), false) {
            found.error(Error::new(message).at(column.type_span).hint(hint));
        }
    }
    if facts.connector == "impulse" {
        impulse(&statement.columns, facts, found);
    }
}

/// What is wrong with a type; `stored`: it is read or written.
fn wrong(sql: &DataType, stored: bool, element: bool) -> Option<(String, String)> {
    let pair = |message: String, hint: &str| Some((message, hint.to_string()));
    match sql {
        DataType::Array(ArrayElemTypeDef::AngleBracket(inner) | ArrayElemTypeDef::SquareBracket(inner, _)) => {
            if element {
                return pair(
                    "Arroyo takes no array of arrays".to_string(),
                    "declare TEXT or JSON and take it apart in the query",
                );
            }
            wrong(inner, stored, true)
        }
        DataType::Struct(fields, _) => fields.iter().find_map(|f| wrong(&f.field_type, stored, false)),
        DataType::TinyInt(_)
        | DataType::SmallInt(_)
        | DataType::Int2(_)
        | DataType::TinyIntUnsigned(_)
        | DataType::SmallIntUnsigned(_)
        | DataType::Int2Unsigned(_)
            if stored =>
        {
            pair(
                format!("Arroyo neither reads nor writes a column of type {sql}"),
                "declare it INT",
            )
        }
        DataType::Date | DataType::Time(..) if stored => pair(
            format!("Arroyo neither reads nor writes a column of type {sql}"),
            "declare it TEXT and cast it in the query",
        ),
        DataType::Interval { .. } if stored => pair(
            "Arroyo neither reads nor writes a column of type INTERVAL".to_string(),
            "declare a number of seconds as BIGINT",
        ),
        DataType::JSONB => pair("Arroyo has no type JSONB".to_string(), "write JSON"),
        DataType::Dec(_) => pair("Arroyo has no type DEC".to_string(), "write DECIMAL"),
        DataType::Timestamp(_, TimezoneInfo::WithoutTimeZone) => {
            pair(format!("Arroyo has no type {sql}"), "write TIMESTAMP")
        }
        DataType::Datetime(Some(precision)) if *precision != 9 => pair(
            format!("on Arroyo, DATETIME({precision}) is in nanoseconds as without a precision"),
            "write TIMESTAMP with the precision",
        ),
        _ => None,
    }
}

/// Declared columns must be all of its columns: generated ones alone would replace them.
fn impulse(columns: &[ColumnDef], facts: &Facts, found: &mut Findings) {
    if columns.is_empty() {
        return;
    }
    let own: Vec<_> = columns.iter().filter(|c| c.generated.is_none()).collect();
    let right = own.len() == 2
        && own
            .iter()
            .zip(["counter", "subtask_index"])
            .all(|(c, name)| c.name.value == name && c.not_null && matches!(c.data_type, DataType::BigInt(_)));
    if !right {
        found.error(
            Error::new("Arroyo's impulse has these columns and no others: counter, subtask_index")
                .at(facts.at)
                .hint("declare counter BIGINT NOT NULL, subtask_index BIGINT NOT NULL before generated ones, or no columns"),
        );
    }
}
