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

use super::counter::{Counter, Entry};
use super::key::Key;
use super::probe::{find, slots};
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

/// The most classes that can come to one line: two lines, and the keys that it has no room for.
const MOST: usize = 3 * SLOTS;

/// Classes on their way into a line.
struct Classes<C: Counter> {
    /// Count and print; zero behind the last.
    all: [C::Packed; MOST],
    n: usize,
}

impl<C: Counter> Classes<C> {
    fn new() -> Self {
        Classes {
            all: [C::Packed::default(); MOST],
            n: 0,
        }
    }

    #[inline(always)]
    fn push(&mut self, count: u64, print: u16) {
        if let Some(place) = self.all.get_mut(self.n) {
            *place = C::pack(count, print);
            self.n += 1;
        }
    }

    /// The largest classes, as many as a line has slots, best first.
    ///
    /// A class goes to the place that is the number of better ones: all pairs are compared, without branches, many at a time.
    fn best(&self) -> [C::Packed; MOST] {
        fn ranked<const N: usize, P: Copy + Ord + Default>(all: &[P; MOST], n: usize) -> [P; MOST] {
            let mut ranks = [0u32; N];
            for x in &all[..n] {
                for (rank, y) in ranks.iter_mut().zip(all) {
                    *rank += u32::from(x > y);
                }
            }
            let mut best = [P::default(); MOST];
            for (x, rank) in all[..n].iter().zip(&ranks) {
                if let Some(place) = best.get_mut(*rank as usize) {
                    *place = *x;
                }
            }
            best
        }
        if self.n <= 2 * SLOTS {
            ranked::<{ 2 * SLOTS }, _>(&self.all, self.n)
        } else {
            ranked::<MOST, _>(&self.all, self.n)
        }
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
        if !C::fits(placed.len() as u64) || !Self::losers_fit(&placed, most) {
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

    /// Whether the keys of crowded lines, which go back to classes of up to `most`, can be counted there.
    fn losers_fit(placed: &[Placed<K, C>], most: u64) -> bool {
        placed
            .chunk_by(|a, b| a.line == b.line)
            .filter(|line| line.len() > MAX_KEPT)
            .all(|line| {
                C::fits(
                    line.iter()
                        .fold(most, |sum, item| sum.saturating_add(item.entry.estimate())),
                )
            })
    }

    /// The kept items of both, in the order of lines.
    fn meet_entries(&self, other: &Self, tails: &mut Vec<u8>) -> Result<Vec<Placed<K, C>>, TooNarrow> {
        let mut placed = Vec::with_capacity(self.entries.len() + other.entries.len());
        tails.reserve(self.tails.len().max(other.tails.len()));
        for at in 0..self.lines.len() {
            let (mine, theirs) = (self.lines[at].keys(), other.lines[at].keys());
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
        // The classes with prints of kept items: they may be part of a guess.
        let (mut taken, mut taken_there) = (0, 0);
        for item in placed.iter() {
            for slot in slots(find(&mine.prints, item.print) & !mine.keys()) {
                taken |= u32::from(self.is_taken(other, at, item.print)) << slot;
            }
            for slot in slots(find(&theirs.prints, item.print) & !theirs.keys()) {
                taken_there |= u32::from(other.is_taken(self, at, item.print)) << slot;
            }
        }
        let mut classes = Classes::<C>::new();
        let mut met = theirs.keys();
        for slot in slots(!mine.keys() & 0xFFFF) {
            let print = mine.prints[slot];
            if print == 0 {
                continue;
            }
            let found = find(&theirs.prints, print) & !theirs.keys();
            met |= found;
            let twin = theirs.counts[found.trailing_zeros() as usize % SLOTS].get();
            let own = mine.counts[slot].get() & 0u64.wrapping_sub(u64::from(taken >> slot & 1 == 0));
            let beyond = if found != 0 {
                twin & 0u64.wrapping_sub(u64::from(found & taken_there == 0))
            } else if own > 0 {
                f2 - low
            } else {
                0
            };
            let count = own.saturating_add(beyond);
            if count > 0 {
                classes.push(count, print);
            }
        }
        for slot in slots(!met & 0xFFFF) {
            let print = theirs.prints[slot];
            if print != 0 && taken_there >> slot & 1 == 0 {
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
                let class = classes.all[..classes.n]
                    .iter_mut()
                    .find(|x| C::unpack(**x).1 == loser.print);
                match class {
                    Some(class) => *class = C::pack(C::unpack(*class).0.saturating_add(estimate), loser.print),
                    None if loser.clashed => classes.push(estimate.saturating_add(high), loser.print),
                    None => classes.push(estimate.max(high), loser.print),
                }
            }
        }
        let keys = placed.len().min(MAX_KEPT);
        let (best, n) = (classes.best(), classes.n);
        let line = &mut self.lines[at];
        let mut peak = high;
        for slot in 0..SLOTS - keys {
            let (count, print) = if slot < n { C::unpack(best[slot]) } else { (high, 0) };
            let count = count.max(high);
            peak = peak.max(count);
            line.prints[keys + slot] = print;
            line.counts[keys + slot] = C::new(count);
        }
        for (slot, item) in placed[..keys].iter().enumerate() {
            line.prints[slot] = item.print | 1;
            line.counts[slot] = C::new((number + slot) as u64);
        }
        self.peak = self.peak.max(peak);
        low
    }
}
