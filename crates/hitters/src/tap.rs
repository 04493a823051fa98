//! Takes the answers out of the rows of a sink, for the service of the same process.
//!
//! Rows with the columns of a sink table (`pipeline, version, set, group_key, window_start, window_end`) are taken as they are, in
//! other tables with an answer and a window every further column is a dimension. The tables in Redis and Kafka hold the same
//! answers in several places and are served under the pipeline's name; each other table has its own, and is served as
//! `pipeline.table`.

use arrow::array::{Array, AsArray, BinaryArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema, TimeUnit};
use hitters_dataflow::Error;
use hitters_planner::table::Table;
use hitters_results::{Answer, EmbeddedStore, Row, group};

/// Columns that are no dimensions.
const OTHERS: [&str; 10] = [
    "pipeline",
    "version",
    "set",
    "group_key",
    "window_start",
    "window_end",
    "window",
    "answer",
    "sketch",
    "field",
];

/// The rows of answers of one sink.
pub struct Tap {
    table: String,
    pipeline: String,
    version: u64,
    /// The dimensions, of a table without `set` and `group_key`.
    dimensions: Option<Vec<String>>,
}

/// Where they go while the run goes on.
pub struct Served {
    tap: Tap,
    store: EmbeddedStore,
    waiting: Vec<Row>,
}

impl Served {
    /// Into this store.
    pub fn new(tap: Tap, store: EmbeddedStore) -> Self {
        Self {
            tap,
            store,
            waiting: Vec::new(),
        }
    }

    /// Takes rows, and holds them until they are flushed.
    pub fn take(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        self.waiting.extend(self.tap.rows(batch)?);
        Ok(())
    }

    /// Lets questions see what was taken.
    pub fn flush(&mut self) -> Result<(), Error> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.waiting);
        let written = self.store.write_now(&rows);
        written.map_err(|error| self.tap.failed(&error.to_string()))
    }
}

impl Tap {
    /// `None` if these are no rows of answers.
    pub fn new((pipeline, version): (&str, u64), table: &Table, schema: &Schema) -> Option<Self> {
        let has = |name: &str| schema.index_of(name).is_ok();
        if !["answer", "window_start", "window_end"].into_iter().all(has) {
            return None;
        }
        let standard = has("set") && has("group_key");
        let dimensions = || {
            let names = schema.fields().iter().map(|field| field.name());
            names.filter(|name| !OTHERS.contains(&name.as_str())).cloned().collect()
        };
        let name = table.name.clone();
        let shared = standard && matches!(table.spec.connector(), "redis" | "kafka");
        Some(Self {
            pipeline: if shared {
                pipeline.to_owned()
            } else {
                format!("{pipeline}.{name}")
            },
            table: name,
            version,
            dimensions: (!standard).then(dimensions),
        })
    }

    /// The name under which they are served.
    pub fn pipeline(&self) -> &str {
        &self.pipeline
    }

    /// The rows of a batch.
    pub fn rows(&self, batch: &RecordBatch) -> Result<Vec<Row>, Error> {
        let text = |name: &str| -> Result<Option<StringArray>, Error> {
            let Some(column) = batch.column_by_name(name) else {
                return Ok(None);
            };
            Ok(Some(cast(column, &DataType::Utf8)?.as_string::<i32>().clone()))
        };
        let (starts, ends) = (self.times(batch, "window_start")?, self.times(batch, "window_end")?);
        let (sets, groups) = (text("set")?, text("group_key")?);
        let answers = text("answer")?;
        let sketches: Option<BinaryArray> = match batch.column_by_name("sketch") {
            Some(column) => Some(cast(column, &DataType::Binary)?.as_binary::<i32>().clone()),
            None => None,
        };
        let dimensions: Option<Vec<(&String, Option<StringArray>)>> = match &self.dimensions {
            Some(names) => Some(
                names
                    .iter()
                    .map(|name| Ok((name, text(name)?)))
                    .collect::<Result<_, Error>>()?,
            ),
            None => None,
        };
        let mut rows = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            let value = |column: &Option<StringArray>| {
                let column = column.as_ref().filter(|column| column.is_valid(row));
                column.map(|column| column.value(row).to_owned())
            };
            let (set, group) = match &dimensions {
                None => (value(&sets).unwrap_or_default(), value(&groups).unwrap_or_default()),
                Some(dimensions) => {
                    let names: Vec<&str> = dimensions.iter().map(|(name, _)| name.as_str()).collect();
                    let values = dimensions.iter().map(|(name, column)| ((*name).clone(), value(column)));
                    let values: Vec<_> = values.collect();
                    let set = if names.is_empty() {
                        group::ALL.to_owned()
                    } else {
                        names.join(",")
                    };
                    (set, group::key(&values))
                }
            };
            let answer = match value(&answers) {
                Some(text) => Some(Answer::parse(&text).map_err(|error| self.failed(&error.to_string()))?),
                None => None,
            };
            let sketch = sketches.as_ref().filter(|sketches| sketches.is_valid(row));
            rows.push(Row {
                pipeline: self.pipeline.clone(),
                version: self.version,
                set,
                group,
                start: starts.value(row),
                end: ends.value(row),
                answer,
                sketch: sketch.map(|sketches| sketches.value(row).to_vec()),
            });
        }
        Ok(rows)
    }

    /// Milliseconds since the epoch, of timestamps or of such numbers.
    fn times(&self, batch: &RecordBatch, name: &str) -> Result<Int64Array, Error> {
        let column = batch
            .column_by_name(name)
            .ok_or_else(|| self.failed("a column of the window is gone"))?;
        let column = match column.data_type() {
            DataType::Timestamp(_, _) => cast(column, &DataType::Timestamp(TimeUnit::Millisecond, None))?,
            _ => column.clone(),
        };
        Ok(cast(&column, &DataType::Int64)?.as_primitive().clone())
    }

    fn failed(&self, message: &str) -> Error {
        Error::Sink {
            table: self.table.clone(),
            message: format!("the answers that are served: {message}"),
        }
    }
}
