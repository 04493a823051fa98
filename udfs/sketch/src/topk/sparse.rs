//! The sparse form: every item with its exact weight, while they are few.
//!
//! Items stand in the order of their first rows; up to [`SCAN`] are searched by comparing them all, more through an index.
//! Nothing of that order is ever seen from outside.

use super::key::{Incoming, Key};
use crate::hash::Seed;
use crate::index::Index;

/// Up to that many items are found by comparing with each.
const SCAN: usize = 12;

#[derive(Debug, Clone)]
pub(crate) struct Sparse<K> {
    pub items: Vec<(K, u64)>,
    pub tails: Vec<u8>,
    index: Index,
    /// Rows seen.
    pub rows: u64,
}

impl<K: Key> Sparse<K> {
    pub fn new() -> Self {
        Sparse {
            items: Vec::new(),
            tails: Vec::new(),
            index: Index::default(),
            rows: 0,
        }
    }

    pub fn find(&self, key: Incoming<'_, K>) -> Option<usize> {
        if self.items.len() <= SCAN {
            self.items
                .iter()
                .position(|(k, _)| k.is(&self.tails, key.words, || key.bytes))
        } else {
            let is = |i: u32| self.items[i as usize].0.is(&self.tails, key.words, || key.bytes);
            self.index.find(key.hash, is).map(|i| i as usize)
        }
    }

    pub fn add(&mut self, key: Incoming<'_, K>, weight: u64, seed: Seed) {
        self.rows = self.rows.wrapping_add(1);
        if let Some(i) = self.find(key) {
            self.items[i].1 = self.items[i].1.saturating_add(weight);
            return;
        }
        if self.items.len() == self.items.capacity() {
            // By a half and not twofold: there may be very many small sketches.
            self.items.reserve_exact(self.items.len() / 2 + 2);
        }
        self.items
            .push((K::store(key.words, key.bytes, &mut self.tails), weight));
        let (items, tails) = (&self.items, &self.tails);
        let hash_of = |i: u32| items[i as usize].0.hash(tails, seed);
        match items.len() {
            n if n <= SCAN => {}
            n if n == SCAN + 1 => (0..n as u32).for_each(|i| self.index.insert(i, hash_of)),
            n => self.index.insert(n as u32 - 1, hash_of),
        }
    }

    /// Adds another's items.
    pub fn absorb(&mut self, other: &Self, seed: Seed) {
        let rows = self.rows.wrapping_add(other.rows);
        for (key, weight) in &other.items {
            let bytes = key.bytes(&other.tails);
            self.add(K::incoming(seed, &bytes), *weight, seed);
        }
        self.rows = rows;
    }

    /// Bytes that the content needs, whatever was allocated: a function of the items only.
    pub fn needs(&self) -> usize {
        self.items.len() * (size_of::<(K, u64)>() + 8) + self.tails.len()
    }

    pub fn size_bytes(&self) -> usize {
        self.items.capacity() * size_of::<(K, u64)>() + self.tails.capacity() + self.index.size_bytes()
    }
}
