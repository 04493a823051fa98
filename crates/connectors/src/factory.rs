//! Opens the tables of a plan for one run.

use crate::bad::BadRows;
use crate::blackhole::BlackholeTable;
use crate::dead_letter::DeadLetters;
use crate::impulse::{ImpulseSource, ImpulseTable};
use crate::kafka::{Groups, KafkaSink, KafkaSource, KafkaTable};
use crate::print::PrintSink;
use crate::redis::{RedisSink, RedisTable};
use crate::rows::RowEncoder;
use crate::run::RunOptions;
use crate::single_file::{FileSink, FileSource, FileTable, Role};
use crate::stdout::StdoutTable;
use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};
use hitters_dataflow::Error;
use hitters_dataflow::sink::{Checkpoint, Sink, SinkFactory};
use hitters_dataflow::source::{Source, SourceFactory};
use hitters_planner::plan::SourceNode;
use hitters_planner::table::Table;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Opens sources and sinks. One for each run.
pub struct Factory {
    run: RunOptions,
    dead_letters: Option<Arc<DeadLetters>>,
    groups: Arc<Groups>,
    /// How many sinks were opened for each table.
    sinks: Mutex<HashMap<String, u32>>,
}

impl Factory {
    /// For a run with these options.
    ///
    /// # Errors
    ///
    /// If the target of the dead letters cannot be opened.
    pub fn new(run: RunOptions) -> Result<Self, Error> {
        let dead_letters = match &run.dead_letter {
            None => None,
            Some(target) => {
                let opened = DeadLetters::open(target, &run);
                Some(Arc::new(opened.map_err(|message| Error::Sink {
                    table: "dead letters".into(),
                    message,
                })?))
            }
        };
        Ok(Self {
            run,
            dead_letters,
            groups: Arc::default(),
            sinks: Mutex::default(),
        })
    }

    /// Waits until every dead letter has arrived. To be called at the end of a run and before a checkpoint counts.
    ///
    /// # Errors
    ///
    /// If a letter could not be delivered.
    pub fn flush_dead_letters(&self) -> Result<(), Error> {
        match &self.dead_letters {
            None => Ok(()),
            Some(letters) => letters.flush().map_err(|message| Error::Sink {
                table: "dead letters".into(),
                message,
            }),
        }
    }

    /// What a sink is called in the services, the same in each run of a plan: its table, with a number from the second query
    /// on that writes it.
    fn sink_name(&self, table: &str) -> String {
        // Plain data: whoever panicked left it whole.
        let mut sinks = self.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        let count = sinks.entry(table.to_string()).or_default();
        *count += 1;
        if *count == 1 {
            table.to_string()
        } else {
            format!("{table}-{count}")
        }
    }

    fn bad_rows(&self, table: &Table, origin: String, position: &'static str, drop: bool) -> BadRows {
        BadRows {
            table: table.name.clone(),
            origin,
            position,
            drop,
            dead_letters: self.dead_letters.clone(),
        }
    }
}

impl SourceFactory for Factory {
    fn open(&self, node: &SourceNode) -> Result<Box<dyn Source>, Error> {
        let table = &node.table;
        let spec = table.spec.as_any();
        let error = |message: String| Error::Source {
            table: table.name.clone(),
            message,
        };
        if let Some(kafka) = spec.downcast_ref::<KafkaTable>() {
            let decoding = kafka
                .decoding()
                .ok_or_else(|| error("the table is a sink and cannot be read".into()))?;
            let bad = self.bad_rows(table, format!("topic '{}'", kafka.topic()), "offset", decoding.drop_bad);
            return Ok(Box::new(KafkaSource::open(node, kafka, bad, &self.groups, &self.run)?));
        }
        if self.run.from.is_some() || self.run.to.is_some() {
            return Err(error(
                "--from and --to bound Kafka tables only; for other tables use a WHERE on the event time".into(),
            ));
        }
        if let Some(file) = spec.downcast_ref::<FileTable>() {
            let Role::Source(decoding) = &file.role else {
                return Err(error("the table is a sink and cannot be read".into()));
            };
            let bad = self.bad_rows(table, file.path.display().to_string(), "line", decoding.drop_bad);
            return Ok(Box::new(FileSource::open(node, file, decoding, bad, self.run.limit)?));
        }
        if let Some(impulse) = spec.downcast_ref::<ImpulseTable>() {
            return Ok(Box::new(ImpulseSource::open(
                node,
                impulse,
                self.run.is_bounded(),
                self.run.limit,
            )?));
        }
        Err(error(format!("connector '{}' cannot be read", table.spec.connector())))
    }
}

impl SinkFactory for Factory {
    fn open(&self, table: Option<&Arc<Table>>, schema: SchemaRef) -> Result<Box<dyn Sink>, Error> {
        let print = |name: &str, encoder| {
            let bounded = self.run.is_bounded();
            Ok(Box::new(PrintSink::new(name, &self.run.print, encoder, schema.clone(), bounded)) as Box<dyn Sink>)
        };
        let Some(table) = table else {
            return print("of the SELECT", RowEncoder::Json(Default::default()));
        };
        let named = named(table, &schema);
        if named != schema {
            let sink = SinkFactory::open(self, Some(table), named.clone())?;
            return Ok(Box::new(Named { schema: named, sink }));
        }
        let spec = table.spec.as_any();
        let error = |message: String| Error::Sink {
            table: table.name.clone(),
            message,
        };
        if let Some(kafka) = spec.downcast_ref::<KafkaTable>() {
            let name = self.sink_name(&table.name);
            return Ok(Box::new(KafkaSink::open(
                &table.name,
                &name,
                kafka,
                &schema,
                &self.groups,
                &self.run,
            )?));
        }
        if let Some(redis) = spec.downcast_ref::<RedisTable>() {
            let name = self.sink_name(&table.name);
            return Ok(Box::new(RedisSink::open(
                &table.name,
                &name,
                redis,
                &schema,
                &self.run,
            )?));
        }
        if let Some(file) = spec.downcast_ref::<FileTable>() {
            let Role::Sink(format) = &file.role else {
                return Err(error("the table is a source and cannot be written".into()));
            };
            let path = file.path.display().to_string();
            if self.sink_name(&path) != path {
                return Err(error(format!(
                    "two queries write '{path}': unite them with UNION ALL, or give each a table with a file of its own"
                )));
            }
            return Ok(Box::new(FileSink::create(
                &table.name,
                &file.path,
                format.encoder(),
                self.run.attempt.is_some(),
            )?));
        }
        if let Some(stdout) = spec.downcast_ref::<StdoutTable>() {
            return print(&table.name, stdout.format.encoder());
        }
        if spec.is::<BlackholeTable>() {
            return Ok(Box::new(BlackholeTable));
        }
        Err(error(format!(
            "connector '{}' cannot be written",
            table.spec.connector()
        )))
    }
}

/// The rows of a query under the names of the table that they are written to: SQL matches columns by position.
fn named(table: &Table, schema: &SchemaRef) -> SchemaRef {
    let declared = table.columns.iter().map(|column| column.field.name());
    if table.columns.len() != schema.fields().len() || declared.clone().eq(schema.fields().iter().map(|f| f.name())) {
        return schema.clone();
    }
    let fields = schema.fields().iter().zip(declared);
    Arc::new(Schema::new(
        fields
            .map(|(field, name)| field.as_ref().clone().with_name(name))
            .collect::<Vec<_>>(),
    ))
}

/// Gives the columns of each batch their names.
struct Named {
    schema: SchemaRef,
    sink: Box<dyn Sink>,
}

impl Sink for Named {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let columns = batch.columns().to_vec();
        self.sink.write(&RecordBatch::try_new_with_options(
            self.schema.clone(),
            columns,
            &options,
        )?)
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.sink.flush()
    }

    fn prepare(&mut self) -> Result<Option<Vec<u8>>, Error> {
        self.sink.prepare()
    }

    fn commit(&mut self, checkpoint: &Checkpoint<'_>) -> Result<(), Error> {
        self.sink.commit(checkpoint)
    }

    fn recover(&mut self, checkpoint: &Checkpoint<'_>, held: &[u8]) -> Result<(), Error> {
        self.sink.recover(checkpoint, held)
    }

    fn size(&self) -> usize {
        self.sink.size()
    }

    fn close(&mut self) -> Result<(), Error> {
        self.sink.close()
    }
}
