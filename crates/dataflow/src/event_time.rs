//! The first step after a source: generated columns, event time, and the watermark row by row.
//!
//! A row is late by the watermark of its own partition as it stood before the row, so lateness depends on the log alone,
//! not on where batches are cut or how partitions are read.
//!
//! A row at the epoch itself has no time: tables give the epoch to messages without one. What it says of the time of others is no
//! later than that, whatever its watermark is for Arroyo, which takes the least of a batch where we take the greatest.

use crate::Error;
use crate::batch::{Batch, record_batch};
use crate::durations;
use crate::expr::evaluate;
use crate::frontier::START;
use crate::source::Rows;
use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::{cast, filter, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion_physical_expr::PhysicalExpr;
use hitters_planner::plan::{NamedExpr, SourceNode};
use std::sync::Arc;

/// Without a watermark expression a partition may be this much out of order, in nanoseconds (as on Arroyo).
const DEFAULT_DELAY: i64 = 1_000_000_000;
/// 1970-01-01 00:00:00: the time of rows that have none.
const EPOCH: i64 = 0;

/// Gives rows their event time.
pub struct EventTime {
    generated: Vec<NamedExpr>,
    event_time: Option<Arc<dyn PhysicalExpr>>,
    watermark: Option<Arc<dyn PhysicalExpr>>,
    output: Vec<usize>,
    schema: SchemaRef,
}

/// Rows with event time, and those that could not get one.
pub struct Timed {
    /// The good rows.
    pub batch: Batch,
    /// The partition's watermark after them.
    pub watermark: i64,
    /// Their latest event time; `START` if there are none.
    pub latest: i64,
    /// Rows to give back to the reader: position in the source's batch and reason.
    pub rejected: Vec<(usize, String)>,
}

struct Evaluated {
    columns: Vec<ArrayRef>,
    times: Int64Array,
    watermarks: Int64Array,
}

impl EventTime {
    /// For the rows of this node; `schema` is that of its output.
    pub fn new(node: &SourceNode, schema: SchemaRef) -> Self {
        let columns = columns(node);
        let shorter = |expr: &Arc<dyn PhysicalExpr>| durations::of_intervals(expr, &columns);
        let generated = node.generated.iter().map(|column| NamedExpr {
            expr: shorter(&column.expr),
            name: column.name.clone(),
        });
        Self {
            generated: generated.collect(),
            event_time: node.event_time.as_ref().map(shorter),
            watermark: node.watermark.as_ref().map(shorter),
            output: node.output.clone(),
            schema,
        }
    }

    /// Takes rows of a partition (its position in the dataflow) whose watermark before them is `watermark`.
    pub fn apply(&self, partition: usize, watermark: i64, rows: Rows) -> Result<Timed, Error> {
        let mut times = Int64Array::new(rows.times, None);
        let (mut batch, mut rejected) = (rows.batch, Vec::new());
        let mut evaluated = self.evaluate(&batch, &times);
        if evaluated.as_ref().map_or(true, |e| e.times.null_count() > 0) {
            rejected = self.find_bad(&batch, &times);
            let mut good = vec![true; batch.num_rows()];
            rejected.iter().for_each(|(row, _)| good[*row] = false);
            let good = BooleanArray::from(good);
            batch = filter_record_batch(&batch, &good)?;
            if !times.is_empty() {
                times = Int64Array::from(filter(&times, &good)?.to_data());
            }
            evaluated = self.evaluate(&batch, &times);
        }
        let Evaluated {
            columns,
            times,
            watermarks,
        } = evaluated?;
        let before = running_maximum(&watermarks, watermark);
        let after = before.1;
        let latest = times.values().iter().copied().max().unwrap_or(START);
        let earliest = times.values().iter().copied().min().unwrap_or(i64::MAX);
        let columns = self.output.iter().map(|c| columns[*c].clone()).collect();
        let batch = Batch {
            partition,
            rows: record_batch(self.schema.clone(), columns, batch.num_rows())?,
            times,
            // A row before the watermark is late for some windows; if all are after even the last one, none is.
            watermarks: (earliest < after).then(|| Int64Array::from(before.0)),
        };
        Ok(Timed {
            batch,
            watermark: after,
            latest,
            rejected,
        })
    }

    fn evaluate(&self, stored: &RecordBatch, times: &Int64Array) -> Result<Evaluated, Error> {
        let mut fields: Vec<Arc<Field>> = stored.schema().fields().iter().cloned().collect();
        let mut columns = stored.columns().to_vec();
        for generated in &self.generated {
            let column = evaluate(&generated.expr, stored)?;
            fields.push(Arc::new(Field::new(&generated.name, column.data_type().clone(), true)));
            columns.push(column);
        }
        let all = record_batch(Arc::new(Schema::new(fields)), columns, stored.num_rows())?;
        let times = match &self.event_time {
            Some(expr) => nanoseconds(&evaluate(expr, &all)?)?,
            None => times.clone(),
        };
        let watermarks = match &self.watermark {
            Some(expr) => without_time(nanoseconds(&evaluate(expr, &all)?)?, &times),
            None => times.unary(|time: i64| time.saturating_sub(DEFAULT_DELAY)),
        };
        Ok(Evaluated {
            columns: all.columns().to_vec(),
            times,
            watermarks,
        })
    }

    /// Tries rows one by one, which happens only for batches that hold a bad one.
    fn find_bad(&self, stored: &RecordBatch, times: &Int64Array) -> Vec<(usize, String)> {
        let reason = |row: usize| {
            let times = if times.is_empty() {
                times.clone()
            } else {
                times.slice(row, 1)
            };
            match self.evaluate(&stored.slice(row, 1), &times) {
                Err(error) => Some(error.to_string()),
                Ok(e) if e.times.null_count() > 0 => Some("the event time is NULL".to_string()),
                Ok(_) => None,
            }
        };
        (0..stored.num_rows())
            .filter_map(|row| Some((row, reason(row)?)))
            .collect()
    }
}

/// The stored and generated columns of a source side by side.
fn columns(node: &SourceNode) -> Schema {
    let stored = node.table.stored_schema();
    let places = node.stored.iter();
    let fields: Option<Vec<Arc<Field>>> = places.map(|place| stored.fields().get(*place).cloned()).collect();
    // A table that says nothing of its columns, as simulations have it: then nothing is known of types.
    let Some(mut fields) = fields else {
        return Schema::empty();
    };
    let stored = Schema::new(fields.clone());
    fields.extend(node.generated.iter().map(|column| {
        let data_type = column.expr.data_type(&stored).unwrap_or(DataType::Null);
        Arc::new(Field::new(&column.name, data_type, true))
    }));
    Schema::new(fields)
}

/// A timestamp column as nanoseconds since the epoch; out of their range (the year 9999) is an error.
fn nanoseconds(column: &ArrayRef) -> Result<Int64Array, Error> {
    let options = arrow::compute::CastOptions {
        safe: false,
        ..Default::default()
    };
    let timestamps =
        arrow::compute::cast_with_options(column, &DataType::Timestamp(TimeUnit::Nanosecond, None), &options)?;
    Ok(Int64Array::from(cast(&timestamps, &DataType::Int64)?.to_data()))
}

/// The watermarks, those of rows at the epoch no later than the epoch.
fn without_time(watermarks: Int64Array, times: &Int64Array) -> Int64Array {
    if !times.values().contains(&EPOCH) {
        return watermarks;
    }
    let pairs = watermarks.iter().zip(times);
    pairs
        .map(|(watermark, time)| match time {
            Some(EPOCH) => watermark.map(|watermark| watermark.min(EPOCH)),
            _ => watermark,
        })
        .collect()
}

/// The greatest value before each position, starting from `start`, and the greatest of all. NULLs do not count.
fn running_maximum(values: &Int64Array, start: i64) -> (Vec<i64>, i64) {
    let mut maximum = start;
    let mut before = Vec::with_capacity(values.len());
    if values.null_count() == 0 {
        for value in values.values() {
            before.push(maximum);
            maximum = maximum.max(*value);
        }
    } else {
        for value in values {
            before.push(maximum);
            maximum = maximum.max(value.unwrap_or(START));
        }
    }
    (before, maximum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watermark_before_a_row_does_not_know_the_row() {
        let (before, after) = running_maximum(&Int64Array::from(vec![Some(3), Some(9), None, Some(5)]), 1);
        assert_eq!(before, vec![1, 3, 9, 9]);
        assert_eq!(after, 9);
    }

    #[test]
    fn a_row_without_a_time_moves_no_watermark_forward() {
        let watermarks = || Int64Array::from(vec![Some(50), Some(60), None, Some(-7), Some(80)]);
        let times = Int64Array::from(vec![52, EPOCH, EPOCH, EPOCH, 82]);
        let expected = Int64Array::from(vec![Some(50), Some(EPOCH), None, Some(-7), Some(80)]);
        assert_eq!(without_time(watermarks(), &times), expected);
        let times = Int64Array::from(vec![52, 1, -1, 62, 82]);
        assert_eq!(without_time(watermarks(), &times), watermarks());
    }
}
