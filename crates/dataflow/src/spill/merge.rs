//! Merges partials by group without holding all groups at once: a pass over all of them in step, in the order of keys.
//!
//! From every piece some rows are in memory. Up to the least of the last keys among them, all rows of every group are there:
//! these groups are merged by a [`GroupTable`], as all groups at once would be, and handed over; then the pieces whose rows are
//! used up read on. Bound: [`CHUNK`] rows of every piece, and the blocks that they stand in.

use super::keys::{Keys, sorted};
use super::partial::{Partial, Piece};
use super::run::{Run, RunWriter};
use super::{Life, Spill};
use crate::Error;
use crate::groups::{GroupTable, Grouping};
use arrow::array::RecordBatch;
use std::sync::Arc;

/// Rows of a piece that are merged at a time, at most.
const CHUNK: usize = 4096;

/// Merges the states of each group in the order of `parts`, and hands groups over: all at once if all of them are in memory, or
/// some at a time in the order of keys. The tables are never empty.
pub fn merge(
    grouping: &Arc<Grouping>,
    parts: &[Partial],
    mut each: impl FnMut(&mut GroupTable) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut table = GroupTable::new(grouping.clone())?;
    if parts.iter().all(Partial::is_held) {
        for rows in parts.iter().flat_map(Partial::batches) {
            table.merge(&rows?)?;
        }
        return if table.is_empty() { Ok(()) } else { each(&mut table) };
    }
    let mut readers = Vec::new();
    for piece in parts.iter().flat_map(Partial::pieces) {
        readers.extend(Reader::open(piece, grouping.key_count())?);
    }
    while !readers.is_empty() {
        // Keys are unique within a piece, so a piece that goes on does so behind this key.
        let bound: Option<Box<[u8]>> = readers.iter().filter_map(Reader::bound).min().map(Box::from);
        for reader in &mut readers {
            if let Some(rows) = reader.take(bound.as_deref()) {
                table.merge(&rows)?;
            }
        }
        if !table.is_empty() {
            each(&mut table)?;
        }
        let mut still = Vec::with_capacity(readers.len());
        for reader in readers {
            still.extend(reader.read_on()?);
        }
        readers = still;
    }
    Ok(())
}

/// Merges as [`merge`] does into one partial, which is on disk if any of the parts is.
pub fn merged(spill: Option<&Arc<Spill>>, grouping: &Arc<Grouping>, parts: &[Partial]) -> Result<Partial, Error> {
    let stored = spill.filter(|_| !parts.iter().all(Partial::is_held));
    let mut all = Partial::default();
    match stored {
        None => merge(grouping, parts, |table| {
            all.append(table.take_partial()?.into());
            Ok(())
        })?,
        Some(spill) => {
            let keys = grouping.key_count();
            let mut writer = RunWriter::new(spill, keys, Life::Long);
            merge(grouping, parts, |table| {
                writer.push(&sorted(&table.take_partial()?, keys)?.0)
            })?;
            if let Some(run) = writer.finish()? {
                all.append(run.into());
            }
        }
    }
    Ok(all)
}

/// A piece being read: a batch of it with its keys, and what comes behind.
struct Reader<'p> {
    /// The runs that are left; the first is being read.
    runs: &'p [Arc<Run>],
    block: u32,
    key_count: usize,
    rows: RecordBatch,
    keys: Keys,
    at: usize,
}

impl<'p> Reader<'p> {
    /// `None` if the piece has no rows.
    fn open(piece: &'p Piece, key_count: usize) -> Result<Option<Self>, Error> {
        match piece {
            Piece::Held(rows) if rows.num_rows() == 0 => Ok(None),
            Piece::Held(rows) => {
                let (rows, keys) = sorted(rows, key_count)?;
                Ok(Some(Self {
                    runs: &[],
                    block: 0,
                    key_count,
                    rows,
                    keys,
                    at: 0,
                }))
            }
            Piece::Stored(runs) => {
                let Some(first) = runs.first() else { return Ok(None) };
                let rows = first.block(0)?;
                let keys = Keys::of(&rows, key_count)?;
                let reader = Self {
                    runs,
                    block: 1,
                    key_count,
                    rows,
                    keys,
                    at: 0,
                };
                Ok(Some(reader.past_the_end()))
            }
        }
    }

    /// The next run, if the first one is read.
    fn past_the_end(mut self) -> Self {
        if let Some((first, behind)) = self.runs.split_first()
            && self.block >= first.blocks()
        {
            (self.runs, self.block) = (behind, 0);
        }
        self
    }

    /// One behind the last row that may be taken now.
    fn end(&self) -> usize {
        self.keys.len().min(self.at + CHUNK)
    }

    /// The last key that may be taken now, if there are more behind it.
    fn bound(&self) -> Option<&[u8]> {
        let more = self.end() < self.keys.len() || !self.runs.is_empty();
        more.then(|| self.keys.get(self.end() - 1))
    }

    /// The rows up to a key; all if there is none.
    fn take(&mut self, bound: Option<&[u8]>) -> Option<RecordBatch> {
        let count = match bound {
            Some(bound) => self.keys.up_to(self.at, bound),
            None => self.keys.len() - self.at,
        };
        let rows = (count > 0).then(|| self.rows.slice(self.at, count));
        self.at += count;
        rows
    }

    /// Reads the next block when the rows are used up; `None` at the end.
    fn read_on(mut self) -> Result<Option<Self>, Error> {
        if self.at < self.keys.len() {
            return Ok(Some(self));
        }
        let Some(run) = self.runs.first() else { return Ok(None) };
        self.rows = run.block(self.block)?;
        self.keys = Keys::of(&self.rows, self.key_count)?;
        self.at = 0;
        self.block += 1;
        Ok(Some(self.past_the_end()))
    }
}
