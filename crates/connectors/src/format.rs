//! How rows are written in messages: the options `format`, `framing`, `bad_data` and `json.*`, which all connectors share.

use crate::json::{Decimals, JsonEncoder, Timestamps, decodable};
use arrow::datatypes::DataType;
use hitters_planner::connector::{Direction, Options};
use hitters_planner::error::Error;
use hitters_planner::sql_type;
use hitters_planner::table::{Column, ColumnKind};

/// `format`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Json(JsonFormat),
    /// One column `value TEXT`.
    RawString,
    /// One column `value BYTEA`.
    RawBytes,
}

/// The options `json.*`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct JsonFormat {
    /// The whole message goes to the one column `value`.
    pub unstructured: bool,
    pub timestamps: Timestamps,
    pub decimals: Decimals,
}

/// What a source does with the format of its table.
#[derive(Clone, Debug)]
pub(crate) struct Decoding {
    pub format: Format,
    /// `framing = 'newline'`: a message holds a row a line. The number is the longest line allowed, in bytes.
    pub lines: Option<usize>,
    /// `bad_data = 'drop'`.
    pub drop_bad: bool,
}

/// Longest line unless `framing.newline.max_length` says otherwise.
pub(crate) const MAX_LINE: usize = 64 << 20;

/// Takes `type` for a connector that can be both.
pub(crate) fn direction(options: &mut Options) -> Result<Direction, Error> {
    let kind = options.one_of("type", &[("source", Direction::Source), ("sink", Direction::Sink)])?;
    kind.ok_or_else(|| Error::new("option 'type' is missing").hint("add type = 'source' or type = 'sink' to WITH"))
}

/// Takes `type` for a connector that is only one of them; it may be left out.
pub(crate) fn only(options: &mut Options, direction: Direction) -> Result<(), Error> {
    let word = if direction == Direction::Source {
        "source"
    } else {
        "sink"
    };
    options.one_of("type", &[(word, ())]).map(|_| ())
}

/// Takes the options of a source and checks its columns.
pub(crate) fn decoding(columns: &[Column], options: &mut Options) -> Result<Decoding, Error> {
    let format = format(options)?;
    let framed = options.one_of("framing", &[("newline", ())])?;
    let longest = options.parsed::<usize>("framing.newline.max_length", "a number of bytes")?;
    let drop_bad = options
        .one_of("bad_data", &[("fail", false), ("drop", true)])?
        .unwrap_or(false);
    let physical: Vec<&Column> = columns.iter().filter(|c| c.kind == ColumnKind::Physical).collect();
    match &format {
        Format::Json(json) if json.unstructured => {
            single(&physical, "json.unstructured", "value JSON or value TEXT", |t| {
                *t == DataType::Utf8View
            })?;
        }
        Format::Json(_) => {
            for column in physical {
                check_decodable(column)?;
            }
        }
        Format::RawString => single(&physical, "raw_string", "value TEXT", |t| *t == DataType::Utf8View)?,
        Format::RawBytes => single(&physical, "raw_bytes", "value BYTEA", |t| *t == DataType::BinaryView)?,
    }
    Ok(Decoding {
        format,
        lines: framed.map(|()| longest.unwrap_or(MAX_LINE)),
        drop_bad,
    })
}

/// Takes the options of a sink and checks its columns.
pub(crate) fn encoding(columns: &[Column], options: &mut Options) -> Result<Format, Error> {
    let format = format(options)?;
    if let Some(column) = columns
        .iter()
        .find(|c| matches!(c.kind, ColumnKind::Metadata(_) | ColumnKind::Generated))
    {
        return Err(Error::new(format!(
            "column '{}' of a sink cannot be METADATA or GENERATED",
            column.field.name()
        ))
        .hint("declare it as an ordinary column"));
    }
    let all: Vec<&Column> = columns.iter().collect();
    match format {
        Format::Json(_) => {}
        Format::RawString => single(&all, "raw_string", "value TEXT", |t| *t == DataType::Utf8View)?,
        Format::RawBytes => single(&all, "raw_bytes", "value BYTEA", |t| *t == DataType::BinaryView)?,
    }
    Ok(format)
}

fn format(options: &mut Options) -> Result<Format, Error> {
    let allowed = [("json", Some(0)), ("raw_string", Some(1)), ("raw_bytes", Some(2))];
    let Some(format) = options.one_of("format", &allowed)?.flatten() else {
        return Err(
            Error::new("option 'format' is missing").hint("add format = 'json', 'raw_string' or 'raw_bytes' to WITH")
        );
    };
    let json = JsonFormat {
        unstructured: options.parsed("json.unstructured", "true or false")?.unwrap_or(false),
        timestamps: options
            .one_of(
                "json.timestamp_format",
                &[
                    ("RFC3339", Timestamps::Rfc3339),
                    ("unix_millis", Timestamps::UnixMillis),
                    ("UnixMillis", Timestamps::UnixMillis),
                ],
            )?
            .unwrap_or_default(),
        decimals: options
            .one_of(
                "json.decimal_encoding",
                &[
                    ("number", Decimals::Number),
                    ("string", Decimals::String),
                    ("bytes", Decimals::Bytes),
                ],
            )?
            .unwrap_or_default(),
    };
    // Arroyo's other JSON options are taken as long as they ask for nothing.
    for name in ["json.include_schema", "json.confluent_schema_registry"] {
        if options.parsed::<bool>(name, "true or false")? == Some(true) {
            return Err(Error::new(format!("option '{name}' = 'true' is not supported"))
                .hint("the embedded engine writes plain JSON rows; leave it out"));
        }
    }
    options.one_of("json.compression", &[("uncompressed", ())])?;
    Ok(match format {
        0 => Format::Json(json),
        1 => Format::RawString,
        _ => Format::RawBytes,
    })
}

/// `is_right` looks at the type of the only column, which must be called `value`.
fn single(columns: &[&Column], what: &str, declare: &str, is_right: impl Fn(&DataType) -> bool) -> Result<(), Error> {
    match columns {
        [column] if column.field.name() == "value" && is_right(column.field.data_type()) => Ok(()),
        _ => Err(Error::new(format!(
            "{what} needs exactly one column for the message, besides METADATA and GENERATED ones"
        ))
        .hint(format!("declare {declare}"))),
    }
}

fn check_decodable(column: &Column) -> Result<(), Error> {
    let (name, data_type) = (column.field.name(), column.field.data_type());
    if decodable(data_type) {
        return Ok(());
    }
    let error = Error::new(format!(
        "column '{name}' has the type {}, which cannot be read from JSON",
        sql_type(data_type)
    ));
    Err(if *data_type == DataType::BinaryView {
        error.hint(format!(
            "declare it TEXT and decode it in the query: decode(rtrim({name}, '='), 'base64')"
        ))
    } else {
        error.hint("declare it TEXT or BIGINT and convert it in the query")
    })
}

impl Format {
    /// For `explain`.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Format::Json(json) if json.unstructured => "json, unstructured",
            Format::Json(_) => "json",
            Format::RawString => "raw_string",
            Format::RawBytes => "raw_bytes",
        }
    }

    /// Writes rows in this format.
    pub(crate) fn encoder(&self) -> crate::rows::RowEncoder {
        match self {
            Format::Json(json) => crate::rows::RowEncoder::Json(JsonEncoder::new(json.timestamps, json.decimals)),
            Format::RawString | Format::RawBytes => crate::rows::RowEncoder::Raw,
        }
    }
}
