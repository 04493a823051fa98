//! A hash index: from an item's hash to the number of its entry in a list that somebody else keeps.
//!
//! Open addressing with linear probing over 32-bit numbers, at most 7/8 full; removal shifts the run back, so that there
//! are no tombstones. The index never looks at keys: the caller says what hash an entry has and whether it is the one.

const EMPTY: u32 = u32::MAX;

#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    slots: Vec<u32>,
    len: usize,
}

impl Index {
    #[inline]
    fn home(&self, hash: u64) -> usize {
        // The high bits, since buckets elsewhere use them too, are the best ones of a product.
        (hash >> (64 - self.slots.len().trailing_zeros())) as usize
    }

    /// The entry with this hash for which `is` holds.
    #[inline]
    pub fn find(&self, hash: u64, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        let mask = self.slots.len() - 1;
        let mut at = self.home(hash);
        loop {
            match self.slots[at] {
                EMPTY => return None,
                entry if is(entry) => return Some(entry),
                _ => at = (at + 1) & mask,
            }
        }
    }

    /// Adds an entry that is not there.
    pub fn insert(&mut self, entry: u32, hash_of: impl Fn(u32) -> u64) {
        if (self.len + 1) * 8 > self.slots.len() * 7 {
            let old = std::mem::take(&mut self.slots);
            self.slots = vec![EMPTY; (old.len() * 2).max(8)];
            for entry in old {
                if entry != EMPTY {
                    self.place(entry, hash_of(entry));
                }
            }
        }
        self.place(entry, hash_of(entry));
        self.len += 1;
    }

    fn place(&mut self, entry: u32, hash: u64) {
        let mask = self.slots.len() - 1;
        let mut at = self.home(hash);
        while self.slots[at] != EMPTY {
            at = (at + 1) & mask;
        }
        self.slots[at] = entry;
    }

    /// Takes an entry out.
    pub fn remove(&mut self, entry: u32, hash_of: impl Fn(u32) -> u64) {
        if self.slots.is_empty() {
            return;
        }
        let mask = self.slots.len() - 1;
        let mut at = self.home(hash_of(entry));
        while self.slots[at] != entry {
            if self.slots[at] == EMPTY {
                return;
            }
            at = (at + 1) & mask;
        }
        // Shift back every later entry of the run that may stand in the hole.
        let mut hole = at;
        loop {
            at = (at + 1) & mask;
            let next = self.slots[at];
            if next == EMPTY {
                break;
            }
            let home = self.home(hash_of(next));
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(hole) & mask) {
                self.slots[hole] = next;
                hole = at;
            }
        }
        self.slots[hole] = EMPTY;
        self.len -= 1;
    }

    pub fn size_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_inserted_and_not_removed() {
        // Hashes that crowd: every run wraps and shifts.
        let hash_of = |entry: u32| (u64::from(entry) % 7) << 61;
        let mut index = Index::default();
        for entry in 0..100 {
            index.insert(entry, hash_of);
        }
        for entry in (0..100).step_by(3) {
            index.remove(entry, hash_of);
        }
        for entry in 0..100u32 {
            let found = index.find(hash_of(entry), |e| e == entry);
            assert_eq!(found.is_some(), entry % 3 != 0, "{entry}");
        }
    }
}
