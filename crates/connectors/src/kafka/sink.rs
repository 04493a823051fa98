//! Writes rows as messages: one row a message, the key and the time from columns if the table names them.

use super::{Delivery, KafkaTable, Role};
use crate::rows::RowEncoder;
use crate::run::RunOptions;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{SchemaRef, TimestampNanosecondType};
use hitters_dataflow::Error;
use hitters_dataflow::sink::Sink;

/// A topic being written.
pub(crate) struct KafkaSink {
    table: String,
    delivery: Delivery,
    encoder: RowEncoder,
    key: Option<usize>,
    timestamp: Option<usize>,
    rows: Vec<u8>,
    ends: Vec<usize>,
}

impl KafkaSink {
    pub(crate) fn open(table: &str, spec: &KafkaTable, schema: &SchemaRef, run: &RunOptions) -> Result<Self, Error> {
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
        // Two runs that write the same table fence each other, as they should; client_configs may name another id.
        let id = transactional.then(|| format!("hitters-{}-{table}", spec.topic));
        let delivery = Delivery::open(&spec.servers, &spec.topic, id.as_deref(), run).map_err(fail)?;
        let place = |name: &Option<String>| name.as_ref().map(|name| schema.index_of(name)).transpose();
        Ok(Self {
            table: table.to_string(),
            delivery,
            encoder: format.encoder(),
            key: place(key)?,
            timestamp: place(timestamp)?,
            rows: Vec::new(),
            ends: Vec::new(),
        })
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
            let sent = self.delivery.send(key, &self.rows[begin..end], time);
            sent.map_err(|message| Error::Sink {
                table: self.table.clone(),
                message,
            })?;
            begin = end;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.delivery.flush().map_err(|message| Error::Sink {
            table: self.table.clone(),
            message,
        })
    }
}
