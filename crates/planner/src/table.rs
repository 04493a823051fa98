//! A table of the SQL text, after its options went through its connector.

use crate::connector::TableSpec;
use crate::error::Span;
use arrow::datatypes::{Field, Schema, SchemaRef};
use std::sync::Arc;

/// Where the values of a column come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// Decoded from the message.
    Physical,
    /// `METADATA FROM 'key'`: taken from the envelope (a Kafka offset, partition, timestamp).
    Metadata(String),
    /// `GENERATED ALWAYS AS (...)`: computed from other columns. Its expression is in [`crate::plan::SourceNode`].
    Generated,
}

/// One column as declared. A TEXT column is Arrow `Utf8View`, BYTEA `BinaryView`, TIMESTAMP `Timestamp(Nanosecond, None)`.
#[derive(Clone, Debug)]
pub struct Column {
    /// Name, type and whether NULL is allowed.
    pub field: Arc<Field>,
    /// Where its values come from.
    pub kind: ColumnKind,
    /// True for a column of type JSON: its value is the JSON text of whatever stands there.
    pub json: bool,
}

/// A declared table with its checked spec.
#[derive(Debug)]
pub struct Table {
    /// As written after `CREATE TABLE`.
    pub name: String,
    /// All columns in their order. Sinks have physical ones only.
    pub columns: Vec<Column>,
    /// What the connector made of the options; connectors downcast it.
    pub spec: Arc<dyn TableSpec>,
    /// Where the table is declared.
    pub span: Option<Span>,
}

impl Table {
    /// The columns that a connector reads or writes (physical and metadata), in their order.
    pub fn stored_schema(&self) -> SchemaRef {
        let stored = self.columns.iter().filter(|c| c.kind != ColumnKind::Generated);
        Arc::new(Schema::new(stored.map(|c| c.field.clone()).collect::<Vec<_>>()))
    }

    /// All columns as SQL sees them.
    pub fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(
            self.columns.iter().map(|c| c.field.clone()).collect::<Vec<_>>(),
        ))
    }
}
