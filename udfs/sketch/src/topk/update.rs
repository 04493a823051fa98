//! Rows coming in: one at a time, or a column's rows in segments that end where blocks end.

use super::Head;
use super::block::{Batch, Path};
use super::column::Column;
use super::form::Dense;
use super::key::{Incoming, Key};
use super::scratch::Scratch;
use super::sparse::Sparse;
use super::table::{BLOCK, MAX_TAILS};
use crate::Rows;
use crate::hash::Seed;

/// The sketch's items: sparse while they are few.
#[derive(Debug, Clone)]
pub(crate) enum Form<K> {
    Sparse(Sparse<K>),
    Dense(Box<Dense<K>>),
}

/// Fewer rows than this are added one by one: the passes cost some hundred bytes of scratch a row.
const FEW: usize = 64;

impl<K: Key> Form<K> {
    pub fn add(&mut self, head: &mut Head, key: Incoming<'_, K>, weight: u64) {
        if weight == 0 {
            return;
        }
        head.total = head.total.saturating_add(weight.into());
        match self {
            Form::Dense(dense) => dense.row(key, weight, head.total),
            Form::Sparse(sparse) => {
                sparse.add(key, weight, head.seed);
                self.thicken(head);
            }
        }
    }

    /// Turns dense when the items have become too many, or too long, to hold them all.
    pub fn thicken(&mut self, head: &Head) {
        if let Form::Sparse(sparse) = self {
            let many = sparse.items.len() > head.shape.capacity as usize
                && (sparse.items.len() > head.shape.sparse_items()
                    || sparse.needs() > head.shape.bytes(size_of::<K>(), 2));
            if many || sparse.tails.len() > MAX_TAILS {
                *self = Form::Dense(Box::new(Dense::of_sparse(sparse, head.shape, head.seed)));
            }
        }
    }

    /// Adds rows of a column, in order.
    pub fn add_rows<'a>(
        &mut self,
        head: &mut Head,
        column: impl Column<'a, K>,
        rows: Rows<'_>,
        weights: Option<&[i64]>,
    ) {
        match (rows, weights) {
            (Rows::All(range), None) => self.add_batch(head, Range(column, range.start, range.len())),
            (Rows::Indices(rows), None) => self.add_batch(head, Picked(column, rows)),
            (Rows::All(range), Some(weights)) => {
                self.add_batch(head, Weighed(Range(column, range.start, range.len()), weights));
            }
            (Rows::Indices(rows), Some(weights)) => self.add_batch(head, Weighed(Picked(column, rows), weights)),
        }
    }

    fn add_batch<'a>(&mut self, head: &mut Head, batch: impl Batch<'a, K>) {
        let (mut i, n) = (0, batch.len());
        while i < n && (n - i < FEW || matches!(self, Form::Sparse(_))) {
            match batch.incoming(i, head.seed) {
                Some((key, weight)) => self.add(head, key, weight),
                None => head.skip(1),
            }
            i += 1;
        }
        if i == n {
            return;
        }
        if let Form::Dense(dense) = self {
            let path = Path::best(head.path);
            Scratch::with(|scratch| {
                while i < n {
                    let taken = dense.segment(scratch, batch, i, head.total, path);
                    i += taken.rows;
                    head.skip(taken.skipped);
                    head.total = head.total.saturating_add(taken.weight);
                }
            });
        }
    }
}

/// Rows of a column from one on.
#[derive(Clone, Copy)]
struct Range<Col>(Col, usize, usize);

impl<'a, K, Col: Column<'a, K>> Batch<'a, K> for Range<Col> {
    const UNIT: bool = true;
    fn len(&self) -> usize {
        self.2
    }
    #[inline(always)]
    fn row(&self, i: usize) -> usize {
        self.1.wrapping_add(i)
    }
    #[inline(always)]
    fn quick(&self, row: usize, seed: Seed) -> Option<(u64, K, u64)> {
        self.0.quick(row, seed).map(|(hash, words)| (hash, words, 1))
    }
    fn load(&self, row: usize, seed: Seed) -> Option<(u64, K, u64)> {
        self.0.load(row, seed).map(|(hash, words)| (hash, words, 1))
    }
    #[inline]
    fn bytes(&self, row: usize) -> &'a [u8] {
        self.0.bytes(row)
    }
    #[inline]
    fn integers<'r>(&self, from: usize, until: usize, _: &'r mut [i64; BLOCK]) -> Option<&'r [i64]>
    where
        'a: 'r,
    {
        self.0.integers()?.get(self.row(from)..self.row(until))
    }
    fn weight(&self, from: usize, until: usize) -> u64 {
        (until - from) as u64
    }
}

/// Some of a column's rows.
#[derive(Clone, Copy)]
struct Picked<'c, Col>(Col, &'c [u32]);

impl<'a, K, Col: Column<'a, K>> Batch<'a, K> for Picked<'_, Col> {
    const UNIT: bool = true;
    fn len(&self) -> usize {
        self.1.len()
    }
    #[inline(always)]
    fn row(&self, i: usize) -> usize {
        self.1.get(i).map_or(usize::MAX, |row| *row as usize)
    }
    #[inline(always)]
    fn quick(&self, row: usize, seed: Seed) -> Option<(u64, K, u64)> {
        self.0.quick(row, seed).map(|(hash, words)| (hash, words, 1))
    }
    fn load(&self, row: usize, seed: Seed) -> Option<(u64, K, u64)> {
        self.0.load(row, seed).map(|(hash, words)| (hash, words, 1))
    }
    #[inline]
    fn bytes(&self, row: usize) -> &'a [u8] {
        self.0.bytes(row)
    }
    #[inline]
    fn integers<'r>(&self, from: usize, until: usize, room: &'r mut [i64; BLOCK]) -> Option<&'r [i64]>
    where
        'a: 'r,
    {
        let values = self.0.integers()?;
        let rows = self.1.get(from..until)?;
        for (value, row) in room.iter_mut().zip(rows) {
            *value = *values.get(*row as usize)?;
        }
        room.get(..rows.len())
    }
    fn weight(&self, from: usize, until: usize) -> u64 {
        (until - from) as u64
    }
}

/// Rows with weights, of which the negative ones do not count.
#[derive(Clone, Copy)]
struct Weighed<'c, B>(B, &'c [i64]);

impl<'a, K, B: Batch<'a, K>> Batch<'a, K> for Weighed<'_, B> {
    const UNIT: bool = false;
    fn len(&self) -> usize {
        self.0.len()
    }
    #[inline(always)]
    fn row(&self, i: usize) -> usize {
        self.0.row(i)
    }
    #[inline(always)]
    fn quick(&self, row: usize, seed: Seed) -> Option<(u64, K, u64)> {
        let weight = u64::try_from(*self.1.get(row)?).ok().filter(|weight| *weight > 0)?;
        self.0.quick(row, seed).map(|(hash, words, _)| (hash, words, weight))
    }
    fn load(&self, row: usize, seed: Seed) -> Option<(u64, K, u64)> {
        let weight = u64::try_from(*self.1.get(row)?).ok()?;
        self.0.load(row, seed).map(|(hash, words, _)| (hash, words, weight))
    }
    #[inline]
    fn bytes(&self, row: usize) -> &'a [u8] {
        self.0.bytes(row)
    }
    fn weight(&self, from: usize, until: usize) -> u64 {
        let weight = |i| self.1.get(self.0.row(i)).map_or(0, |w| u64::try_from(*w).unwrap_or(0));
        (from..until).fold(0, |sum, i| sum.saturating_add(weight(i)))
    }
}
