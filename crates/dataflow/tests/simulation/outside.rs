//! What is outside of a run and survives it: a topic that is written in transactions, and a store whose rows are seen at once.
//! Both refuse a run that has been taken over, as Kafka and Redis do.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use hitters_dataflow::Error;
use hitters_dataflow::checkpoint::object::{self, Kind, Object};
use hitters_dataflow::sink::{Checkpoint, Sink, SinkFactory};
use hitters_planner::table::Table;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

/// The outside.
#[derive(Clone, Default)]
pub struct Outside(Arc<Mutex<Seen>>);

/// What was seen.
#[derive(Default)]
pub struct Seen {
    /// The newest run that has opened its sinks.
    attempt: u64,
    /// Rows of committed transactions.
    pub published: Vec<RecordBatch>,
    /// The checkpoint of the last transaction.
    mark: u64,
    /// Rows that were seen at once, one by one.
    pub shown: Vec<RecordBatch>,
    /// Rows that were seen before a crash took their checkpoint away, with their place: they must come again.
    pub again: Vec<(usize, RecordBatch)>,
}

impl Outside {
    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap()
    }

    /// The sinks of one run.
    pub fn sinks(&self, attempt: Option<u64>) -> Opening {
        Opening {
            outside: self.clone(),
            attempt,
            opened: AtomicUsize::new(0),
        }
    }

    /// A run goes on from a checkpoint that knows of no rows.
    pub fn show_from(&self, count: usize) {
        let mut seen = self.seen();
        let lost = seen.shown.split_off(count);
        let lost = lost.into_iter().enumerate().map(|(place, row)| (count + place, row));
        seen.again.extend(lost);
    }

    fn fence(&self, attempt: Option<u64>) -> Result<MutexGuard<'_, Seen>, Error> {
        let seen = self.seen();
        if attempt.is_some_and(|attempt| attempt < seen.attempt) {
            return Err(Error::Sink {
                table: "outside".into(),
                message: "fenced".into(),
            });
        }
        Ok(seen)
    }
}

/// Opens the two sinks, in the order of their nodes.
pub struct Opening {
    outside: Outside,
    attempt: Option<u64>,
    opened: AtomicUsize,
}

impl SinkFactory for Opening {
    fn open(&self, _table: Option<&Arc<Table>>, _schema: SchemaRef) -> Result<Box<dyn Sink>, Error> {
        let (outside, attempt) = (self.outside.clone(), self.attempt);
        let mut seen = self.outside.seen();
        seen.attempt = seen.attempt.max(attempt.unwrap_or(0));
        Ok(if self.opened.fetch_add(1, Relaxed) == 0 {
            Box::new(Transactions {
                outside,
                attempt,
                held: Vec::new(),
                prepared: 0,
            })
        } else {
            Box::new(AtOnce { outside, attempt })
        })
    }
}

/// Holds rows back until their checkpoint is durable.
struct Transactions {
    outside: Outside,
    attempt: Option<u64>,
    held: Vec<RecordBatch>,
    /// Batches that belong to the last barrier.
    prepared: usize,
}

impl Transactions {
    fn publish(&mut self, number: u64, rows: Vec<RecordBatch>) -> Result<(), Error> {
        let mut seen = self.outside.fence(self.attempt)?;
        assert!(
            number > seen.mark,
            "checkpoint {number} is committed after {}",
            seen.mark
        );
        seen.mark = number;
        seen.published.extend(rows);
        Ok(())
    }
}

impl Sink for Transactions {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        if self.attempt.is_none() {
            self.outside.seen().published.push(batch.clone());
        } else {
            self.held.push(batch.clone());
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn prepare(&mut self) -> Result<Option<Vec<u8>>, Error> {
        self.prepared = self.held.len();
        let mut object = Object::default();
        for batch in &self.held {
            object.push(Kind::Operator, 0, (0, 0), batch)?;
        }
        Ok(Some(object.into_bytes()))
    }

    fn commit(&mut self, checkpoint: &Checkpoint<'_>) -> Result<(), Error> {
        let rows = self.held.drain(..std::mem::take(&mut self.prepared)).collect();
        self.publish(checkpoint.number, rows)
    }

    fn recover(&mut self, checkpoint: &Checkpoint<'_>, held: &[u8]) -> Result<(), Error> {
        let mark = self.outside.fence(self.attempt)?.mark;
        if mark < checkpoint.number {
            let rows = object::read(held)?.into_iter().map(|entry| entry.rows).collect();
            self.publish(checkpoint.number, rows)?;
        }
        Ok(())
    }
}

/// Shows rows at once. Its state is their number, to find those that were shown too early.
struct AtOnce {
    outside: Outside,
    attempt: Option<u64>,
}

impl Sink for AtOnce {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let mut seen = self.outside.fence(self.attempt)?;
        let rows = (0..batch.num_rows()).map(|row| batch.slice(row, 1));
        seen.shown.extend(rows);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn prepare(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let count = self.outside.seen().shown.len() as u64;
        Ok(Some(count.to_le_bytes().to_vec()))
    }

    fn recover(&mut self, _checkpoint: &Checkpoint<'_>, held: &[u8]) -> Result<(), Error> {
        let count = u64::from_le_bytes(held.try_into().unwrap());
        self.outside.show_from(count as usize);
        Ok(())
    }
}
