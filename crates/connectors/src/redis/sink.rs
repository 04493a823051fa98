//! Writes rows in pipelines: everything of a flush goes out in one piece and is answered in one piece.

use super::commands::Commands;
use super::connection::RedisConnection;
use super::{RedisTable, Target};
use crate::rows::RowEncoder;
use crate::run::RunOptions;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use hitters_dataflow::Error;
use hitters_dataflow::sink::Sink;

/// Bytes that are gathered before they are sent without a flush.
const MOST: usize = 8 << 20;

/// A Redis table being written.
pub(crate) struct RedisSink {
    table: String,
    spec: RedisTable,
    encoder: RowEncoder,
    connection: RedisConnection,
    /// Places of the key column and the field column.
    columns: (Option<usize>, Option<usize>),
    commands: Commands,
    rows: Vec<u8>,
    ends: Vec<usize>,
}

impl RedisSink {
    pub(crate) fn open(table: &str, spec: &RedisTable, schema: &SchemaRef, run: &RunOptions) -> Result<Self, Error> {
        let connection = RedisConnection::open(&spec.servers, &run.reporter, run.start_timeout.0);
        let mut connection = connection.map_err(|message| Error::Sink {
            table: table.to_string(),
            message,
        })?;
        // Writing a string or a field again changes nothing, pushing again does.
        if matches!(spec.target, Target::List { .. }) && !connection.once(&spec.prefix) {
            run.reporter.say(&format!(
                "table {table}: the lists of a Redis cluster may hold rows twice after a broken connection (target = 'hash' or 'string' does not)"
            ));
        }
        let key = spec.key.as_ref().map(|name| schema.index_of(name)).transpose()?;
        let field = match &spec.target {
            Target::Hash { field } => Some(schema.index_of(field)?),
            _ => None,
        };
        Ok(Self {
            table: table.to_string(),
            spec: spec.clone(),
            encoder: spec.format.encoder(),
            connection,
            columns: (key, field),
            commands: Commands::default(),
            rows: Vec::new(),
            ends: Vec::new(),
        })
    }

    fn fail(&self, message: String) -> Error {
        Error::Sink {
            table: self.table.clone(),
            message,
        }
    }
}

impl Sink for RedisSink {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        self.rows.clear();
        self.ends.clear();
        self.encoder.encode(batch, &mut self.rows, &mut self.ends)?;
        let added = self.commands.add(
            &self.spec.target,
            &self.spec.prefix,
            self.columns,
            batch,
            &self.rows,
            &self.ends,
        );
        added.map_err(|message| self.fail(message))?;
        if self.commands.bytes() >= MOST {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<(), Error> {
        let commands = self.commands.finish(&self.spec.target);
        if commands.is_empty() {
            return Ok(());
        }
        self.connection.run(commands).map_err(|message| self.fail(message))
    }

    fn close(&mut self) -> Result<(), Error> {
        self.flush()?;
        self.connection.done().map_err(|message| self.fail(message))
    }
}
