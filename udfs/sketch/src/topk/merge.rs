//! Merging two dense tables of one shape, line by line.
//!
//! # Bounds
//!
//! The true weight splits, `f = f1 + f2`, and so do `a` and `r` of [`super::table`]. The rejects add cell by cell. With `F1`, `F2` the floors of
//! a line, the new debt is `G = G1 + G2 + max over lines of max(F1, F2)`, and a line is merged so:
//!
//! * *A class with a slot on both sides* counts the sum; *on one side*, its count there; what absence may hide is at most
//!   the other floor, which `G` covers. *On neither*: `F1 + F2 <= F + max(F1, F2)`, since every slot that stays has a count of at
//!   least `min(F1, F2)`. The largest counts stay; what is dropped is no larger than the new floor `F`.
//! * *A key kept on both sides*: `seen`, `guess`, `slack` add, and (B) with them.
//! * *A key kept on one side*: the other side bounds it by (A): its class's count there joins `guess`, or its floor joins `slack`; the guesses
//!   of other entries with its print there, the debt and the rejects there join `slack`. So (B) holds. The class slot that it
//!   took in is gone; others of that print stay covered, since `guess` is part of their (A).
//!
//! An item's estimate so gets nothing for being absent from one side: counts of randomised admission are unbiased, and adding floors over many
//! merges would favour the items that were absent most often.

use super::counter::{Counter, Entry};
use super::key::Key;
use super::shape::{MAX_KEPT, SLOTS};
use super::table::{Table, TooNarrow};

/// A kept item of the merged table, before its line is laid out.
#[derive(Debug, Clone, Copy)]
struct Placed<K, C: Counter> {
    line: u32,
    print: u16,
    clashed: bool,
    entry: Entry<K, C>,
}

/// A class on its way into a line: its count in the high bits, its print below, so that one comparison orders both.
type Class = u128;

fn class(count: u64, print: u16) -> Class {
    u128::from(count) << 16 | u128::from(print)
}

impl<K: Key, C: Counter> Table<K, C> {
    /// Adds a table of the same shape and seed, neither with rows waiting. On error nothing has changed: widen both.
    pub fn absorb(&mut self, other: &Self, total: u128) -> Result<(), TooNarrow> {
        let most = self
            .peak
            .max(self.tau)
            .saturating_add(other.peak.max(other.tau));
        let rejects = self.rejects.peak.saturating_add(other.rejects.peak);
        if !C::fits(most) || !C::fits(rejects) || total > C::WIDE_MAX.into() && C::MAX < u64::MAX {
            return Err(TooNarrow);
        }
        let mut tails = Vec::new();
        let mut placed = self.meet_entries(other, &mut tails)?;
        if !C::fits(placed.len() as u64) {
            return Err(TooNarrow);
        }
        let mut lost = 0;
        let mut at = 0;
        let mut entries = Vec::with_capacity(self.shape.room().max(placed.len()) + 1);
        self.clashed.fill(0);
        self.peak = 0;
        for line in 0..self.lines.len() {
            let end = at
                + placed[at..]
                    .iter()
                    .take_while(|p| p.line as usize == line)
                    .count();
            lost =
                lost.max(self.meet_line(other, line, &mut placed[at..end], &tails, &mut entries));
            at = end;
        }
        (self.entries, self.tails) = (entries, tails);
        self.rejects.absorb(&other.rejects);
        self.debt = self.debt.saturating_add(other.debt).saturating_add(lost);
        self.tau = self.tau.saturating_add(other.tau);
        self.rows = self.rows.wrapping_add(other.rows);
        self.set_gate();
        Ok(())
    }

    /// The kept items of both, in the order of lines.
    fn meet_entries(
        &self,
        other: &Self,
        tails: &mut Vec<u8>,
    ) -> Result<Vec<Placed<K, C>>, TooNarrow> {
        let mut placed = Vec::with_capacity(self.entries.len() + other.entries.len());
        for at in 0..self.lines.len() {
            for (mine, theirs, first) in [(self, other, true), (other, self, false)] {
                let line = &mine.lines[at];
                for slot in (0..SLOTS).filter(|slot| line.kept(*slot)) {
                    let number = line.counts[slot].get() as usize;
                    let (entry, print) = (mine.entries[number], line.prints[slot] & !1);
                    let beyond = &theirs.lines[at];
                    let mut clashed = mine.is_clashed(number);
                    let (mut twin, mut guesses) = (None, 0u64);
                    let mut bytes = None;
                    for theirs_slot in beyond.keepers(print) {
                        let n = beyond.counts[theirs_slot].get() as usize;
                        let candidate = theirs.entries[n];
                        let bytes = &*bytes.get_or_insert_with(|| entry.key.bytes(&mine.tails));
                        let incoming = K::incoming(self.seed, bytes);
                        if candidate
                            .key
                            .is(&theirs.tails, incoming.words, || incoming.bytes)
                        {
                            twin = Some(candidate);
                            clashed |= theirs.is_clashed(n);
                        } else {
                            guesses = guesses.saturating_add(candidate.guess.get());
                            clashed = true;
                        }
                    }
                    let (seen, guess, slack) = match twin {
                        Some(_) if !first => continue,
                        Some(twin) => (twin.seen(), twin.guess.get(), twin.slack.get()),
                        None => {
                            let hash = entry.key.hash(&mine.tails, self.seed);
                            let beside = guesses
                                .saturating_add(theirs.debt)
                                .saturating_add(theirs.rejects.get(hash));
                            match beyond.class(print) {
                                Some(slot) => (0, beyond.counts[slot].get(), beside),
                                None => (0, 0, beside.saturating_add(beyond.floor())),
                            }
                        }
                    };
                    let (guess, slack) = (
                        entry.guess.get().saturating_add(guess),
                        entry.slack.get().saturating_add(slack),
                    );
                    if !C::fits(guess) || !C::fits(slack) {
                        return Err(TooNarrow);
                    }
                    let key = entry.key.moved(&mine.tails, tails);
                    let entry = Entry::new(key, entry.seen().saturating_add(seen), guess, slack);
                    placed.push(Placed {
                        line: at as u32,
                        print,
                        clashed,
                        entry,
                    });
                }
            }
        }
        Ok(placed)
    }

    /// Lays out one line; its kept items get their final numbers. Returns `max(F1, F2)`.
    fn meet_line(
        &mut self,
        other: &Self,
        at: usize,
        placed: &mut [Placed<K, C>],
        tails: &[u8],
        entries: &mut Vec<Entry<K, C>>,
    ) -> u64 {
        let (mine, theirs) = (self.lines[at], &other.lines[at]);
        let (low, high) = (
            mine.floor().min(theirs.floor()),
            mine.floor().max(theirs.floor()),
        );
        let mut classes: [Class; 2 * SLOTS + SLOTS] = [0; 3 * SLOTS];
        let mut n = 0;
        // A class slot that went into the guess of a key kept on the other side only is gone.
        let taken = |print: u16,
                     by: &super::counter::Line<C>,
                     own: &super::counter::Line<C>,
                     keys: [&Self; 2]| {
            by.keepers(print).any(|slot| {
                let key = keys[0].entries[by.counts[slot].get() as usize].key;
                !own.keepers(print).any(|s| {
                    let twin = keys[1].entries[own.counts[s].get() as usize].key;
                    twin.bytes(&keys[1].tails) == key.bytes(&keys[0].tails)
                })
            })
        };
        for slot in 0..SLOTS {
            let print = mine.prints[slot];
            if print == 0 || print & 1 == 1 {
                continue;
            }
            let mut count = if taken(print, theirs, &mine, [other, self]) {
                0
            } else {
                mine.counts[slot].get()
            };
            if let Some(twin) = theirs.class(print) {
                if !taken(print, &mine, theirs, [self, other]) {
                    count = count.saturating_add(theirs.counts[twin].get());
                }
            }
            if count > 0 {
                classes[n] = class(count, print);
                n += 1;
            }
        }
        for slot in 0..SLOTS {
            let print = theirs.prints[slot];
            if print == 0
                || print & 1 == 1
                || mine.class(print).is_some()
                || taken(print, &mine, theirs, [self, other])
            {
                continue;
            }
            classes[n] = class(theirs.counts[slot].get(), print);
            n += 1;
        }
        // Too many keys for one line: the least go back to their classes.
        placed.sort_unstable_by(|a, b| {
            (b.entry.estimate(), a.print)
                .cmp(&(a.entry.estimate(), b.print))
                .then_with(|| a.entry.key.order(tails, b.entry.key, tails))
        });
        let kept = placed.len().min(MAX_KEPT);
        for loser in &placed[kept..] {
            let estimate = loser.entry.estimate();
            match classes[..n].iter_mut().find(|c| **c as u16 == loser.print) {
                Some(c) => *c = class(((*c >> 16) as u64).saturating_add(estimate), loser.print),
                None => {
                    let count = if loser.clashed {
                        estimate.saturating_add(low)
                    } else {
                        estimate.max(low)
                    };
                    classes[n] = class(count, loser.print);
                    n += 1;
                }
            }
        }
        classes[..n].sort_unstable_by(|a, b| b.cmp(a));
        let line = &mut self.lines[at];
        for slot in 0..SLOTS {
            if slot < kept {
                let item = &placed[slot];
                line.prints[slot] = item.print | 1;
                line.counts[slot] = C::new(entries.len() as u64);
                if entries.len() / 64 >= self.clashed.len() {
                    self.clashed.push(0);
                }
                self.clashed[entries.len() / 64] |= u64::from(item.clashed) << (entries.len() % 64);
                entries.push(item.entry);
            } else if slot - kept < n {
                let count = ((classes[slot - kept] >> 16) as u64).max(low);
                line.prints[slot] = classes[slot - kept] as u16;
                line.counts[slot] = C::new(count);
                self.peak = self.peak.max(count);
            } else {
                line.prints[slot] = 0;
                line.counts[slot] = C::new(low);
                self.peak = self.peak.max(low);
            }
        }
        high
    }
}
