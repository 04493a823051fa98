//! Rows coming in: one at a time, or a column's rows in segments that end where blocks end.

use super::Head;
use super::block::{Scratch, has_fast_path};
use super::column::Column;
use super::form::Dense;
use super::key::{Incoming, Key};
use super::sparse::Sparse;
use super::table::{BLOCK, MAX_TAILS};
use crate::Rows;

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
        column: &impl Column<'a, K>,
        rows: Rows<'_>,
        weights: Option<&[i64]>,
    ) {
        match (rows, weights) {
            (Rows::All(range), None) => {
                let start = range.start;
                self.add_each(
                    head,
                    column,
                    range.len(),
                    true,
                    |i| start.wrapping_add(i),
                    |_| Some(1),
                );
            }
            (Rows::Indices(rows), None) => {
                self.add_each(
                    head,
                    column,
                    rows.len(),
                    true,
                    |i| rows[i] as usize,
                    |_| Some(1),
                );
            }
            (rows, Some(weights)) => {
                let weight = |row: usize| weights.get(row).and_then(|w| u64::try_from(*w).ok());
                self.add_each(head, column, rows.len(), false, |i| rows.at(i), weight);
            }
        }
    }

    #[inline(always)]
    fn add_each<'a>(
        &mut self,
        head: &mut Head,
        column: &impl Column<'a, K>,
        n: usize,
        unit: bool,
        row_of: impl Fn(usize) -> usize,
        weight_of: impl Fn(usize) -> Option<u64>,
    ) {
        let mut i = 0;
        while i < n && (n - i < FEW || matches!(self, Form::Sparse(_))) {
            let row = row_of(i);
            match (column.load(row, head.seed), weight_of(row)) {
                (Some((hash, words)), Some(weight)) => {
                    let bytes = if words.is_long() {
                        column.bytes(row)
                    } else {
                        &[]
                    };
                    self.add(head, Incoming { hash, words, bytes }, weight);
                }
                _ => head.skip(1),
            }
            i += 1;
        }
        let Form::Dense(dense) = self else { return };
        if i == n {
            return;
        }
        let mut scratch = Scratch::new();
        let fast = head.fast && has_fast_path();
        while i < n {
            let left = dense.left().min(BLOCK);
            let (mut filled, mut sum, mut skipped) = (0, 0u64, 0);
            while i < n && filled < left {
                let row = row_of(i);
                i += 1;
                match (column.load(row, head.seed), weight_of(row)) {
                    (Some((hash, words)), Some(weight)) => {
                        scratch.hashes[filled] = hash;
                        scratch.words[filled] = words;
                        scratch.rows[filled] = row;
                        if !unit {
                            scratch.weights[filled] = weight;
                        }
                        sum = sum.saturating_add(weight);
                        head.total = head.total.saturating_add(weight.into());
                        filled += usize::from(weight > 0);
                    }
                    _ => skipped += 1,
                }
            }
            head.skip(skipped);
            dense.segment(&mut scratch, filled, unit, sum, head.total, fast, &|row| {
                column.bytes(row)
            });
        }
    }
}
