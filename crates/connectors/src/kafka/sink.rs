//! Writes rows as messages: one row a message, the key and the time from columns if the table names them.

use super::exactly_once::ExactlyOnce;
use super::groups::Groups;
use super::{Delivery, KafkaTable, Role};
use crate::held::Row;
use crate::rows::RowEncoder;
use crate::run::RunOptions;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{SchemaRef, TimestampNanosecondType};
use hitters_dataflow::Error;
use hitters_dataflow::sink::{Checkpoint, Sink};
use std::sync::Arc;

/// A topic being written.
pub(crate) struct KafkaSink {
    table: String,
    output: Output,
    encoder: RowEncoder,
    key: Option<usize>,
    timestamp: Option<usize>,
    rows: Vec<u8>,
    ends: Vec<usize>,
}

enum Output {
    /// `at_least_once`: rows go out as they come.
    Direct(Box<Delivery>),
    Transactions(Box<ExactlyOnce>),
}

impl KafkaSink {
    /// `name`: the table's, with a number if several queries write it.
    pub(crate) fn open(
        table: &str,
        name: &str,
        spec: &KafkaTable,
        schema: &SchemaRef,
        groups: &Arc<Groups>,
        run: &RunOptions,
    ) -> Result<Self, Error> {
        let fail = |message: String| Error::Sink {
            table: table.to_string(),
            message,
        };
        let Role::Sink {
            format,
            transactional,
            key,
            timestamp,
        } = &spec.role
        else {
            return Err(fail("the table is a source and cannot be written".into()));
        };
        let output = if *transactional {
            ExactlyOnce::open(&spec.servers, &spec.topic, name, groups, run)
                .map(|sink| Output::Transactions(Box::new(sink)))
        } else {
            Delivery::open(&spec.servers, &spec.topic, run).map(|delivery| Output::Direct(Box::new(delivery)))
        };
        let output = output.map_err(fail)?;
        let place = |name: &Option<String>| name.as_ref().map(|name| schema.index_of(name)).transpose();
        Ok(Self {
            table: table.to_string(),
            output,
            encoder: format.encoder(),
            key: place(key)?,
            timestamp: place(timestamp)?,
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

impl Sink for KafkaSink {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        self.rows.clear();
        self.ends.clear();
        self.encoder.encode(batch, &mut self.rows, &mut self.ends)?;
        let keys = self.key.and_then(|column| batch.column(column).as_string_view_opt());
        let times = self
            .timestamp
            .and_then(|column| batch.column(column).as_primitive_opt::<TimestampNanosecondType>());
        let mut begin = 0;
        for (row, &end) in self.ends.iter().enumerate() {
            let key = keys
                .filter(|keys| keys.is_valid(row))
                .map(|keys| keys.value(row).as_bytes());
            let time = times
                .filter(|times| times.is_valid(row))
                .map(|times| times.value(row).div_euclid(1_000_000));
            let payload = &self.rows[begin..end];
            let sent = match &mut self.output {
                Output::Direct(delivery) => delivery.send(key, payload, time),
                Output::Transactions(sink) => sink.push(Row { key, time, payload }),
            };
            sent.map_err(|message| Error::Sink {
                table: self.table.clone(),
                message,
            })?;
            begin = end;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        let flushed = match &mut self.output {
            Output::Direct(delivery) => delivery.flush(),
            Output::Transactions(sink) => sink.flush(),
        };
        flushed.map_err(|message| self.fail(message))
    }

    fn prepare(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let prepared = match &mut self.output {
            Output::Direct(delivery) => delivery.flush().map(|()| None),
            Output::Transactions(sink) => sink.prepare(),
        };
        prepared.map_err(|message| self.fail(message))
    }

    fn commit(&mut self, checkpoint: &Checkpoint<'_>) -> Result<(), Error> {
        let Output::Transactions(sink) = &mut self.output else {
            return Ok(());
        };
        let committed = sink.commit(checkpoint);
        committed.map_err(|message| self.fail(message))
    }

    fn recover(&mut self, checkpoint: &Checkpoint<'_>, held: &[u8]) -> Result<(), Error> {
        let recovered = match &mut self.output {
            Output::Direct(_) => Err(
                "the checkpoint holds rows of this table, which is not written in transactions any more: set sink.commit_mode = 'exactly_once' again, or start without the saved state".into(),
            ),
            Output::Transactions(sink) => sink.recover(checkpoint, held),
        };
        recovered.map_err(|message| self.fail(message))
    }

    fn size(&self) -> usize {
        match &self.output {
            Output::Direct(_) => 0,
            Output::Transactions(sink) => sink.size(),
        }
    }

    fn close(&mut self) -> Result<(), Error> {
        let closed = match &mut self.output {
            Output::Direct(delivery) => delivery.flush(),
            Output::Transactions(sink) => sink.close(),
        };
        closed.map_err(|message| self.fail(message))
    }
}
