//! A dense table in a coarser shape, so that any two tables meet.
//!
//! # Bounds
//!
//! (B) of [`super::table`] speaks about a key alone and goes where the key goes. For (A): an item's class keeps a slot with at least
//! its count, or is dropped below the new floor, which is also no smaller than the floor of any old line that went in: the slots that stay are the
//! largest, and none is left smaller than that. The guesses of entries with the item's print are still beside it, or, when their
//! keys went to a neighbouring line, were added to its class.

use super::counter::{Counter, Entry, place};
use super::entries::Kept;
use super::key::Key;
use super::shape::{MAX_KEPT, SLOTS, Shape};
use super::table::{Table, TooNarrow};

impl<K: Key, C: Counter> Table<K, C> {
    /// The same table in a coarser shape, nothing waiting.
    ///
    /// A new line takes in every old line that it shares hashes with. An item is in one of them only, so that of several counts of
    /// a print the largest is enough; where an old line belongs to two new ones, its classes go into both, and so does what a
    /// key that went to the one says about its print in the other. The rejects fold alike, by the larger cell.
    pub fn project(&self, shape: Shape) -> Result<Self, TooNarrow> {
        if self.entries.len() > shape.room() {
            let mut fewer = self.clone();
            fewer.give_up(shape.keep())?;
            return fewer.project(shape);
        }
        let mut new = Table::empty(shape, self.seed);
        (new.tau, new.rows, new.debt) = (self.tau, self.rows, self.debt);
        new.rejects = self.rejects.fold(shape.cells as usize);
        let mut kept = self.kept();
        let target = |kept: &Kept| {
            let key = self.entries[kept.number as usize].key;
            place(key.hash(&self.tails, self.seed), shape.lines as usize).0
        };
        kept.sort_unstable_by(|a, b| target(a).cmp(&target(b)).then_with(|| self.better(a, b)));
        let mut at = 0;
        for line in 0..new.lines.len() {
            let end = at + kept[at..].iter().take_while(|k| target(k) == line).count();
            self.project_line(&mut new, line, &kept[at..end])?;
            at = end;
        }
        new.set_gate();
        Ok(new)
    }

    /// Lays out one line of a coarser table; `kept` are its kept items, best first.
    fn project_line(&self, new: &mut Self, at: usize, kept: &[Kept]) -> Result<(), TooNarrow> {
        let old_lines = sources(at, new.lines.len(), self.lines.len());
        let mut classes: Vec<(u16, u64)> = Vec::with_capacity(2 * SLOTS);
        let mut floor = 0;
        for old in old_lines {
            let line = &self.lines[old];
            let own = line.floor();
            floor = floor.max(own);
            for slot in 0..SLOTS {
                let print = line.prints[slot] & !1;
                if !line.kept(slot) {
                    classes.push((print, line.counts[slot].get()));
                } else if !kept
                    .iter()
                    .any(|k| k.line as usize == old && usize::from(k.slot) == slot)
                {
                    // The key goes to the neighbour; here remains what it says about its print.
                    let guesses = line.keepers(print).fold(0u64, |sum, slot| {
                        sum.saturating_add(self.entries[line.counts[slot].get() as usize].guess.get())
                    });
                    let class = line.class(print).map_or(own, |slot| line.counts[slot].get());
                    classes.push((print, class.saturating_add(guesses)));
                }
            }
        }
        // Of several counts of a print the largest.
        classes.retain(|(print, _)| *print != 0);
        classes.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        classes.dedup_by_key(|(print, _)| *print);
        let (keep, losers) = kept.split_at(kept.len().min(MAX_KEPT));
        for loser in losers {
            match classes.iter_mut().find(|(print, _)| *print == loser.print) {
                Some((_, count)) => *count = count.saturating_add(loser.estimate),
                None => {
                    let clashed = self.is_clashed(loser.number as usize);
                    let count = if clashed {
                        loser.estimate.saturating_add(floor)
                    } else {
                        loser.estimate.max(floor)
                    };
                    classes.push((loser.print, count));
                }
            }
        }
        classes.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        for slot in 0..SLOTS {
            let (print, count) = if let Some(item) = keep.get(slot) {
                let number = new.entries.len();
                let entry = self.entries[item.number as usize];
                let shared = kept.iter().filter(|k| k.print == item.print).count() > 1;
                new.mark(number, shared || self.is_clashed(item.number as usize));
                new.reserve();
                new.entries.push(Entry {
                    key: entry.key.moved(&self.tails, &mut new.tails),
                    ..entry
                });
                (item.print | 1, number as u64)
            } else {
                let (print, count) = classes.get(slot - keep.len()).copied().unwrap_or((0, floor));
                new.peak = new.peak.max(count.max(floor));
                (print, count.max(floor))
            };
            if !C::fits(count) {
                return Err(TooNarrow);
            }
            new.lines[at].prints[slot] = print;
            new.lines[at].counts[slot] = C::new(count);
        }
        Ok(())
    }
}

/// The lines of `old` that share hashes with line `at` of `new`.
pub(crate) fn sources(at: usize, new: usize, old: usize) -> std::ops::RangeInclusive<usize> {
    let first = ((at as u64) << 32).div_ceil(new as u64);
    let last = ((at as u64 + 1) << 32).div_ceil(new as u64) - 1;
    ((first * old as u64) >> 32) as usize..=((last * old as u64) >> 32) as usize
}
