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

use super::block::Path;
use super::counter::{Counter, Entry, Line};
use super::key::Key;
use super::probe::{find, slots};
use super::shape::{MAX_KEPT, SLOTS};
use super::table::{Table, TooNarrow};

/// The most classes that can come to one line: two lines, and the keys that it has no room for.
const MOST: usize = 3 * SLOTS;

/// Classes on their way into a line.
struct Classes<C: Counter> {
    /// Count and print; zero behind the last.
    all: [C::Packed; MOST],
    n: usize,
}

impl<C: Counter> Classes<C> {
    #[inline(always)]
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

    /// The classes, best first.
    ///
    /// A class goes to the place that is the number of better ones: all pairs are compared, without branches, many at a time.
    #[inline(always)]
    fn best(&self) -> [C::Packed; MOST] {
        const MANY: usize = 8;
        let mut best = [C::Packed::default(); MOST];
        let all = &self.all[..self.n];
        for (from, some) in self.all.chunks_exact(MANY).enumerate().take(self.n.div_ceil(MANY)) {
            let mut ranks = [0u32; MANY];
            for x in all {
                for (rank, y) in ranks.iter_mut().zip(some) {
                    *rank += u32::from(x > y);
                }
            }
            for (rank, y) in ranks.iter().zip(some).take(self.n - from * MANY) {
                best[*rank as usize % MOST] = *y;
            }
        }
        best
    }
}

/// One of the two tables at a line.
struct Side<'a, K, C: Counter> {
    table: &'a Table<K, C>,
    line: &'a Line<C>,
    /// Its kept slots.
    keys: u32,
    floor: u64,
    /// The slots of its classes that went into the guess of a key that only the other side keeps.
    taken: u32,
}

impl<'a, K: Key, C: Counter> Side<'a, K, C> {
    #[inline(always)]
    fn new(table: &'a Table<K, C>, at: usize) -> Self {
        let line = &table.lines[at];
        Side {
            table,
            line,
            keys: line.keys(),
            floor: line.floor(),
            taken: 0,
        }
    }
}

/// The merged table as far as it is laid out.
struct Merged<K, C: Counter> {
    lines: Vec<Line<C>>,
    entries: Vec<Entry<K, C>>,
    clashed: Vec<u64>,
    tails: Vec<u8>,
    /// The prints of the entries of the line in work.
    prints: [u16; 2 * SLOTS],
    /// The largest of the smaller floors.
    lost: u64,
    peak: u64,
    gate: u64,
}

impl<K: Key, C: Counter> Table<K, C> {
    /// Adds a table of the same shape and seed, neither with rows waiting. On error nothing has changed: widen both.
    pub fn absorb(&mut self, other: &Self, total: u128) -> Result<(), TooNarrow> {
        let most = self.peak.max(self.tau).saturating_add(other.peak.max(other.tau));
        let rejects = self.rejects.peak.saturating_add(other.rejects.peak);
        if !C::fits(most) || !C::fits(rejects) || total > C::WIDE_MAX.into() && C::MAX < u64::MAX {
            return Err(TooNarrow);
        }
        let merged = match Path::best(2) {
            #[cfg(target_arch = "x86_64")]
            #[allow(unsafe_code)]
            // SAFETY: such a path is only ever what the machine was found to have.
            Path::Avx2 | Path::Avx512 => unsafe { Merged::avx2(self, other, most)? },
            Path::Portable => Merged::of(self, other, most)?,
        };
        (self.lines, self.entries, self.clashed) = (merged.lines, merged.entries, merged.clashed);
        self.entries.shrink_to(self.shape.room().max(self.entries.len()) + 1);
        self.tails = merged.tails;
        self.rejects.absorb(&other.rejects);
        self.debt = self.debt.saturating_add(other.debt).saturating_add(merged.lost);
        self.tau = self.tau.saturating_add(other.tau);
        self.rows = self.rows.wrapping_add(other.rows);
        (self.peak, self.gate, self.since) = (merged.peak, merged.gate, 0);
        Ok(())
    }
}

impl<K: Key, C: Counter> Merged<K, C> {
    /// Two tables, of which no class counts more than `most` in both together.
    #[inline(always)]
    fn of(mine: &Table<K, C>, theirs: &Table<K, C>, most: u64) -> Result<Self, TooNarrow> {
        let entries = mine.entries.len() + theirs.entries.len();
        let mut merged = Merged {
            lines: Vec::with_capacity(mine.lines.len()),
            entries: Vec::with_capacity(entries + 1),
            clashed: vec![0; mine.clashed.len().max(entries / 64 + 1)],
            tails: Vec::with_capacity(mine.tails.len().max(theirs.tails.len())),
            prints: [0; 2 * SLOTS],
            lost: 0,
            peak: 0,
            gate: u64::MAX,
        };
        for at in 0..mine.lines.len() {
            let mut sides = [Side::new(mine, at), Side::new(theirs, at)];
            let first = merged.entries.len();
            let [a, b] = &mut sides;
            for slot in slots(a.keys) {
                merged.meet_key(a, b, slot, true, first)?;
            }
            for slot in slots(b.keys) {
                merged.meet_key(b, a, slot, false, first)?;
            }
            merged.meet_classes(&sides, first, most)?;
        }
        Ok(merged)
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,bmi2,popcnt")]
    fn avx2(mine: &Table<K, C>, theirs: &Table<K, C>, most: u64) -> Result<Self, TooNarrow> {
        Self::of(mine, theirs, most)
    }

    /// One key that `a` keeps, with what `b` knows of it; the first side brings what both keep.
    #[inline(always)]
    fn meet_key(
        &mut self,
        a: &Side<'_, K, C>,
        b: &mut Side<'_, K, C>,
        slot: usize,
        is_first: bool,
        first: usize,
    ) -> Result<(), TooNarrow> {
        let number = a.line.counts[slot].get() as usize;
        let (entry, print) = (a.table.entries[number], a.line.prints[slot] & !1);
        let mut clashed = a.table.is_clashed(number);
        let (mut twin, mut guesses) = (None, 0u64);
        let found = find(&b.line.prints, print);
        for slot in slots(found & b.keys) {
            let n = b.line.counts[slot].get() as usize;
            let candidate = b.table.entries[n];
            if candidate.key.same(&b.table.tails, entry.key, &a.table.tails) {
                if !is_first {
                    return Ok(());
                }
                twin = Some(candidate);
                clashed |= b.table.is_clashed(n);
            } else {
                guesses = guesses.saturating_add(candidate.guess.get());
                clashed = true;
            }
        }
        let own = entry.guess.get();
        let smaller = a.floor.min(b.floor);
        let (seen, guess, slack) = match twin {
            Some(twin) => {
                let guess = twin.guess.get();
                clashed |= a.floor > own.saturating_add(smaller) && guess > smaller;
                clashed |= b.floor > guess.saturating_add(smaller) && own > smaller;
                (twin.seen(), guess, twin.slack.get())
            }
            None => {
                let hash = entry.key.hash(&a.table.tails, a.table.seed);
                let beside = guesses
                    .saturating_add(b.table.debt)
                    .saturating_add(b.table.rejects.get(hash));
                let class = found & !b.keys;
                if class != 0 {
                    b.taken |= class;
                    let count = b.line.counts[class.trailing_zeros() as usize % SLOTS].get();
                    clashed |= a.floor > own.saturating_add(smaller) && count > smaller;
                    (0, count, beside)
                } else {
                    clashed |= b.floor > smaller;
                    (0, 0, beside.saturating_add(b.floor))
                }
            }
        };
        let (guess, slack) = (own.saturating_add(guess), entry.slack.get().saturating_add(slack));
        let number = self.entries.len();
        if !C::fits(guess) || !C::fits(slack) || !C::fits(number as u64 + 1) {
            return Err(TooNarrow);
        }
        let key = entry.key.moved(&a.table.tails, &mut self.tails);
        self.entries
            .push(Entry::new(key, entry.seen().saturating_add(seen), guess, slack));
        self.clashed[number / 64] |= u64::from(clashed) << (number % 64);
        self.prints[(number - first) % (2 * SLOTS)] = print;
        Ok(())
    }

    /// Lays out one line, whose kept items are the entries from the `first` on.
    #[inline(always)]
    fn meet_classes(&mut self, sides: &[Side<'_, K, C>; 2], first: usize, most: u64) -> Result<(), TooNarrow> {
        let [a, b] = sides;
        let (low, high) = (a.floor.min(b.floor), a.floor.max(b.floor));
        let mut classes = Classes::<C>::new();
        let mut met = b.keys;
        for slot in slots(!a.keys & 0xFFFF) {
            let print = a.line.prints[slot];
            if print == 0 {
                continue;
            }
            let found = find(&b.line.prints, print) & !b.keys;
            met |= found;
            let twin = b.line.counts[found.trailing_zeros() as usize % SLOTS].get();
            let own = a.line.counts[slot].get() & 0u64.wrapping_sub(u64::from(a.taken >> slot & 1 == 0));
            let beyond = if found != 0 {
                twin & 0u64.wrapping_sub(u64::from(found & b.taken == 0))
            } else if own > 0 {
                b.floor - low
            } else {
                0
            };
            let count = own.saturating_add(beyond);
            if count > 0 {
                classes.push(count, print);
            }
        }
        for slot in slots(!(met | b.taken) & 0xFFFF) {
            let print = b.line.prints[slot];
            if print != 0 {
                classes.push(b.line.counts[slot].get().saturating_add(a.floor - low), print);
            }
        }
        if self.entries.len() - first > MAX_KEPT {
            self.crowd_out(&mut classes, first, high, most)?;
        }
        let keys = self.entries.len() - first;
        let (best, n) = (classes.best(), classes.n);
        let mut line: Line<C> = (Line::BLANK)();
        for slot in 0..keys.min(MAX_KEPT) {
            line.prints[slot] = self.prints[slot] | 1;
            line.counts[slot] = C::new((first + slot) as u64);
        }
        let mut least = high;
        for (slot, class) in (keys..SLOTS).zip(best) {
            let (count, print) = if slot - keys < n { C::unpack(class) } else { (high, 0) };
            let count = count.max(high);
            // They come in falling order.
            least = count;
            self.peak = self.peak.max(count);
            line.prints[slot] = print;
            line.counts[slot] = C::new(count);
        }
        self.lines.push(line);
        self.peak = self.peak.max(high);
        self.gate = self.gate.min(least);
        self.lost = self.lost.max(low);
        Ok(())
    }

    /// Too many keys for one line: the least go back to their classes.
    #[cold]
    #[inline(never)]
    fn crowd_out(&mut self, classes: &mut Classes<C>, first: usize, high: u64, most: u64) -> Result<(), TooNarrow> {
        let mut all: Vec<(Entry<K, C>, u16, bool)> = Vec::with_capacity(2 * SLOTS);
        for number in first..self.entries.len() {
            let bits = &mut self.clashed[number / 64];
            let clashed = *bits >> (number % 64) & 1 == 1;
            *bits &= !(1 << (number % 64));
            all.push((
                self.entries[number],
                self.prints[(number - first) % (2 * SLOTS)],
                clashed,
            ));
        }
        all.sort_unstable_by(|(a, x, _), (b, y, _)| {
            (b.estimate(), x)
                .cmp(&(a.estimate(), y))
                .then_with(|| a.key.order(&self.tails, b.key, &self.tails))
        });
        // What a class may reach; checked before anything is counted.
        let losers = &all[MAX_KEPT..];
        let sum = |sum: u64, (loser, ..): &(Entry<K, C>, u16, bool)| sum.saturating_add(loser.estimate());
        if !C::fits(losers.iter().fold(most, sum)) {
            return Err(TooNarrow);
        }
        for (loser, print, clashed) in losers {
            let estimate = loser.estimate();
            let class = classes.all[..classes.n].iter_mut().find(|x| C::unpack(**x).1 == *print);
            match class {
                Some(class) => *class = C::pack(C::unpack(*class).0.saturating_add(estimate), *print),
                None if *clashed => classes.push(estimate.saturating_add(high), *print),
                None => classes.push(estimate.max(high), *print),
            }
        }
        self.entries.truncate(first);
        for (i, (entry, print, clashed)) in all.into_iter().take(MAX_KEPT).enumerate() {
            let number = first + i;
            self.entries.push(entry);
            self.prints[i] = print;
            self.clashed[number / 64] |= u64::from(clashed) << (number % 64);
        }
        Ok(())
    }
}
