//! The sparse form: every item with its exact weight, while they are few.
//!
//! Items stand in the order of their first rows; up to [`SCAN`] are searched by comparing them all, more through an index.
//! Those that were read from bytes stand in the order of their keys instead, and have no index: two such lists merge in one
//! pass and are written as they stand, which is what a state of many small sketches does all day. They get their index when
//! a row brings a new item. Nothing of either order is ever seen from outside.

use std::cmp::Ordering;

use super::key::{Incoming, Key};
use crate::hash::Seed;
use crate::index::Index;

/// Up to that many items are found by comparing with each.
pub(crate) const SCAN: usize = 12;

#[derive(Debug, Clone)]
pub(crate) struct Sparse<K> {
    pub items: Vec<(K, u64)>,
    pub tails: Vec<u8>,
    /// Of all items, if they are more than [`SCAN`] and not in order.
    index: Index,
    /// Rows seen.
    pub rows: u64,
    /// Whether items stand in the order of their keys.
    ordered: bool,
}

impl<K: Key> Sparse<K> {
    pub fn new() -> Self {
        Self::with_capacity(0)
    }

    /// Without items, with room for so many.
    pub fn with_capacity(items: usize) -> Self {
        Sparse {
            items: Vec::with_capacity(items),
            tails: Vec::new(),
            index: Index::default(),
            rows: 0,
            ordered: true,
        }
    }

    pub fn find(&self, key: Incoming<'_, K>) -> Option<usize> {
        if self.items.len() <= SCAN {
            self.items
                .iter()
                .position(|(k, _)| k.is(&self.tails, key.words, || key.bytes))
        } else if self.ordered {
            self.items
                .binary_search_by(|(k, _)| k.order_incoming(&self.tails, key.words, key.bytes))
                .ok()
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
        let first = if self.ordered { 0 } else { self.items.len() };
        self.ordered = false;
        self.push(key, weight);
        let (items, tails) = (&self.items, &self.tails);
        let hash_of = |i: u32| items[i as usize].0.hash(tails, seed);
        let n = items.len();
        if n > SCAN {
            let first = if n == SCAN + 1 { 0 } else { first };
            (first..n).for_each(|i| self.index.insert(i as u32, hash_of));
        }
    }

    /// Adds an item that is not there, behind all others; if they are to stay in order, it has the greatest key.
    pub fn push(&mut self, key: Incoming<'_, K>, weight: u64) {
        self.items
            .push((K::store(key.words, key.bytes, &mut self.tails), weight));
    }

    /// Calls `each` with every item in the order of the keys.
    pub fn in_order(&self, mut each: impl FnMut(K, u64)) {
        if self.ordered {
            self.items.iter().for_each(|(key, weight)| each(*key, *weight));
            return;
        }
        let (mut few, mut many) = ([0u32; SCAN], Vec::new());
        let order = match few.get_mut(..self.items.len()) {
            Some(few) => few,
            None => {
                many.resize(self.items.len(), 0);
                &mut many[..]
            }
        };
        (0..).zip(order.iter_mut()).for_each(|(i, place)| *place = i);
        order.sort_unstable_by(|a, b| {
            let (x, y) = (self.items[*a as usize].0, self.items[*b as usize].0);
            x.order_written(&self.tails, y, &self.tails)
        });
        for i in order {
            let (key, weight) = self.items[*i as usize];
            each(key, weight);
        }
    }

    /// The heaviest items, so many of them, in any order; ties as answers break them.
    pub fn heaviest(&self, count: usize) -> Vec<(K, u64)> {
        let mut items = self.items.clone();
        if count > 0 && count < items.len() {
            items.select_nth_unstable_by(count - 1, |(a, x), (b, y)| {
                y.cmp(x).then_with(|| a.order_shown(&self.tails, *b))
            });
            items.truncate(count);
        }
        items
    }

    /// Adds another's items.
    pub fn absorb(&mut self, other: &Self, seed: Seed) {
        let rows = self.rows.wrapping_add(other.rows);
        if self.ordered && other.ordered {
            self.join(other);
        } else {
            let mut bytes = Vec::new();
            for (key, weight) in &other.items {
                bytes.clear();
                key.append_to(&other.tails, &mut bytes);
                self.add(K::incoming(seed, &bytes), *weight, seed);
            }
        }
        self.rows = rows;
    }

    /// Adds another's items, both in order: weights where they stand, and new items from behind.
    fn join(&mut self, other: &Self) {
        let (mut new, mut tails, mut at) = (0, 0, 0);
        for (key, weight) in &other.items {
            let order = loop {
                let Some((mine, _)) = self.items.get(at) else {
                    break Ordering::Greater;
                };
                match mine.order_written(&self.tails, *key, &other.tails) {
                    Ordering::Less => at += 1,
                    order => break order,
                }
            };
            if order == Ordering::Equal {
                let mine = &mut self.items[at].1;
                *mine = mine.saturating_add(*weight);
                at += 1;
            } else {
                new += 1;
                tails += key.tail(&other.tails).len();
            }
        }
        if new == 0 {
            return;
        }
        self.tails.reserve_exact(tails);
        self.items.reserve_exact(new);
        let (mut mine, mut theirs) = (self.items.len(), other.items.len());
        let mut end = mine + new;
        self.items.resize(end, (K::default(), 0));
        // The gap is as wide as the new items that are left; in front of the first of them, all stands where it has to.
        while mine < end && theirs > 0 {
            let (key, weight) = other.items[theirs - 1];
            let order = match mine.checked_sub(1) {
                Some(last) => self.items[last].0.order_written(&self.tails, key, &other.tails),
                None => Ordering::Less,
            };
            end -= 1;
            match order {
                Ordering::Less => {
                    self.items[end] = (key.moved(&other.tails, &mut self.tails), weight);
                    theirs -= 1;
                }
                Ordering::Equal => {
                    self.items[end] = self.items[mine - 1];
                    (mine, theirs) = (mine - 1, theirs - 1);
                }
                Ordering::Greater => {
                    self.items[end] = self.items[mine - 1];
                    mine -= 1;
                }
            }
        }
    }

    /// Bytes that the content needs, whatever was allocated: a function of the items only.
    pub fn needs(&self) -> usize {
        self.items.len() * (size_of::<(K, u64)>() + 8) + self.tails.len()
    }

    pub fn size_bytes(&self) -> usize {
        self.items.capacity() * size_of::<(K, u64)>() + self.tails.capacity() + self.index.size_bytes()
    }
}

#[cfg(test)]
mod tests {
    use crate::{ItemKind, Measure, TopK};
    use proptest::prelude::*;

    /// Keys around the length that words hold, some of which share long beginnings.
    fn add(sketch: &mut TopK, (item, weight): (u8, u64)) {
        match sketch.kind() {
            ItemKind::Int64 => sketch.update_i64(i64::from(item) - 40, weight),
            _ => sketch.update(
                format!("{}{item}", "item-".repeat(usize::from(item % 4))).as_bytes(),
                weight,
            ),
        }
    }

    fn sketch(kind: ItemKind, rows: &[(u8, u64)]) -> TopK {
        let mut sketch = TopK::new(kind, Measure::Count, 64).unwrap();
        rows.iter().for_each(|row| add(&mut sketch, *row));
        sketch
    }

    fn rows(most: usize) -> impl Strategy<Value = Vec<(u8, u64)>> {
        prop::collection::vec((0u8..160, prop_oneof![1u64..4, Just(u64::MAX)]), 0..most)
    }

    fn kinds() -> impl Strategy<Value = ItemKind> {
        prop_oneof![Just(ItemKind::Text), Just(ItemKind::Int64)]
    }

    proptest! {
        #[test]
        fn what_was_read_merges_to_the_same_bytes_as_what_was_counted(
            kind in kinds(), parts in prop::collection::vec((rows(90), any::<bool>()), 1..8), more in rows(60),
        ) {
            let (mut counted, mut read) = (sketch(kind, &[]), sketch(kind, &[]));
            for (rows, again) in &parts {
                let part = sketch(kind, rows);
                counted.merge(&part).unwrap();
                read.merge(&TopK::from_bytes(&part.to_bytes()).unwrap()).unwrap();
                if *again {
                    read = TopK::from_bytes(&read.to_bytes()).unwrap();
                }
                prop_assert_eq!(counted.to_bytes(), read.to_bytes());
            }
            for row in more {
                add(&mut counted, row);
                add(&mut read, row);
                prop_assert_eq!(counted.estimate(b"item-1"), read.estimate(b"item-1"));
            }
            prop_assert_eq!(counted.to_bytes(), read.to_bytes());
        }

        #[test]
        fn the_leading_items_are_those_of_all_that_is_known(kind in kinds(), rows in rows(150), k in 1usize..64) {
            let sketch = sketch(kind, &rows);
            prop_assert_eq!(sketch.answer(k), sketch.knowledge().top(k));
        }
    }
}
