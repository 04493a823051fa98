//! Messages to record batches and back, for every connector: the format's columns and the envelope's (METADATA) side by side.

use crate::format::{Decoding, Format};
use crate::json::{JsonDecoder, JsonEncoder};
use arrow::array::{
    ArrayRef, AsArray, BinaryViewBuilder, Int32Builder, Int64Builder, RecordBatch, RecordBatchOptions,
    StringViewBuilder,
};
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use hitters_planner::table::{ColumnKind, Table};
use std::sync::Arc;

/// What surrounds a message. Files have none.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Envelope<'a> {
    pub offset: i64,
    pub partition: i32,
    /// Milliseconds since the epoch.
    pub timestamp: Option<i64>,
    pub topic: &'a str,
    pub key: Option<&'a [u8]>,
}

/// Decodes the stored columns that a source node needs.
pub(crate) struct RowDecoder {
    schema: SchemaRef,
    body: Body,
    envelope: Vec<EnvelopeColumn>,
    /// For each column of the schema: true if the next envelope column, false if the next body column stands there.
    from_envelope: Vec<bool>,
    /// A column for the key is wanted and NOT NULL.
    needs_key: bool,
    framed: bool,
    rows: usize,
}

enum Body {
    Json(JsonDecoder),
    /// The whole message as text; whether it must be JSON, and whether anybody wants it.
    Text {
        values: StringViewBuilder,
        json: Option<JsonDecoder>,
        wanted: bool,
    },
    Bytes {
        values: BinaryViewBuilder,
        wanted: bool,
    },
}

enum EnvelopeColumn {
    Offset(Int64Builder),
    Partition(Int32Builder),
    Timestamp(Int64Builder),
    Topic(StringViewBuilder),
    Key(BinaryViewBuilder),
}

impl RowDecoder {
    /// For the stored columns of a table that stand at these places.
    pub(crate) fn new(table: &Table, places: &[usize], decoding: &Decoding) -> Result<Self, ArrowError> {
        let stored: Vec<_> = table
            .columns
            .iter()
            .filter(|c| c.kind != ColumnKind::Generated)
            .collect();
        let wanted: Vec<_> = places.iter().filter_map(|&place| stored.get(place).copied()).collect();
        let schema = Arc::new(Schema::new(wanted.iter().map(|c| c.field.clone()).collect::<Vec<_>>()));
        let mut envelope = Vec::new();
        let mut body: Vec<(FieldRef, bool)> = Vec::new();
        for column in &wanted {
            match &column.kind {
                ColumnKind::Metadata(key) => envelope.push(EnvelopeColumn::new(key)?),
                _ => body.push((column.field.clone(), column.json)),
            }
        }
        let is_key = |kind: &ColumnKind| matches!(kind, ColumnKind::Metadata(key) if key == "key");
        let needs_key = wanted.iter().any(|c| is_key(&c.kind) && !c.field.is_nullable());
        let from_envelope = wanted
            .iter()
            .map(|c| matches!(c.kind, ColumnKind::Metadata(_)))
            .collect();
        let no_json =
            |field: FieldRef| ArrowError::JsonError(format!("column '{}' cannot be read from JSON", field.name()));
        let wanted = !body.is_empty();
        let body = match &decoding.format {
            Format::Json(json) if json.unstructured => {
                let json = Some(JsonDecoder::new(&[]).map_err(no_json)?);
                Body::Text {
                    values: StringViewBuilder::new(),
                    json,
                    wanted,
                }
            }
            Format::Json(_) => Body::Json(JsonDecoder::new(&body).map_err(no_json)?),
            Format::RawString => Body::Text {
                values: StringViewBuilder::new(),
                json: None,
                wanted,
            },
            Format::RawBytes => Body::Bytes {
                values: BinaryViewBuilder::new(),
                wanted,
            },
        };
        Ok(Self {
            schema,
            body,
            envelope,
            from_envelope,
            needs_key,
            framed: decoding.lines.is_some(),
            rows: 0,
        })
    }

    /// Rows since the last [`RowDecoder::finish`].
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// Takes a message: one row, or with framing a row a line. For each bad row `bad` is called with its bytes and what is
    /// wrong with them; an error of `bad` ends the message.
    #[inline]
    pub(crate) fn push<E>(
        &mut self,
        message: &[u8],
        envelope: &Envelope<'_>,
        mut bad: impl FnMut(&[u8], String) -> Result<(), E>,
    ) -> Result<(), E> {
        if !self.framed {
            return match self.row(message, envelope) {
                Ok(()) => Ok(()),
                Err(reason) => bad(message, reason),
            };
        }
        for line in message.split(|byte| *byte == b'\n') {
            if line.iter().any(|byte| !byte.is_ascii_whitespace())
                && let Err(reason) = self.row(line, envelope)
            {
                bad(line, reason)?;
            }
        }
        Ok(())
    }

    #[inline]
    fn row(&mut self, message: &[u8], envelope: &Envelope<'_>) -> Result<(), String> {
        if self.needs_key && envelope.key.is_none() {
            return Err("the message has no key, but its column is declared NOT NULL".into());
        }
        match &mut self.body {
            Body::Json(json) => json.push(message)?,
            Body::Text { values, json, wanted } => {
                if let Some(json) = json {
                    json.any(message)?;
                }
                let text = std::str::from_utf8(message)
                    .map_err(|wrong| format!("not UTF-8 from byte {} on", wrong.valid_up_to()))?;
                if *wanted {
                    values.append_value(text);
                }
            }
            Body::Bytes { values, wanted } => {
                if *wanted {
                    values.append_value(message);
                }
            }
        }
        for column in &mut self.envelope {
            column.append(envelope);
        }
        self.rows += 1;
        Ok(())
    }

    /// The rows taken since the last time.
    pub(crate) fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        let body: Vec<ArrayRef> = match &mut self.body {
            Body::Json(json) => json.finish()?,
            Body::Text { values, wanted, .. } => wanted
                .then(|| Arc::new(values.finish()) as ArrayRef)
                .into_iter()
                .collect(),
            Body::Bytes { values, wanted } => wanted
                .then(|| Arc::new(values.finish()) as ArrayRef)
                .into_iter()
                .collect(),
        };
        let (mut body, mut envelope) = (body.into_iter(), self.envelope.iter_mut());
        let mut columns = Vec::with_capacity(self.from_envelope.len());
        for from_envelope in &self.from_envelope {
            columns.extend(if *from_envelope {
                envelope.next().map(EnvelopeColumn::finish)
            } else {
                body.next()
            });
        }
        let rows = std::mem::take(&mut self.rows);
        RecordBatch::try_new_with_options(
            self.schema.clone(),
            columns,
            &RecordBatchOptions::new().with_row_count(Some(rows)),
        )
    }
}

/// Metadata keys of Kafka messages and their types.
pub(crate) const METADATA: [(&str, DataType); 5] = [
    ("offset_id", DataType::Int64),
    ("partition", DataType::Int32),
    ("topic", DataType::Utf8View),
    ("timestamp", DataType::Int64),
    ("key", DataType::BinaryView),
];

impl EnvelopeColumn {
    fn new(key: &str) -> Result<Self, ArrowError> {
        Ok(match key {
            "offset_id" => Self::Offset(Int64Builder::new()),
            "partition" => Self::Partition(Int32Builder::new()),
            "timestamp" => Self::Timestamp(Int64Builder::new()),
            "topic" => Self::Topic(StringViewBuilder::new()),
            "key" => Self::Key(BinaryViewBuilder::new()),
            other => return Err(ArrowError::SchemaError(format!("no such metadata: '{other}'"))),
        })
    }

    fn append(&mut self, envelope: &Envelope<'_>) {
        match self {
            Self::Offset(b) => b.append_value(envelope.offset),
            Self::Partition(b) => b.append_value(envelope.partition),
            // A broker writes a time into every message of the formats since 2016; older ones read as the epoch.
            Self::Timestamp(b) => b.append_value(envelope.timestamp.unwrap_or(0)),
            Self::Topic(b) => b.append_value(envelope.topic),
            Self::Key(b) => b.append_option(envelope.key),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Offset(b) | Self::Timestamp(b) => Arc::new(b.finish()),
            Self::Partition(b) => Arc::new(b.finish()),
            Self::Topic(b) => Arc::new(b.finish()),
            Self::Key(b) => Arc::new(b.finish()),
        }
    }
}

/// Encodes the rows of a sink.
#[derive(Clone, Debug)]
pub(crate) enum RowEncoder {
    Json(JsonEncoder),
    /// The one column as it is.
    Raw,
}

impl RowEncoder {
    /// Appends the rows to `out` without anything between them, and the length of `out` after each to `ends`.
    pub(crate) fn encode(
        &self,
        batch: &RecordBatch,
        out: &mut Vec<u8>,
        ends: &mut Vec<usize>,
    ) -> Result<(), ArrowError> {
        match self {
            Self::Json(json) => json.encode(batch, out, ends),
            Self::Raw => {
                let column = batch.column(0);
                let text = column.as_string_view_opt();
                let bytes = column.as_binary_view_opt();
                for row in 0..batch.num_rows() {
                    // NULL is an empty message, as in Arroyo.
                    if column.is_valid(row) {
                        match (text, bytes) {
                            (Some(text), _) => out.extend_from_slice(text.value(row).as_bytes()),
                            (_, Some(bytes)) => out.extend_from_slice(bytes.value(row)),
                            _ => {
                                return Err(ArrowError::SchemaError(
                                    "a raw format needs a TEXT or BYTEA column".into(),
                                ));
                            }
                        }
                    }
                    ends.push(out.len());
                }
                Ok(())
            }
        }
    }

    /// Appends the rows to `out`, each with a newline behind it.
    pub(crate) fn lines(&self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ArrowError> {
        let (mut rows, mut ends) = (Vec::new(), Vec::new());
        self.encode(batch, &mut rows, &mut ends)?;
        let mut start = 0;
        for end in ends {
            out.extend_from_slice(&rows[start..end]);
            out.push(b'\n');
            start = end;
        }
        Ok(())
    }
}
