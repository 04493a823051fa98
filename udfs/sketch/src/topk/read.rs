//! What a dense table knows about an item, and about all items together.

use super::counter::{Counter, place};
use super::key::{Incoming, Key};
use super::table::Table;
use crate::Estimate;

impl<K: Key, C: Counter> Table<K, C> {
    /// The bounds of any item, by (A) and (B) of [`super::table`]. Nothing may wait in the open block.
    pub fn estimate(&self, key: Incoming<'_, K>) -> Estimate {
        let (at, print) = place(key.hash, self.lines.len());
        let line = &self.lines[at];
        let mut beside = self.debt;
        for slot in line.keepers(print) {
            let entry = &self.entries[line.counts[slot].get() as usize];
            if entry.key.is(&self.tails, key.words, || key.bytes) {
                return Estimate {
                    estimate: entry.estimate(),
                    lower: entry.seen(),
                    upper: entry.upper(),
                };
            }
            beside = beside.saturating_add(entry.guess.get());
        }
        let rejected = self.rejects.get(key.hash);
        let (class, estimate) = match line.class(print) {
            Some(slot) => (line.counts[slot].get(), line.counts[slot].get()),
            None => (line.floor(), line.floor().min(rejected)),
        };
        Estimate {
            estimate,
            lower: 0,
            upper: class.saturating_add(beside).saturating_add(rejected),
        }
    }

    /// An upper bound on every item without a kept key.
    pub fn elsewhere(&self) -> u64 {
        let mut most = 0;
        for line in &self.lines {
            let floor = line.floor();
            for slot in 0..line.prints.len() {
                let count = line.counts[slot].get();
                let bound = if line.kept(slot) {
                    // Others of this print: what the slot had before, or, after a clash, all of it together.
                    let print = line.prints[slot] & !1;
                    let number = count as usize;
                    let class = line.class(print).map_or(floor, |slot| line.counts[slot].get());
                    let sum = line.keepers(print).fold(0u64, |sum, slot| {
                        sum.saturating_add(self.entries[line.counts[slot].get() as usize].guess.get())
                    });
                    if self.is_clashed(number) {
                        class.saturating_add(sum)
                    } else {
                        class.max(sum)
                    }
                } else {
                    count
                };
                most = most.max(bound);
            }
        }
        most.saturating_add(self.debt).saturating_add(self.rejects.most())
    }
}
