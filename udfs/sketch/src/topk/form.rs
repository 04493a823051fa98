//! A dense table behind its width: the one place that knows that counters come in three.

use std::borrow::Cow;

use super::block::{Batch, Path, Taken};
use super::key::{Incoming, Key};
use super::scratch::Scratch;
use super::shape::Shape;
use super::sparse::Sparse;
use super::table::{BLOCK, Table, TooNarrow};
use crate::hash::Seed;

/// A dense table of some width.
#[derive(Debug, Clone)]
pub(crate) enum Dense<K> {
    W16(Table<K, u16>),
    W32(Table<K, u32>),
    W64(Table<K, u64>),
}

/// Does the same with the table of any width.
macro_rules! table {
    ($dense:expr, $table:ident => $body:expr) => {
        match $dense {
            Dense::W16($table) => $body,
            Dense::W32($table) => $body,
            Dense::W64($table) => $body,
        }
    };
}
pub(crate) use table;

impl<K: Key> Dense<K> {
    pub fn of_sparse(sparse: &Sparse<K>, shape: Shape, seed: Seed) -> Self {
        if shape.room() < usize::from(u16::MAX)
            && let Ok(table) = Table::of_sparse(sparse, shape, seed)
        {
            return Dense::W16(table);
        }
        match Table::of_sparse(sparse, shape, seed) {
            Ok(table) => Dense::W32(table),
            Err(TooNarrow) => {
                Dense::W64(Table::of_sparse(sparse, shape, seed).unwrap_or_else(|_| Table::empty(shape, seed)))
            }
        }
    }

    /// The next width. 64 bits take everything.
    pub fn widen(&mut self) {
        *self = match self {
            Dense::W16(table) => Dense::W32(table.resize()),
            Dense::W32(table) => Dense::W64(table.resize()),
            Dense::W64(_) => return,
        };
    }

    /// Widens until rows of that weight together fit, with `total` after them.
    fn make_room(&mut self, weight: u64, total: u128) {
        while !table!(self, table => table.takes(weight, total)) {
            self.widen();
        }
    }

    /// Replays what waits in the open block.
    pub fn flush(&mut self) {
        while table!(self, table => table.flush()).is_err() {
            self.widen();
        }
    }

    /// Adds one row; `total` includes it.
    pub fn row(&mut self, key: Incoming<'_, K>, weight: u64, total: u128) {
        self.make_room(weight, total);
        let full = table!(self, table => {
            table.row(key, weight);
            table.is_block_full()
        });
        if full {
            self.flush();
        }
    }

    /// Adds rows of a batch from the `from`th on, up to the end of the open block; `total` holds without them.
    pub fn segment<'a, B: Batch<'a, K>>(
        &mut self,
        scratch: &mut Scratch,
        batch: B,
        from: usize,
        total: u128,
        path: Path,
    ) -> Taken {
        let left = BLOCK - table!(self, table => table.rows as usize % BLOCK);
        let until = batch.len().min(from + left);
        let weight = batch.weight(from, until);
        self.make_room(weight, total.saturating_add(weight.into()));
        let (taken, full) = table!(self, table => {
            let taken = table.add_segment(scratch, batch, from, until, path);
            (taken, table.is_block_full())
        });
        if full {
            self.flush();
        }
        taken
    }

    /// The table with nothing waiting: itself, or a copy that was flushed.
    pub fn settled(&self) -> Cow<'_, Dense<K>> {
        if table!(self, table => table.pending.is_empty()) {
            Cow::Borrowed(self)
        } else {
            let mut copy = self.clone();
            copy.flush();
            Cow::Owned(copy)
        }
    }

    pub fn shape(&self) -> Shape {
        table!(self, table => table.shape)
    }

    pub fn size_bytes(&self) -> usize {
        table!(self, table => table.size_bytes())
    }

    /// The table in a coarser shape, nothing waiting.
    pub fn project(&self, shape: Shape) -> Self {
        let mut table = self.settled().into_owned();
        while table.shape() != shape {
            let projected = match &table {
                Dense::W16(t) => t.project(shape).map(Dense::W16),
                Dense::W32(t) => t.project(shape).map(Dense::W32),
                Dense::W64(t) => t.project(shape).map(Dense::W64),
            };
            match projected {
                Ok(projected) => table = projected,
                Err(TooNarrow) => table.widen(),
            }
        }
        table
    }

    /// Adds another table; `total` is that of both, `shape` the smaller of both shapes.
    pub fn absorb(&mut self, other: &Self, shape: Shape, total: u128) {
        self.flush();
        if self.shape() != shape {
            *self = self.project(shape);
        }
        let mut other = if other.shape() == shape {
            other.settled()
        } else {
            Cow::Owned(other.project(shape))
        };
        loop {
            let done = match (&mut *self, &*other) {
                (Dense::W16(a), Dense::W16(b)) => a.absorb(b, total).is_ok(),
                (Dense::W32(a), Dense::W32(b)) => a.absorb(b, total).is_ok(),
                (Dense::W64(a), Dense::W64(b)) => a.absorb(b, total).is_ok(),
                _ => false,
            };
            if done {
                break;
            }
            // The narrower of the two, or both if that was not it.
            let (mine, theirs) = (self.width(), other.width());
            if mine <= theirs {
                self.widen();
            }
            if theirs <= mine {
                other.to_mut().widen();
            }
        }
        self.flush();
    }

    fn width(&self) -> u8 {
        match self {
            Dense::W16(_) => 2,
            Dense::W32(_) => 4,
            Dense::W64(_) => 8,
        }
    }

    /// Notes that every item may weigh that much more than it seems.
    pub fn owe(&mut self, more: u64) {
        while !table!(self, table => table.owe(more)) {
            self.widen();
        }
    }

    /// Adds exact weights, in the order of their keys, that stand for `rows` rows.
    pub fn absorb_sparse(&mut self, sparse: &Sparse<K>, total: u128) {
        self.flush();
        let mut items: Vec<(Vec<u8>, u64)> = sparse
            .items
            .iter()
            .map(|(key, weight)| (key.bytes(&sparse.tails), *weight))
            .collect();
        items.sort_unstable();
        for (i, (bytes, weight)) in items.iter().enumerate() {
            while !table!(self, table => table.takes(*weight, total)) {
                self.widen();
            }
            while table!(self, table => {
                let row = table.rows.wrapping_add(i as u64);
                table.replay(K::incoming(table.seed, bytes), *weight, row)
            })
            .is_err()
            {
                self.widen();
            }
            self.flush();
        }
        table!(self, table => table.rows = table.rows.wrapping_add(sparse.rows));
    }
}
