//! Which items keep their keys: giving up the least of them, and the bits that say which entries clashed.

use super::counter::{Counter, place};
use super::key::Key;
use super::probe::slots;
use super::shape::{MAX_KEPT, SLOTS};
use super::table::{Table, TooNarrow};

/// Where a kept item stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    pub estimate: u64,
    pub line: u32,
    pub number: u32,
    pub print: u16,
    pub slot: u8,
}

impl<K: Key, C: Counter> Table<K, C> {
    pub fn is_clashed(&self, number: usize) -> bool {
        self.clashed
            .get(number / 64)
            .is_some_and(|bits| bits >> (number % 64) & 1 == 1)
    }

    pub fn mark(&mut self, number: usize, clashed: bool) {
        if number / 64 >= self.clashed.len() {
            self.clashed
                .resize((number / 64 + 1).max(self.shape.room() / 64 + 1), 0);
        }
        let bits = &mut self.clashed[number / 64];
        *bits = *bits & !(1 << (number % 64)) | u64::from(clashed) << (number % 64);
    }

    /// Every kept item, line by line.
    pub fn kept(&self) -> Vec<Kept> {
        let mut all = Vec::with_capacity(self.entries.len());
        for (at, line) in self.lines.iter().enumerate() {
            for slot in slots(line.keys()) {
                let number = line.counts[slot].get() as u32;
                all.push(Kept {
                    estimate: self.entries[number as usize].estimate(),
                    line: at as u32,
                    number,
                    print: line.prints[slot] & !1,
                    slot: slot as u8,
                });
            }
        }
        all
    }

    /// Best first; ties by place, then by key, so that the order of entries means nothing.
    pub fn better(&self, a: &Kept, b: &Kept) -> std::cmp::Ordering {
        b.estimate
            .cmp(&a.estimate)
            .then(a.line.cmp(&b.line))
            .then(a.print.cmp(&b.print))
            .then_with(|| {
                let (x, y) = (self.entries[a.number as usize].key, self.entries[b.number as usize].key);
                x.order(&self.tails, y, &self.tails)
            })
    }

    /// Keeps the best `keep` items; the others go back to their classes, and `tau` becomes the last one's estimate.
    pub fn give_up(&mut self, keep: usize) -> Result<(), TooNarrow> {
        let mut all = self.kept();
        if all.len() <= keep || keep == 0 {
            return Ok(());
        }
        all.select_nth_unstable_by(keep - 1, |a, b| self.better(a, b));
        let tau = all[keep - 1].estimate;
        let losers = &mut all[keep..];
        losers.sort_unstable_by(|a, b| {
            (a.line, a.print)
                .cmp(&(b.line, b.print))
                .then_with(|| self.better(a, b))
        });
        // What the classes would reach; checked before anything moves.
        for class in losers.chunk_by(|a, b| (a.line, a.print) == (b.line, b.print)) {
            let line = &self.lines[class[0].line as usize];
            let slot = line
                .class(class[0].print)
                .map_or(line.floor(), |slot| line.counts[slot].get());
            let sum = class
                .iter()
                .fold(slot.saturating_mul(2), |sum, kept| sum.saturating_add(kept.estimate));
            if !C::fits(sum) {
                return Err(TooNarrow);
            }
        }
        for loser in losers.iter() {
            self.let_go(loser);
        }
        self.tau = tau;
        // Fill the holes below `keep` with the survivors above.
        let (survivors, losers) = all.split_at(keep);
        let holes = losers.iter().filter(|kept| (kept.number as usize) < keep);
        for (mover, hole) in survivors.iter().filter(|kept| kept.number as usize >= keep).zip(holes) {
            let (from, to) = (mover.number as usize, hole.number as usize);
            self.entries[to] = self.entries[from];
            self.mark(to, self.is_clashed(from));
            self.lines[mover.line as usize].counts[mover.slot as usize] = C::new(to as u64);
        }
        for number in keep..self.entries.len() {
            self.mark(number, false);
        }
        self.entries.truncate(keep);
        self.entries.shrink_to(self.shape.room() + 1);
        self.drop_tails();
        Ok(())
    }

    /// Whether one more item with that print and count may keep its key in a line. Where the line has no room, the least of its kept
    /// items goes back to its class if it is smaller: else lines could fill with what came first.
    pub fn make_place(&mut self, at: usize, print: u16, count: u64) -> Result<bool, TooNarrow> {
        let line = &self.lines[at];
        if line.kept_slots() < MAX_KEPT {
            return Ok(true);
        }
        let of = |slot: usize| Kept {
            estimate: self.entries[line.counts[slot].get() as usize].estimate(),
            line: at as u32,
            number: line.counts[slot].get() as u32,
            print: line.prints[slot] & !1,
            slot: slot as u8,
        };
        // A class that has a slot would take its count in; only those without one are moved.
        let worst = (0..SLOTS)
            .filter(|slot| line.kept(*slot))
            .map(of)
            .filter(|kept| kept.print != print && line.class(kept.print).is_none())
            .max_by(|a, b| self.better(a, b));
        let Some(worst) = worst.filter(|worst| worst.estimate < count) else {
            return Ok(false);
        };
        if !C::fits(worst.estimate.saturating_add(line.floor())) {
            return Err(TooNarrow);
        }
        self.let_go(&worst);
        // The last entry takes the number that is free now.
        let (number, last) = (worst.number as usize, self.entries.len() - 1);
        if number != last {
            let entry = self.entries[last];
            let (at, print) = place(entry.key.hash(&self.tails, self.seed), self.lines.len());
            let line = &mut self.lines[at];
            let slot = line.keepers(print).find(|slot| line.counts[*slot].get() == last as u64);
            if let Some(slot) = slot {
                line.counts[slot] = C::new(number as u64);
            }
            self.entries[number] = entry;
            self.mark(number, self.is_clashed(last));
        }
        self.mark(last, false);
        self.entries.truncate(last);
        Ok(true)
    }

    /// Returns a slot to its class (see the module header of [`super::table`]); its entry is still to be removed.
    fn let_go(&mut self, kept: &Kept) {
        let clashed = self.is_clashed(kept.number as usize);
        let line = &mut self.lines[kept.line as usize];
        let (slot, floor) = (kept.slot as usize, line.floor());
        let count = match line.class(kept.print) {
            Some(class) => {
                let count = line.counts[class].get().saturating_add(kept.estimate);
                line.counts[class] = C::new(count);
                line.prints[slot] = 0;
                line.counts[slot] = C::new(floor);
                count
            }
            None => {
                let count = if clashed {
                    kept.estimate.saturating_add(floor)
                } else {
                    kept.estimate.max(floor)
                };
                line.prints[slot] = kept.print;
                line.counts[slot] = C::new(count);
                count
            }
        };
        self.peak = self.peak.max(count);
    }

    /// Writes the tails anew without those that no entry needs.
    pub fn drop_tails(&mut self) {
        let live: usize = self.entries.iter().map(|entry| entry.key.tail(&self.tails).len()).sum();
        if live == self.tails.len() {
            return;
        }
        let mut tails = Vec::with_capacity(live);
        for entry in &mut self.entries {
            entry.key = entry.key.moved(&self.tails, &mut tails);
        }
        self.tails = tails;
    }
}
