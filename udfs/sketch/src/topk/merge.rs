//! Merging two dense tables of one shape, line by line.
//!
//! # Bounds
//!
//! The true weight splits, `f = f1 + f2`, and so do `a` and `r` of [`super::table`]. The rejects add cell by cell. With `F1`, `F2` the floors
//! of a line and `m = min(F1, F2)`, the new debt is `G = G1 + G2 + max over lines of m`, and a line is merged so:
//!
//! * *A class with a slot on both sides* counts the sum; *on one side*, its count there and the other floor less `m`, which `G` holds.
//!   *On neither*: `F1 + F2 = max(F1, F2) + m`, and every slot that stays has a count of at least `max(F1, F2)`. The largest counts
//!   stay; what is dropped is no larger than the new floor.
//! * *A key kept on both sides*: `seen`, `guess`, `slack` add, and (B) with them.
//! * *A key kept on one side*: the other side bounds it by (A): its class's count there joins `guess`, or its floor joins `slack`; the guesses
//!   of other entries with its print there, the debt and the rejects there join `slack`. So (B) holds. The class slot that it
//!   took in is gone; others of that print stay covered, since `guess` is part of their (A).
//!
//! An entry that was unclashed stays so where `max(guess, S) + G` still covers the others of its print and `seen + guess + G` its own item. On one
//! side the others are bounded by `max(guess_i, F_i)` where it is kept, by the class's count `s_i` or by `F_i` where it is not; of the sums of
//! two such terms only `F_i + guess_j` and `F_i + s_j` can be too large, and are not if `F_i <= guess_i + m`, or the other
//! term is at most `m`. Its own item is short of `F_j` where it is absent there and `F_j > m`.
//!
//! A kept item's estimate gets nothing for being absent from one side: counts of randomised admission are unbiased. The
//! debt takes the *smaller* floor, so that adding small panes to a large sum costs what the panes hide, not what the sum does; the larger one
//! would make it grow with the square of the number of merges (measured: 168 parts, debt 70 times as large).

use super::counter::{Counter, Entry, Line};
use super::key::Key;
use super::probe::find;
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

/// The slots of a mask.
fn slots(mut mask: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let slot = (mask != 0).then(|| mask.trailing_zeros() as usize % SLOTS);
        mask &= mask.wrapping_sub(1);
        slot
    })
}

/// The slots of a line that keep a key.
fn kept<C: Counter>(line: &Line<C>) -> u32 {
    line.prints
        .iter()
        .enumerate()
        .fold(0, |mask, (i, print)| mask | u32::from(print & 1) << i)
}

/// Classes on their way into a line: count and print.
struct Classes {
    all: [(u64, u16); 3 * SLOTS],
    n: usize,
}

impl Classes {
    fn push(&mut self, count: u64, print: u16) {
        if let Some(place) = self.all.get_mut(self.n) {
            *place = (count, print);
            self.n += 1;
        }
    }

    /// The largest `m` classes first, in any order; of equal counts the smaller print.
    fn best(&mut self, m: usize) -> &[(u64, u16)] {
        let all = &mut self.all[..self.n];
        if m == 0 {
            return &[];
        }
        if all.len() > m {
            // Packed into one word where they fit: one comparison orders both.
            if all.iter().all(|(count, _)| *count < 1 << 48) {
                let mut packed = [0u64; 3 * SLOTS];
                for (word, (count, print)) in packed.iter_mut().zip(all.iter()) {
                    *word = count << 16 | u64::from(!print);
                }
                let packed = &mut packed[..all.len()];
                packed.select_nth_unstable_by(m - 1, |a, b| b.cmp(a));
                for ((count, print), word) in all.iter_mut().zip(packed) {
                    (*count, *print) = (*word >> 16, !(*word as u16));
                }
            } else {
                all.select_nth_unstable_by(m - 1, |a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
            }
        }
        &all[..m.min(all.len())]
    }
}

impl<K: Key, C: Counter> Table<K, C> {
    /// Adds a table of the same shape and seed, neither with rows waiting. On error nothing has changed: widen both.
    pub fn absorb(&mut self, other: &Self, total: u128) -> Result<(), TooNarrow> {
        let most = self.peak.max(self.tau).saturating_add(other.peak.max(other.tau));
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
        let mut clashed = vec![0u64; self.clashed.len().max(placed.len() / 64 + 1)];
        self.peak = 0;
        for line in 0..self.lines.len() {
            let end = at + placed[at..].iter().take_while(|p| p.line as usize == line).count();
            let placed = &mut placed[at..end];
            at = end;
            lost = lost.max(self.meet_line(other, line, placed, &tails, entries.len()));
            for item in placed.iter().take(MAX_KEPT) {
                clashed[entries.len() / 64] |= u64::from(item.clashed) << (entries.len() % 64);
                entries.push(item.entry);
            }
        }
        (self.entries, self.tails, self.clashed) = (entries, tails, clashed);
        self.rejects.absorb(&other.rejects);
        self.debt = self.debt.saturating_add(other.debt).saturating_add(lost);
        self.tau = self.tau.saturating_add(other.tau);
        self.rows = self.rows.wrapping_add(other.rows);
        self.set_gate();
        Ok(())
    }

    /// The kept items of both, in the order of lines.
    fn meet_entries(&self, other: &Self, tails: &mut Vec<u8>) -> Result<Vec<Placed<K, C>>, TooNarrow> {
        let mut placed = Vec::with_capacity(self.entries.len() + other.entries.len());
        tails.reserve(self.tails.len().max(other.tails.len()));
        for at in 0..self.lines.len() {
            let (mine, theirs) = (kept(&self.lines[at]), kept(&other.lines[at]));
            if mine | theirs == 0 {
                continue;
            }
            let (f1, f2) = (self.lines[at].floor(), other.lines[at].floor());
            for slot in slots(mine) {
                self.meet_entry(other, at, slot, true, [f1, f2], tails, &mut placed)?;
            }
            for slot in slots(theirs) {
                other.meet_entry(self, at, slot, false, [f2, f1], tails, &mut placed)?;
            }
        }
        Ok(placed)
    }

    /// One kept item of ours, with what the other side knows of it; `first` says that this side brings what both keep, `floors` are ours
    /// and the other's.
    #[allow(clippy::too_many_arguments)]
    fn meet_entry(
        &self,
        other: &Self,
        at: usize,
        slot: usize,
        first: bool,
        floors: [u64; 2],
        tails: &mut Vec<u8>,
        placed: &mut Vec<Placed<K, C>>,
    ) -> Result<(), TooNarrow> {
        let (line, beyond) = (&self.lines[at], &other.lines[at]);
        let number = line.counts[slot].get() as usize;
        let (entry, print) = (self.entries[number], line.prints[slot] & !1);
        let mut clashed = self.is_clashed(number);
        let (mut twin, mut class, mut guesses) = (None, None, 0u64);
        for slot in slots(find(&beyond.prints, print)) {
            if !beyond.kept(slot) {
                class = Some(beyond.counts[slot].get());
                continue;
            }
            let n = beyond.counts[slot].get() as usize;
            let candidate = other.entries[n];
            if candidate.key.same(&other.tails, entry.key, &self.tails) {
                if !first {
                    return Ok(());
                }
                twin = Some(candidate);
                clashed |= other.is_clashed(n);
            } else {
                guesses = guesses.saturating_add(candidate.guess.get());
                clashed = true;
            }
        }
        let smaller = floors[0].min(floors[1]);
        let (seen, guess, slack) = match twin {
            Some(twin) => {
                let guess = [entry.guess.get(), twin.guess.get()];
                clashed |= floors[0] > guess[0].saturating_add(smaller) && guess[1] > smaller;
                clashed |= floors[1] > guess[1].saturating_add(smaller) && guess[0] > smaller;
                (twin.seen(), twin.guess.get(), twin.slack.get())
            }
            None => {
                clashed |= match class {
                    Some(count) => floors[0] > entry.guess.get().saturating_add(smaller) && count > smaller,
                    None => floors[1] > smaller,
                };
                let hash = entry.key.hash(&self.tails, self.seed);
                let beside = guesses
                    .saturating_add(other.debt)
                    .saturating_add(other.rejects.get(hash));
                match class {
                    Some(count) => (0, count, beside),
                    None => (0, 0, beside.saturating_add(floors[1])),
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
        let key = entry.key.moved(&self.tails, tails);
        let entry = Entry::new(key, entry.seen().saturating_add(seen), guess, slack);
        placed.push(Placed {
            line: at as u32,
            print,
            clashed,
            entry,
        });
        Ok(())
    }

    /// Whether a class slot on this side went into the guess of a key that only the other side keeps.
    #[cold]
    fn is_taken(&self, other: &Self, at: usize, print: u16) -> bool {
        let (line, beyond) = (&self.lines[at], &other.lines[at]);
        beyond.keepers(print).any(|slot| {
            let key = other.entries[beyond.counts[slot].get() as usize].key;
            !line.keepers(print).any(|s| {
                let own = self.entries[line.counts[s].get() as usize].key;
                own.same(&self.tails, key, &other.tails)
            })
        })
    }

    /// Lays out one line; its kept items, best first, get the numbers from `number` on. Returns `min(F1, F2)`.
    fn meet_line(&mut self, other: &Self, at: usize, placed: &mut [Placed<K, C>], tails: &[u8], number: usize) -> u64 {
        let (mine, theirs) = (&self.lines[at], &other.lines[at]);
        let (f1, f2) = (mine.floor(), theirs.floor());
        let (low, high) = (f1.min(f2), f1.max(f2));
        let mut classes = Classes {
            all: [(0, 0); 3 * SLOTS],
            n: 0,
        };
        let mut met = 0u32;
        for slot in slots(!kept(mine) & 0xFFFF) {
            let print = mine.prints[slot];
            if print == 0 {
                continue;
            }
            let contested = placed.iter().any(|item| item.print == print);
            let mut count = mine.counts[slot].get();
            if contested && self.is_taken(other, at, print) {
                count = 0;
            }
            let found = find(&theirs.prints, print) & !kept(theirs);
            met |= found;
            if found == 0 && count > 0 {
                count = count.saturating_add(f2 - low);
            } else if found != 0 && !(contested && other.is_taken(self, at, print)) {
                count = count.saturating_add(theirs.counts[found.trailing_zeros() as usize % SLOTS].get());
            }
            if count > 0 {
                classes.push(count, print);
            }
        }
        for slot in slots(!(kept(theirs) | met) & 0xFFFF) {
            let print = theirs.prints[slot];
            let contested = placed.iter().any(|item| item.print == print);
            if print != 0 && !(contested && other.is_taken(self, at, print)) {
                classes.push(theirs.counts[slot].get().saturating_add(f1 - low), print);
            }
        }
        if placed.len() > MAX_KEPT {
            // Too many keys for one line: the least go back to their classes.
            placed.sort_unstable_by(|a, b| {
                (b.entry.estimate(), a.print)
                    .cmp(&(a.entry.estimate(), b.print))
                    .then_with(|| a.entry.key.order(tails, b.entry.key, tails))
            });
            for loser in &placed[MAX_KEPT..] {
                let estimate = loser.entry.estimate();
                match classes.all[..classes.n]
                    .iter_mut()
                    .find(|(_, print)| *print == loser.print)
                {
                    Some((count, _)) => *count = count.saturating_add(estimate),
                    None if loser.clashed => classes.push(estimate.saturating_add(high), loser.print),
                    None => classes.push(estimate.max(high), loser.print),
                }
            }
        }
        let keys = placed.len().min(MAX_KEPT);
        let best = classes.best(SLOTS - keys);
        let line = &mut self.lines[at];
        let mut peak = high;
        for slot in 0..SLOTS {
            let (print, count) = if let Some(item) = placed[..keys].get(slot) {
                (item.print | 1, (number + slot) as u64)
            } else {
                let (count, print) = best.get(slot - keys).copied().unwrap_or((high, 0));
                let count = count.max(high);
                peak = peak.max(count);
                (print, count)
            };
            line.prints[slot] = print;
            line.counts[slot] = C::new(count);
        }
        self.peak = self.peak.max(peak);
        low
    }
}
