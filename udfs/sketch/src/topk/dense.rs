//! From sparse to dense.

use super::counter::{Counter, Entry, place};
use super::key::Key;
use super::shape::{MAX_KEPT, Shape};
use super::sparse::Sparse;
use super::table::{MAX_TAILS, Table, TooNarrow};
use crate::hash::Seed;

impl<K: Key, C: Counter> Table<K, C> {
    /// A dense table of exact weights.
    ///
    /// The heaviest items keep their keys, with everything `seen`. The others go into their classes in falling order; once
    /// a line is full, what is left of it is no heavier than its floor, as (A) demands.
    pub fn of_sparse(sparse: &Sparse<K>, shape: Shape, seed: Seed) -> Result<Self, TooNarrow> {
        let mut table = Table::empty(shape, seed);
        table.rows = sparse.rows;
        let mut order: Vec<(u64, u32, u16, u32)> = Vec::with_capacity(sparse.items.len());
        for (i, (key, weight)) in sparse.items.iter().enumerate() {
            let (line, print) = place(key.hash(&sparse.tails, seed), table.lines.len());
            order.push((*weight, line as u32, print, i as u32));
        }
        order.sort_unstable_by(|a, b| {
            b.0.cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))).then_with(|| {
                let (x, y) = (sparse.items[a.3 as usize].0, sparse.items[b.3 as usize].0);
                x.order(&sparse.tails, y, &sparse.tails)
            })
        });
        for (weight, at, print, i) in order {
            let line = &mut table.lines[at as usize];
            let blank = line.class(0);
            let key = sparse.items[i as usize].0;
            let keep = table.entries.len() < shape.keep()
                && line.kept_slots() < MAX_KEPT
                && table.tails.len() + key.tail(&sparse.tails).len() <= MAX_TAILS;
            if weight > C::WIDE_MAX {
                return Err(TooNarrow);
            }
            if let (Some(blank), true) = (blank, keep) {
                line.prints[blank] = print | 1;
                line.counts[blank] = C::new(table.entries.len() as u64);
                let key = key.moved(&sparse.tails, &mut table.tails);
                table.reserve();
                table.mark(table.entries.len(), false);
                table.entries.push(Entry::new(key, weight, 0, 0));
                table.tau = weight;
            } else if let Some(slot) = line.class(print).or(blank) {
                let count = line.counts[slot].get().saturating_add(weight);
                if !C::fits(count) {
                    return Err(TooNarrow);
                }
                line.prints[slot] = print;
                line.counts[slot] = C::new(count);
                table.peak = table.peak.max(count);
            }
        }
        if table.entries.len() < shape.keep() {
            table.tau = 0;
        }
        table.set_gate();
        Ok(table)
    }
}
