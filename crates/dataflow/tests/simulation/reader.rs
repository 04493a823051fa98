//! Reads partitions in memory, in batches of random lengths.

use super::{Log, Random, source_schema};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray};
use arrow::buffer::ScalarBuffer;
use hitters_dataflow::Error;
use hitters_dataflow::source::{Poll, Reader, Rows};
use std::sync::Arc;
use std::time::Duration;

/// Some partitions of a log.
pub struct MemoryReader {
    log: Arc<Log>,
    parts: Vec<Part>,
    random: Random,
    longest: u64,
}

struct Part {
    number: usize,
    next: usize,
    ended: bool,
}

impl MemoryReader {
    /// Reads each partition from a position on, in batches of at most `longest` rows.
    pub fn new(log: Arc<Log>, starts: impl Iterator<Item = (usize, i64)>, seed: u64, longest: u64) -> Self {
        let part = |(number, next)| Part {
            number,
            next: usize::try_from(next).unwrap(),
            ended: false,
        };
        Self {
            log,
            parts: starts.map(part).collect(),
            random: Random(seed),
            longest,
        }
    }
}

impl Reader for MemoryReader {
    fn poll(&mut self, _wait: Duration) -> Result<Poll, Error> {
        let which = self.random.below(self.parts.len() as u64) as usize;
        let part = &mut self.parts[which];
        let rows = &self.log[part.number];
        if part.next == rows.len() {
            if std::mem::replace(&mut part.ended, true) {
                return Ok(Poll::Idle);
            }
            return Ok(Poll::End(part.number as i32));
        }
        let end = (part.next + 1 + self.random.below(self.longest) as usize).min(rows.len());
        let rows = &rows[part.next..end];
        part.next = end;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(rows.iter().map(|row| Some(row.1.as_str())).collect::<StringViewArray>()),
            Arc::new(rows.iter().map(|row| row.2).collect::<Int64Array>()),
        ];
        Ok(Poll::Rows(Rows {
            partition: part.number as i32,
            batch: RecordBatch::try_new(source_schema(), columns)?,
            times: ScalarBuffer::from(rows.iter().map(|row| row.0).collect::<Vec<_>>()),
            next: end as i64,
            records: rows.len() as u64,
            bytes: 0,
            bad: 0,
        }))
    }

    fn reject(&mut self, rows: &[(usize, String)]) -> Result<(), Error> {
        Err(Error::State(format!("no row is bad here: {rows:?}")))
    }
}
