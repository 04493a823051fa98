//! A run: rows in the order of their keys, in blocks of a store, written once.
//!
//! A block is one Arrow IPC stream of some hundred rows. A run is deleted when the last one who holds it lets go. The same
//! numbered blocks, without an order, hold the rows that wait for the state of an open pane ([`Log`]).

use super::keys::Keys;
use super::{Life, RunId, Spill};
use crate::Error;
use crate::batch::{data_bytes, read_rows, write_rows};
use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The blocks of a number; deleted with it.
struct Blocks {
    spill: Arc<Spill>,
    id: RunId,
    count: AtomicU32,
}

impl Blocks {
    fn new(spill: &Arc<Spill>, life: Life) -> Self {
        Self {
            spill: spill.clone(),
            id: spill.run(life),
            count: AtomicU32::new(0),
        }
    }

    /// Stores a block; gives its bytes.
    fn put(&self, rows: &RecordBatch) -> Result<u64, Error> {
        let mut bytes = Vec::new();
        write_rows(rows, &mut bytes)?;
        let block = self.count.fetch_add(1, Relaxed);
        self.spill.store.put(self.id, block, &bytes).map_err(failed)?;
        Ok(bytes.len() as u64)
    }

    fn get(&self, block: u32) -> Result<RecordBatch, Error> {
        read_rows(&self.spill.store.get(self.id, block).map_err(failed)?)
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        // The store is emptied before its next use: a block that stays costs disk until then, and harms nothing.
        let _ = self.spill.store.delete(self.id, self.count.load(Relaxed));
    }
}

fn failed(error: super::StoreError) -> Error {
    Error::Spill(error.message)
}

/// Rows on disk, each with another key, in the order of their keys.
pub struct Run {
    blocks: Blocks,
    rows: usize,
    bytes: u64,
    first: Box<[u8]>,
    last: Box<[u8]>,
}

impl Run {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes as they were given to the store, before it compresses them.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Number of blocks.
    pub fn blocks(&self) -> u32 {
        self.blocks.count.load(Relaxed)
    }

    /// Reads a block.
    pub fn block(&self, block: u32) -> Result<RecordBatch, Error> {
        self.blocks.get(block)
    }

    /// The least of its keys.
    pub fn first(&self) -> &[u8] {
        &self.first
    }

    /// Whether all keys of the other run are greater.
    pub fn is_before(&self, other: &Self) -> bool {
        self.last < other.first
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Run {} of {} rows, {} bytes",
            self.blocks.id.number, self.rows, self.bytes
        )
    }
}

/// Writes a run.
pub struct RunWriter {
    run: Run,
    keys: usize,
    /// Rows that are no whole block yet.
    waiting: Vec<RecordBatch>,
    waiting_bytes: usize,
}

impl RunWriter {
    /// A run of rows whose first `keys` columns are their keys.
    pub fn new(spill: &Arc<Spill>, keys: usize, life: Life) -> Self {
        Self {
            run: Run {
                blocks: Blocks::new(spill, life),
                rows: 0,
                bytes: 0,
                first: Box::default(),
                last: Box::default(),
            },
            keys,
            waiting: Vec::new(),
            waiting_bytes: 0,
        }
    }

    /// Adds rows in their order, with keys that are greater than all before.
    pub fn push(&mut self, rows: &RecordBatch) -> Result<(), Error> {
        let count = rows.num_rows();
        if count == 0 {
            return Ok(());
        }
        if self.run.rows == 0 {
            self.run.first = Keys::of(&rows.slice(0, 1), self.keys)?.get(0).into();
        }
        self.run.last = Keys::of(&rows.slice(count - 1, 1), self.keys)?.get(0).into();
        self.run.rows += count;
        let block = self.run.blocks.spill.shares.block;
        let each = (block * count / data_bytes(rows).max(1)).clamp(1, count);
        for at in (0..count).step_by(each) {
            let rows = rows.slice(at, each.min(count - at));
            self.waiting_bytes += data_bytes(&rows);
            self.waiting.push(rows);
            if self.waiting_bytes >= block / 4 * 3 {
                self.write()?;
            }
        }
        Ok(())
    }

    /// The run, unless it has no rows.
    pub fn finish(mut self) -> Result<Option<Arc<Run>>, Error> {
        self.write()?;
        Ok((self.run.rows > 0).then(|| Arc::new(self.run)))
    }

    fn write(&mut self) -> Result<(), Error> {
        self.waiting_bytes = 0;
        if let Some(rows) = joined(&std::mem::take(&mut self.waiting))? {
            self.run.bytes += self.run.blocks.put(&rows)?;
        }
        Ok(())
    }
}

/// Batches as one; `None` if there are none.
pub(super) fn joined(batches: &[RecordBatch]) -> Result<Option<RecordBatch>, Error> {
    Ok(match batches {
        [] => None,
        [one] => Some(one.clone()),
        [first, ..] => Some(concat_batches(&first.schema(), batches)?),
    })
}

/// Rows on disk in the order in which they came. Grows at its end.
pub struct Log {
    blocks: Arc<Blocks>,
    /// Bytes as they were given to the store.
    pub bytes: u64,
}

impl Log {
    /// Without rows.
    pub fn new(spill: &Arc<Spill>) -> Self {
        Self {
            blocks: Arc::new(Blocks::new(spill, Life::Brief)),
            bytes: 0,
        }
    }

    /// Adds rows.
    pub fn push(&mut self, rows: &RecordBatch) -> Result<(), Error> {
        self.bytes += self.blocks.put(rows)?;
        Ok(())
    }

    /// The log as it is now; it may grow meanwhile.
    pub fn freeze(&self) -> FrozenLog {
        FrozenLog {
            count: self.blocks.count.load(Relaxed),
            blocks: self.blocks.clone(),
        }
    }
}

/// The first blocks of a log.
pub struct FrozenLog {
    blocks: Arc<Blocks>,
    count: u32,
}

impl FrozenLog {
    /// Its rows, block by block.
    pub fn batches(&self) -> impl Iterator<Item = Result<RecordBatch, Error>> {
        (0..self.count).map(|block| self.blocks.get(block))
    }
}
