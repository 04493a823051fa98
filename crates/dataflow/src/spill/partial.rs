//! States of groups, in memory or on disk: what a pane is once it is closed.

use super::keys::sorted;
use super::run::{Run, RunWriter};
use super::{Life, Spill};
use crate::Error;
use crate::groups::Grouping;
use arrow::array::RecordBatch;
use std::sync::Arc;

/// Rows with the states of groups. Pieces merge in their order. Cheap to clone: nothing in it ever changes.
#[derive(Clone, Debug, Default)]
pub struct Partial {
    pieces: Vec<Piece>,
}

/// A part of a partial; each of its rows is of another group.
#[derive(Clone, Debug)]
pub enum Piece {
    /// In memory, in any order.
    Held(RecordBatch),
    /// On disk, in the order of keys: runs one after the other.
    Stored(Vec<Arc<Run>>),
}

impl From<RecordBatch> for Partial {
    fn from(rows: RecordBatch) -> Self {
        Self {
            pieces: vec![Piece::Held(rows)],
        }
    }
}

impl From<Arc<Run>> for Partial {
    fn from(run: Arc<Run>) -> Self {
        Self {
            pieces: vec![Piece::Stored(vec![run])],
        }
    }
}

impl Partial {
    /// Its pieces, in the order in which they merge.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Its runs, if it is on disk and one piece.
    pub fn runs(&self) -> Option<&[Arc<Run>]> {
        match self.pieces.as_slice() {
            [Piece::Stored(runs)] => Some(runs),
            _ => None,
        }
    }

    /// Adds what merges behind it.
    pub fn append(&mut self, other: Self) {
        for piece in other.pieces {
            match (self.pieces.last_mut(), piece) {
                (Some(Piece::Stored(runs)), Piece::Stored(more)) if follows(runs, &more) => runs.extend(more),
                (_, piece) => self.pieces.push(piece),
            }
        }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        let rows = |piece: &Piece| match piece {
            Piece::Held(rows) => rows.num_rows(),
            Piece::Stored(runs) => runs.iter().map(|run| run.rows()).sum(),
        };
        self.pieces.iter().map(rows).sum()
    }

    /// Bytes of memory.
    pub fn held(&self) -> usize {
        let held = |piece: &Piece| match piece {
            Piece::Held(rows) => rows.get_array_memory_size(),
            Piece::Stored(runs) => runs.len() * size_of::<Run>(),
        };
        self.pieces.iter().map(held).sum()
    }

    /// Whether all of it is in memory.
    pub fn is_held(&self) -> bool {
        self.pieces.iter().all(|piece| matches!(piece, Piece::Held(_)))
    }

    /// Writes to disk what is in memory. The grouping is that of its rows.
    pub fn store(&mut self, spill: &Arc<Spill>, grouping: &Grouping, life: Life) -> Result<(), Error> {
        let mut stored = Self::default();
        for piece in std::mem::take(&mut self.pieces) {
            match piece {
                Piece::Held(rows) => {
                    let keys = grouping.key_count();
                    let (rows, _) = sorted(&rows, keys)?;
                    let mut writer = RunWriter::new(spill, keys, life);
                    writer.push(&rows)?;
                    if let Some(run) = writer.finish()? {
                        stored.append(run.into());
                    }
                }
                piece => stored.append(Self { pieces: vec![piece] }),
            }
        }
        *self = stored;
        Ok(())
    }

    /// Its rows, a batch at a time, in the order in which they merge.
    pub fn batches(&self) -> impl Iterator<Item = Result<RecordBatch, Error>> {
        self.pieces.iter().flat_map(|piece| match piece {
            Piece::Held(rows) => Batches::Held(Some(rows.clone())),
            Piece::Stored(runs) => Batches::Stored { runs, block: 0 },
        })
    }
}

/// Whether a chain of runs may go on with another.
fn follows(runs: &[Arc<Run>], more: &[Arc<Run>]) -> bool {
    match (runs.last(), more.first()) {
        (Some(last), Some(first)) => last.is_before(first),
        _ => true,
    }
}

enum Batches<'p> {
    Held(Option<RecordBatch>),
    Stored { runs: &'p [Arc<Run>], block: u32 },
}

impl Iterator for Batches<'_> {
    type Item = Result<RecordBatch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Held(rows) => rows.take().map(Ok),
            Self::Stored { runs, block } => {
                let (run, behind) = runs.split_first()?;
                let rows = run.block(*block);
                *block += 1;
                if *block >= run.blocks() {
                    (*runs, *block) = (behind, 0);
                }
                Some(rows)
            }
        }
    }
}
