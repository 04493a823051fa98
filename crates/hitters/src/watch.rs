//! Sinks with an eye on them: counts what goes to each table, keeps the last answers, and ends a SELECT at its limit.

use crate::answers::{Recent, Shape};
use crate::cli::Format;
use crate::csv::CsvSink;
use crate::output::Output;
use crate::tap::{Served, Tap};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use hitters_connectors::Factory;
use hitters_dataflow::Error;
use hitters_dataflow::sink::{Checkpoint, Sink, SinkFactory};
use hitters_pipeline::Show;
use hitters_planner::table::Table;
use hitters_results::EmbeddedStore;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// Windows, and groups of each, of a SELECT of answers that are drawn as tables.
const SELECTED: usize = 1000;

/// Opens the sinks of the connectors, watched.
pub struct Watch<'a> {
    factory: &'a Factory,
    shows: &'a [Show],
    format: Format,
    output: Output,
    /// Rows that may still be printed.
    limit: Arc<AtomicU64>,
    reached: Arc<AtomicBool>,
    tables: Mutex<Vec<Arc<Watched>>>,
    /// Answers that are served while the run goes on: the name of the pipeline, its version, where they go.
    served: Option<(String, u64, EmbeddedStore)>,
}

/// What is known of one sink.
#[derive(Debug)]
pub struct Watched {
    /// Name of the table; `None` for a bare SELECT.
    pub table: Option<String>,
    /// What its connector says of it.
    pub describe: String,
    /// Rows given to it.
    pub rows: AtomicU64,
    /// Its last answers, if its rows are such.
    pub recent: Option<Mutex<Recent>>,
}

impl<'a> Watch<'a> {
    /// Over these sinks. Without `shows` every table with answers is kept for the end.
    pub fn new(factory: &'a Factory, shows: &'a [Show], format: Format, output: Output, limit: Option<u64>) -> Self {
        let limit = Arc::new(AtomicU64::new(limit.unwrap_or(u64::MAX)));
        Self {
            factory,
            shows,
            format,
            output,
            limit,
            reached: Arc::default(),
            tables: Mutex::default(),
            served: None,
        }
    }

    /// Answers go here too.
    #[must_use]
    pub fn served(mut self, pipeline: &str, version: u64, store: Option<EmbeddedStore>) -> Self {
        self.served = store.map(|store| (pipeline.to_owned(), version, store));
        self
    }

    /// True when as many rows were printed as were asked for.
    pub fn limit_reached(&self) -> bool {
        self.reached.load(Relaxed)
    }

    /// The sinks in the order of their statements.
    pub fn tables(&self) -> Vec<Arc<Watched>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn recent(&self, table: Option<&Arc<Table>>, schema: &SchemaRef) -> Option<Mutex<Recent>> {
        let shape = Shape::of(schema)?;
        let Some(table) = table else {
            // A SELECT of answers as tables: all of them, within reason.
            let tables = self.format == Format::Table;
            return tables.then(|| Mutex::new(Recent::new(shape, SELECTED, SELECTED)));
        };
        let show = self.shows.iter().find(|show| show.table == table.name);
        if show.is_none() && !self.shows.is_empty() {
            return None;
        }
        let (windows, groups) = show.map_or((1, 10), |show| (show.windows, show.groups));
        Some(Mutex::new(Recent::new(shape, windows, groups)))
    }
}

impl SinkFactory for Watch<'_> {
    fn open(&self, table: Option<&Arc<Table>>, schema: SchemaRef) -> Result<Box<dyn Sink>, Error> {
        let recent = self.recent(table, &schema);
        let inner: Box<dyn Sink> = match (table, self.format) {
            (None, Format::Csv) => Box::new(CsvSink::new(self.output.clone())),
            (None, Format::Table) if recent.is_some() => Box::new(Kept),
            _ => self.factory.open(table, schema.clone())?,
        };
        let watched = Arc::new(Watched {
            table: table.map(|table| table.name.clone()),
            describe: table.map(|table| table.spec.describe()).unwrap_or_default(),
            rows: AtomicU64::new(0),
            recent,
        });
        self.tables
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(watched.clone());
        let limit = table.is_none().then(|| (self.limit.clone(), self.reached.clone()));
        let served = self
            .served
            .as_ref()
            .zip(table)
            .and_then(|((pipeline, version, store), table)| {
                let tap = Tap::new((pipeline, *version), table, &schema)?;
                Some(Served::new(tap, store.clone()))
            });
        Ok(Box::new(WatchedSink {
            inner,
            watched,
            limit,
            served,
        }))
    }
}

/// Rows that are shown at the end of the run and nowhere else.
struct Kept;

impl Sink for Kept {
    fn write(&mut self, _: &RecordBatch) -> Result<(), Error> {
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

struct WatchedSink {
    inner: Box<dyn Sink>,
    watched: Arc<Watched>,
    /// Shared by all SELECTs of a run. They run on one thread, so that reading and then writing it is no race.
    limit: Option<(Arc<AtomicU64>, Arc<AtomicBool>)>,
    served: Option<Served>,
}

impl Sink for WatchedSink {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let cut = match &self.limit {
            None => batch.clone(),
            Some((left, reached)) => {
                let allowed = left.load(Relaxed);
                let rows = usize::try_from(allowed).unwrap_or(usize::MAX).min(batch.num_rows());
                left.store(allowed - rows as u64, Relaxed);
                if allowed == rows as u64 {
                    reached.store(true, Relaxed);
                }
                batch.slice(0, rows)
            }
        };
        if cut.num_rows() == 0 {
            return Ok(());
        }
        self.watched.rows.fetch_add(cut.num_rows() as u64, Relaxed);
        if let Some(recent) = &self.watched.recent {
            recent.lock().unwrap_or_else(PoisonError::into_inner).take(&cut)?;
        }
        if let Some(served) = &mut self.served {
            served.take(&cut)?;
        }
        self.inner.write(&cut)
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.inner.flush()?;
        self.served.as_mut().map_or(Ok(()), Served::flush)
    }

    fn prepare(&mut self) -> Result<Option<Vec<u8>>, Error> {
        self.inner.prepare()
    }

    fn commit(&mut self, checkpoint: &Checkpoint<'_>) -> Result<(), Error> {
        self.inner.commit(checkpoint)
    }

    fn recover(&mut self, checkpoint: &Checkpoint<'_>, held: &[u8]) -> Result<(), Error> {
        self.inner.recover(checkpoint, held)
    }

    fn size(&self) -> usize {
        self.inner.size()
    }

    fn close(&mut self) -> Result<(), Error> {
        self.inner.close()?;
        self.served.as_mut().map_or(Ok(()), Served::flush)
    }
}
