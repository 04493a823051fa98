//! Tables and runs for the tests, made as the planner makes them.

use crate::{Factory, Reporter, RunOptions, connectors};
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field};
use hitters_dataflow::Error;
use hitters_dataflow::source::{At, Poll, Reader, Rows, SourceFactory, Start};
use hitters_planner::connector::Options;
use hitters_planner::error;
use hitters_planner::plan::SourceNode;
use hitters_planner::table::{Column, ColumnKind, Table};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub(crate) fn column(name: &str, data_type: DataType, nullable: bool) -> Column {
    Column {
        field: Arc::new(Field::new(name, data_type, nullable)),
        kind: ColumnKind::Physical,
        json: false,
    }
}

pub(crate) fn metadata(name: &str, key: &str, data_type: DataType) -> Column {
    Column {
        kind: ColumnKind::Metadata(key.into()),
        ..column(name, data_type, true)
    }
}

/// A table WITH these options (`connector` among them), or the planner's error.
pub(crate) fn table(columns: &[Column], with: &[(&str, &str)]) -> Result<Arc<Table>, error::Error> {
    let connector = with.iter().find(|(name, _)| *name == "connector").unwrap().1;
    let values = with
        .iter()
        .filter(|(name, _)| *name != "connector")
        .map(|(name, value)| (name.to_string(), value.to_string(), None));
    let mut options = Options::new(values);
    let all = connectors();
    let spec = all.get(connector).unwrap().table(columns, &mut options)?;
    if let Some((name, _)) = options.unknown().next() {
        return Err(error::Error::new(format!("unknown option '{name}'")));
    }
    Ok(Arc::new(Table {
        name: "events".into(),
        columns: columns.to_vec(),
        spec,
        span: None,
    }))
}

/// Reads all stored columns.
pub(crate) fn node(table: &Arc<Table>) -> SourceNode {
    let stored = (0..table.stored_schema().fields().len()).collect();
    SourceNode {
        table: table.clone(),
        stored,
        generated: Vec::new(),
        event_time: None,
        watermark: None,
        output: Vec::new(),
    }
}

/// Options of a bounded run, and what its reporter hears.
pub(crate) fn bounded() -> (RunOptions, Arc<Mutex<Vec<String>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let listener = heard.clone();
    let reporter = Reporter::new(move |line| listener.lock().unwrap().push(line.to_string()));
    (
        RunOptions {
            bounded: true,
            reporter,
            ..RunOptions::default()
        },
        heard,
    )
}

/// A reader of every partition, from the given position or the table's start.
pub(crate) fn reader(run: RunOptions, node: &SourceNode, position: Option<i64>) -> Result<Box<dyn Reader>, Error> {
    let factory = Factory::new(run)?;
    let mut source = factory.open(node)?;
    let starts: Vec<_> = source
        .partitions()?
        .iter()
        .map(|partition| Start {
            number: partition.number,
            at: position.map_or(At::Options, At::Position),
        })
        .collect();
    source.reader(&starts)
}

/// All rows up to the end of every partition.
pub(crate) fn read_all(reader: &mut dyn Reader, partitions: usize) -> Result<Vec<Rows>, Error> {
    let (mut all, mut ended) = (Vec::new(), 0);
    let until = Instant::now() + Duration::from_secs(60);
    while ended < partitions {
        assert!(Instant::now() < until, "the source does not end");
        match reader.poll(Duration::from_millis(100))? {
            Poll::Rows(rows) => all.push(rows),
            Poll::End(_) => ended += 1,
            Poll::CaughtUp(_) | Poll::Idle => {}
        }
    }
    Ok(all)
}

/// The rows of some batches as JSON lines.
pub(crate) fn lines(batches: impl IntoIterator<Item = RecordBatch>) -> Vec<String> {
    let mut out = Vec::new();
    for batch in batches {
        crate::rows::RowEncoder::Json(Default::default())
            .lines(&batch, &mut out)
            .unwrap();
    }
    String::from_utf8(out).unwrap().lines().map(str::to_string).collect()
}
