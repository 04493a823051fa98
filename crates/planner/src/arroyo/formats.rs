//! How messages are read and written: where JSON does not do on Arroyo what one expects.

use super::findings::Findings;
use super::tables::Facts;
use crate::create_table::{ColumnDef, CreateTable};
use crate::error::Error;
use crate::fault;
use datafusion_sql::sqlparser::ast::DataType;

/// The way to read messages of which some may be broken.
const RAW: &str = "read the message as text: one column value TEXT NOT NULL with format = 'raw_string', and take the fields in generated columns \
     or a view with json_get_int(value, '...'), json_get_str(value, '...'); they are NULL for a broken message";

pub(crate) fn check(statement: &CreateTable, facts: &Facts, found: &mut Findings) {
    if !facts.is_json() {
        return;
    }
    let stored = || {
        statement
            .columns
            .iter()
            .filter(|c| c.generated.is_none() && c.metadata.is_none())
    };
    if facts.is_true("json.unstructured") && stored().any(|c| !matches!(c.data_type, DataType::JSON)) {
        found.error(
            Error::new("Arroyo wants the one column of an unstructured message to be of type JSON")
                .at(stored().next().map(|c| c.type_span))
                .hint("declare value JSON"),
        );
    }
    if facts.sink {
        return;
    }
    match facts.option("bad_data") {
        Some("drop") => found.error(
            Error::new("on Arroyo, one message that is not JSON silences a source with format = 'json' and bad_data = 'drop' for good")
                .at(facts.place("bad_data"))
                .hint(RAW),
        ),
        _ if facts.connector == "kafka" => found.warning(
            Error::new(format!(
                "on Arroyo, one message that does not fit the columns of {} stops the pipeline, and again after every restart",
                facts.name
            ))
            .at(facts.place("format"))
            .hint(RAW),
        ),
        _ => {}
    }
    let times: Vec<&str> = stored().filter(|c| is_time(c)).map(|c| c.name.value.as_str()).collect();
    if let Some(first) = stored().find(|c| is_time(c)) {
        found.warning(
            Error::new(format!("a JSON number is read into {} as nanoseconds", fault::list(times.iter())))
                .at(first.type_span)
                .hint("text as 2026-01-31T12:00:00Z is fine; for milliseconds declare a BIGINT and compute the time in a generated column with to_timestamp_millis"),
        );
    }
}

fn is_time(column: &ColumnDef) -> bool {
    matches!(
        column.data_type,
        DataType::Timestamp(None | Some(9), _) | DataType::Datetime(_)
    )
}
