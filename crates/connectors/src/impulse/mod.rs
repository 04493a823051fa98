//! `impulse`: a source of counted rows, for trying things out.
//!
//! Times are deterministic, unlike in Arroyo, which begins at the present: row `n` has the event time 1970-01-01 00:00:00 plus
//! `n` times `event_time_interval` (nanoseconds, as Arroyo reads it; one second through `event_rate` unless given). In an
//! endless run rows come at `event_rate` a second, in a bounded one as fast as they are taken.

use crate::format;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use hitters_dataflow::Error as RunError;
use hitters_dataflow::source::{Partition, Poll, Reader, Rows, Source, Start};
use hitters_planner::connector::{Connector, Direction, Options, TableSpec};
use hitters_planner::error::Error;
use hitters_planner::plan::SourceNode;
use hitters_planner::table::{Column, ColumnKind};
use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

const BATCH: i64 = 8192;

/// The connector.
pub(crate) struct Impulse;

/// A checked table.
#[derive(Clone, Debug)]
pub(crate) struct ImpulseTable {
    /// Rows a second.
    rate: f64,
    /// Nanoseconds from row to row.
    interval: i64,
    /// Rows in all.
    count: Option<i64>,
}

impl Connector for Impulse {
    fn name(&self) -> &'static str {
        "impulse"
    }

    fn table(&self, columns: &[Column], options: &mut Options) -> Result<Arc<dyn TableSpec>, Error> {
        format::only(options, Direction::Source)?;
        let rate = options.parsed::<f64>("event_rate", "a number of rows a second")?;
        let rate = rate.ok_or_else(|| {
            Error::new("option 'event_rate' is missing").hint("add event_rate = '1000' (rows a second) to WITH")
        })?;
        if !(rate.is_finite() && rate > 0.0) {
            return Err(Error::new(format!("option 'event_rate' is {rate}, it must be above 0")));
        }
        let interval = options.parsed::<i64>("event_time_interval", "a number of nanoseconds")?;
        if interval.is_some_and(|interval| interval < 0) {
            return Err(Error::new("option 'event_time_interval' cannot be negative"));
        }
        let count = options.parsed::<i64>("message_count", "a number of rows")?;
        if count.is_some_and(|count| count < 0) {
            return Err(Error::new("option 'message_count' cannot be negative"));
        }
        for column in columns.iter().filter(|c| c.kind != ColumnKind::Generated) {
            let known = matches!(column.field.name().as_str(), "counter" | "subtask_index");
            if !known || *column.field.data_type() != DataType::Int64 || column.kind != ColumnKind::Physical {
                return Err(
                    Error::new(format!("impulse has no column '{}' of this type", column.field.name()))
                        .hint("its columns are counter BIGINT and subtask_index BIGINT; they need not be declared"),
                );
            }
        }
        let interval = interval.unwrap_or_else(|| (1e9 / rate).max(1.0) as i64);
        Ok(Arc::new(ImpulseTable { rate, interval, count }))
    }

    fn default_columns(&self) -> Option<Vec<Column>> {
        let column = |name| Column {
            field: Arc::new(Field::new(name, DataType::Int64, false)),
            kind: ColumnKind::Physical,
            json: false,
        };
        Some(vec![column("counter"), column("subtask_index")])
    }
}

impl TableSpec for ImpulseTable {
    fn connector(&self) -> &'static str {
        "impulse"
    }

    fn direction(&self) -> Direction {
        Direction::Source
    }

    fn describe(&self) -> String {
        let count = self
            .count
            .map_or_else(|| "endless".to_string(), |count| format!("{count} rows"));
        format!("impulse ({count}, {} rows/s)", self.rate)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// An impulse table being read.
pub(crate) struct ImpulseSource {
    name: String,
    table: ImpulseTable,
    schema: SchemaRef,
    end: i64,
    paced: bool,
    times: bool,
}

impl ImpulseSource {
    pub(crate) fn open(
        node: &SourceNode,
        table: &ImpulseTable,
        bounded: bool,
        limit: Option<u64>,
    ) -> Result<Self, RunError> {
        let limit = limit.map_or(i64::MAX, |limit| i64::try_from(limit).unwrap_or(i64::MAX));
        let end = table.count.unwrap_or(i64::MAX).min(limit);
        let name = node.table.name.clone();
        if bounded && end == i64::MAX {
            let message =
                "this run is bounded, but impulse has no end: add message_count to the table, or --limit to the run"
                    .into();
            return Err(RunError::Source { table: name, message });
        }
        let stored = node.table.stored_schema();
        let schema = Arc::new(Schema::new(
            node.stored
                .iter()
                .map(|&place| stored.field(place).clone())
                .collect::<Vec<_>>(),
        ));
        Ok(Self {
            name,
            table: table.clone(),
            schema,
            end,
            paced: !bounded,
            times: node.event_time.is_none(),
        })
    }
}

impl Source for ImpulseSource {
    fn partitions(&mut self) -> Result<Vec<Partition>, RunError> {
        let rows = u64::try_from(self.end).ok().filter(|_| self.end < i64::MAX);
        Ok(vec![Partition {
            number: 0,
            start: Some(0),
            rows,
        }])
    }

    fn reader(&mut self, partitions: &[Start]) -> Result<Box<dyn Reader>, RunError> {
        let Some(start) = partitions.first() else {
            return Ok(Box::new(crate::single_file::Nothing));
        };
        let next = start.at.position().unwrap_or(0);
        Ok(Box::new(ImpulseReader {
            name: self.name.clone(),
            table: self.table.clone(),
            schema: self.schema.clone(),
            next,
            first: next,
            end: self.end,
            begun: self.paced.then(Instant::now),
            times: self.times,
        }))
    }
}

struct ImpulseReader {
    name: String,
    table: ImpulseTable,
    schema: SchemaRef,
    next: i64,
    first: i64,
    end: i64,
    /// When reading began, if rows come at their rate.
    begun: Option<Instant>,
    times: bool,
}

impl ImpulseReader {
    /// Rows that are due.
    fn due(&self, begun: Instant) -> i64 {
        let due = begun.elapsed().as_secs_f64() * self.table.rate;
        self.first.saturating_add(due as i64).saturating_sub(self.next)
    }
}

impl Reader for ImpulseReader {
    fn poll(&mut self, wait: Duration) -> Result<Poll, RunError> {
        if self.next >= self.end {
            return Ok(Poll::End(0));
        }
        let mut count = (self.end - self.next).min(BATCH);
        if let Some(begun) = self.begun {
            if self.due(begun) < 1 {
                let missing = (self.next - self.first + 1) as f64 / self.table.rate - begun.elapsed().as_secs_f64();
                std::thread::sleep(Duration::try_from_secs_f64(missing).unwrap_or_default().min(wait));
            }
            count = count.min(self.due(begun));
            if count < 1 {
                return Ok(Poll::Idle);
            }
        }
        let range = self.next..self.next + count;
        let columns = self.schema.fields().iter().map(|field| match field.name().as_str() {
            "counter" => Arc::new(Int64Array::from_iter_values(range.clone())) as ArrayRef,
            _ => Arc::new(Int64Array::from_value(0, count as usize)) as ArrayRef,
        });
        let options = RecordBatchOptions::new().with_row_count(Some(count as usize));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns.collect(), &options)?;
        let times: Vec<i64> = if self.times {
            range.map(|n| n.saturating_mul(self.table.interval)).collect()
        } else {
            Vec::new()
        };
        self.next += count;
        let records = count as u64;
        Ok(Poll::Rows(Rows {
            partition: 0,
            batch,
            times: ScalarBuffer::from(times),
            next: self.next,
            records,
            bytes: 0,
            bad: 0,
        }))
    }

    fn reject(&mut self, rows: &[(usize, String)]) -> Result<(), RunError> {
        match rows.first() {
            None => Ok(()),
            Some((row, reason)) => {
                let message = format!("row {row} of the batch before {}: {reason}", self.next);
                Err(RunError::Source {
                    table: self.name.clone(),
                    message,
                })
            }
        }
    }
}

#[cfg(test)]
mod tests;
