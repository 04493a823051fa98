//! The fast path: up to a block of rows in passes without unpredictable branches.
//!
//! What [`Table::row`] does row by row, done kind by kind:
//!
//! 1. *hot*: a table of *hints* says which entry most likely keeps the row's key, and a comparison in full whether it does. That adds most
//!    rows of a skewed stream without a look at the lines, and leaves a list of the rest.
//!    Long keys are hashed and compared in a second loop: their code would cost the short ones registers.
//! 2. *find*: the rest look for their prints, and are sorted into hits and misses.
//! 3. Each kind is worked off in a loop of its own: hits of classes, then those of kept keys that had no hint, then misses.
//!
//! Since structure never changes inside a block, additions commute and every way gives the same result, which `tests/` checks byte by byte.
//! A hint is no part of the state: it may be stale, missing, or of another sketch, and then the row takes the way by its line.
//!
//! What lost, on Zipf 1.1: one loop with branches for all kinds (0.6 of the speed), every row by its line (0.7).

use super::counter::{Counter, Entry, Line, place};
use super::key::{Incoming, Key};
use super::probe::Isa;
use super::scratch::{Gate, IN, Scratch, Sorted};
use super::table::{BLOCK, Table};
use crate::hash::Seed;

/// Rows of a column and their weights.
pub(crate) trait Batch<'a, K>: Copy {
    /// Whether all weights are 1.
    const UNIT: bool;
    /// How many rows there are.
    fn len(&self) -> usize;
    /// The number in the column of the `i`th row.
    fn row(&self, i: usize) -> usize;
    /// The hash, the words and the weight of a row of the column that counts, if its key is short and read at once.
    fn quick(&self, row: usize, seed: Seed) -> Option<(u64, K, u64)>;
    /// The hash, the words and the weight of a row of the column, unless it does not count.
    fn load(&self, row: usize, seed: Seed) -> Option<(u64, K, u64)>;
    /// Up to a block's rows, if they are integers that all exist and weigh 1; collected in `room` unless they stand side by side.
    fn integers<'r>(&self, _from: usize, _until: usize, _room: &'r mut [i64; BLOCK]) -> Option<&'r [i64]>
    where
        'a: 'r,
    {
        None
    }
    /// All bytes of a long key.
    fn bytes(&self, row: usize) -> &'a [u8];
    /// The weight of some rows, or more.
    fn weight(&self, from: usize, until: usize) -> u64;

    /// A row with its key and its weight, unless it does not count.
    #[inline]
    fn incoming(&self, i: usize, seed: Seed) -> Option<(Incoming<'a, K>, u64)>
    where
        K: Key,
    {
        let row = self.row(i);
        if let Some((hash, words, weight)) = self.quick(row, seed) {
            return Some((
                Incoming {
                    hash,
                    words,
                    bytes: &[],
                },
                weight,
            ));
        }
        let (hash, words, weight) = self.load(row, seed)?;
        let bytes = if words.is_long() { self.bytes(row) } else { &[] };
        Some((Incoming { hash, words, bytes }, weight))
    }
}

/// What one segment took in.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Taken {
    /// Rows of the batch that are done.
    pub rows: usize,
    /// Those of them that did not count.
    pub skipped: u64,
    /// The weight of the others.
    pub weight: u128,
}

/// What became of the rows that were loaded late.
#[derive(Default)]
struct Late {
    /// How many rows are left in the scratch.
    left: usize,
    /// How many never counted, and how many of them are no rows.
    idle: usize,
    skipped: u64,
    weight: u128,
}

impl<K: Key, C: Counter> Table<K, C> {
    /// Adds rows from the `from`th on, up to `until` or the end of the block.
    ///
    /// # Safety
    ///
    /// The machine must have the instructions of `I`; there must be entries, and no more than [`BLOCK`] rows.
    #[inline(always)]
    #[allow(unsafe_code)]
    unsafe fn segment<'a, I: Isa, B: Batch<'a, K>>(
        &mut self,
        s: &mut Scratch,
        batch: B,
        from: usize,
        until: usize,
    ) -> Taken {
        // SAFETY: passed on to the caller.
        let wide = batch
            .integers(from, until, &mut [0; BLOCK])
            .and_then(|values| unsafe { I::hit_integers(&mut self.entries, s, values, self.seed) });
        let (mut rest, unseen, sum) = match wide {
            Some(rest) => (rest, 0, 0),
            // SAFETY: passed on to the caller.
            None => unsafe { Self::hit_hot(&mut self.entries, s, batch, (from, until), self.seed) },
        };
        let mut late = Late::default();
        if unseen > 0 {
            late = self.hit_unseen(s, batch, from, (rest, unseen));
            rest = late.left;
        }
        s.set_places(rest, late.idle);
        let gate = Gate {
            start: self.rows,
            quick: self.quick(),
            lines: self.rejects.lines.len(),
        };
        // SAFETY: passed on to the caller; a table has lines.
        let sorted = if B::UNIT {
            unsafe { I::sort(&self.lines, s, rest, gate) }
        } else {
            None
        };
        match sorted {
            Some(sorted) => self.add_sorted(s, batch, from, sorted),
            None => {
                // SAFETY: passed on to the caller; a table has lines.
                let (hits, missed) = unsafe { Self::find::<I>(&self.lines, s, rest) };
                let keyed = self.hit_classes(s, batch, from, hits);
                for q in 0..keyed {
                    self.hit_keyed(s, batch, from, usize::from(s.hits[q & IN]));
                }
                let waiting = self.reject::<B>(s, missed);
                for q in 0..waiting {
                    self.wait(s, batch, from, usize::from(s.missed[q & IN]), false);
                }
            }
        }
        let rows = until - from;
        let counted = rows - late.idle;
        self.rows = self.rows.wrapping_add(counted as u64);
        let weight = if B::UNIT { counted as u128 } else { sum + late.weight };
        Taken {
            rows,
            skipped: late.skipped,
            weight,
        }
    }

    /// Adds the rows whose hint is right; the others are left in the scratch, those that are not `quick` to load unseen. Returns how
    /// many rows are left, how many of them are unseen, and the weight of the others.
    ///
    /// # Safety
    ///
    /// There must be entries, and no more than [`BLOCK`] rows.
    #[inline(always)]
    #[allow(unsafe_code)]
    unsafe fn hit_hot<'a, B: Batch<'a, K>>(
        entries: &mut [Entry<K, C>],
        s: &mut Scratch,
        batch: B,
        (from, until): (usize, usize),
        seed: Seed,
    ) -> (usize, usize, u128) {
        let (mut rest, mut unseen, mut sum) = (0, 0, 0u128);
        s.trust(entries.len());
        for k in 0..until - from {
            let Some((hash, words, weight)) = batch.quick(batch.row(from + k), seed) else {
                s.unseen[unseen & IN] = rest as u8;
                s.rest[rest & IN] = k as u8;
                unseen += 1;
                rest += 1;
                continue;
            };
            let number = s.hinted(hash);
            // SAFETY: `trust` has seen to it that all hints are below the number of entries.
            let entry = unsafe { entries.get_unchecked_mut(number) };
            let same = u64::from(entry.key.is_short(words));
            // SAFETY: `rest` is at most `k`, which is less than `BLOCK` by the caller's promise.
            unsafe {
                *s.hashes.get_unchecked_mut(rest) = hash;
                *s.rest.get_unchecked_mut(rest) = k as u8;
                if !B::UNIT {
                    *s.weights.get_unchecked_mut(rest) = weight;
                }
            }
            if B::UNIT {
                entry.add(same);
            } else {
                entry.add(weight & 0u64.wrapping_sub(same));
                sum += u128::from(weight);
            }
            rest += 1 - same as usize;
        }
        (rest, unseen, sum)
    }

    /// Loads the `unseen` of the rest, in order, adds those whose hint is right, and closes their gaps.
    #[inline(never)]
    fn hit_unseen<'a, B: Batch<'a, K>>(
        &mut self,
        s: &mut Scratch,
        batch: B,
        from: usize,
        (rest, unseen): (usize, usize),
    ) -> Late {
        let mut late = Late::default();
        for u in 0..unseen.min(BLOCK) {
            let j = usize::from(s.unseen[u]);
            let k = s.rest[j];
            let loaded = batch.incoming(from + usize::from(k), self.seed);
            late.skipped += u64::from(loaded.is_none());
            let Some((key, weight)) = loaded.filter(|(_, weight)| *weight > 0) else {
                s.set_idle(late.idle, j);
                late.idle += 1;
                continue;
            };
            late.weight += u128::from(weight);
            (s.hashes[j], s.weights[j]) = (key.hash, weight);
            let number = s.hinted(key.hash);
            if let Some(entry) = self.entries.get_mut(number)
                && entry.key.is(&self.tails, key.words, || key.bytes)
            {
                entry.add(weight);
                s.done[j] = true;
            }
        }
        for j in 0..rest.min(BLOCK) {
            let to = late.left & IN;
            (s.rest[to], s.hashes[to], s.weights[to]) = (s.rest[j], s.hashes[j], s.weights[j]);
            late.left += usize::from(!std::mem::take(&mut s.done[j]));
        }
        late
    }

    /// Adds rows of weight 1 that are sorted already.
    #[inline(always)]
    fn add_sorted<'a, B: Batch<'a, K>>(&mut self, s: &mut Scratch, batch: B, from: usize, sorted: Sorted) {
        let (tau, mut peak, mut offers) = (self.tau, self.peak, 0);
        for j in s.classes.iter().take(sorted.classes) {
            let row = usize::from(*j);
            let count = &mut self.lines[s.at[row] as usize].counts[s.slots[row].trailing_zeros() as usize & 15];
            let sum = count.get().saturating_add(1);
            *count = C::new(sum);
            s.offers[offers & IN] = *j;
            offers += usize::from(sum > tau);
            peak = peak.max(sum);
        }
        self.peak = peak;
        for o in 0..offers {
            self.wait(s, batch, from, usize::from(s.offers[o & IN]), true);
        }
        for q in 0..sorted.keyed {
            self.hit_keyed(s, batch, from, usize::from(s.keyed[q & IN]));
        }
        let mut rejects = self.rejects.adder();
        for cells in s.cells.iter().take(sorted.rejected) {
            rejects.raise(*cells as u32 as usize, (*cells >> 32) as usize, 1);
        }
        drop(rejects);
        for q in 0..sorted.waiting {
            self.wait(s, batch, from, usize::from(s.waiting[q & IN]), false);
        }
    }

    /// Finds the slots of the rest. Returns how many rows have some and how many have none.
    ///
    /// # Safety
    ///
    /// The machine must have the instructions of `I`; there must be lines.
    #[inline(always)]
    #[allow(unsafe_code)]
    unsafe fn find<I: Isa>(lines: &[Line<C>], s: &mut Scratch, rest: usize) -> (usize, usize) {
        let (mut hits, mut missed) = (0, 0);
        for j in 0..rest.min(BLOCK) {
            let (at, print) = place(s.hashes[j], lines.len());
            // SAFETY: `place` gives a number below `lines.len()`: (x * len) >> 32 with x below 2^32.
            let line = unsafe { lines.get_unchecked(at) };
            // SAFETY: passed on to the caller.
            let mask = unsafe { I::find(&line.prints, print) };
            s.masks[j] = mask as u16;
            s.hits[hits & IN] = j as u8;
            hits += usize::from(mask != 0);
            s.missed[missed & IN] = j as u8;
            missed += usize::from(mask == 0);
        }
        (hits, missed)
    }

    /// Adds the hits of classes; returns how many of the hits, now first among them, may be of kept keys.
    #[inline(always)]
    fn hit_classes<'a, B: Batch<'a, K>>(&mut self, s: &mut Scratch, batch: B, from: usize, hits: usize) -> usize {
        let (mut keyed, mut offers, tau, mut peak) = (0, 0, self.tau, self.peak);
        for q in 0..hits.min(BLOCK) {
            let j = usize::from(s.hits[q]);
            let (at, _) = place(s.hashes[j], self.lines.len());
            let line = &mut self.lines[at];
            let mask = s.masks[j];
            let slot = mask.trailing_zeros() as usize & 15;
            let class = (mask & mask.wrapping_sub(1) == 0) & !line.kept(slot);
            // All ones for a class: with this, and not with branches, since nobody can foretell them.
            let chosen = 0u64.wrapping_sub(class.into());
            let weight = if B::UNIT { 1 } else { s.weights[j] };
            let sum = line.counts[slot].get().saturating_add(weight & chosen);
            line.counts[slot] = C::new(sum);
            s.hits[keyed & IN] = j as u8;
            keyed += usize::from(!class);
            s.offers[offers & IN] = j as u8;
            offers += usize::from(class & (sum > tau));
            peak = peak.max(sum & chosen);
        }
        self.peak = peak;
        for o in 0..offers {
            self.wait(s, batch, from, usize::from(s.offers[o & IN]), true);
        }
        keyed
    }

    /// Draws for the `missed` rows and rejects those that nothing admits; returns how many, now first among them, may be admitted.
    #[inline(always)]
    fn reject<'a, B: Batch<'a, K>>(&mut self, s: &mut Scratch, missed: usize) -> usize {
        let (start, quick, gate, mut waiting) = (self.rows, self.quick(), self.gate, 0);
        let mut rejects = self.rejects.adder();
        for q in 0..missed.min(BLOCK) {
            let j = usize::from(s.missed[q]);
            let hash = s.hashes[j];
            let draw = Self::draw(hash, start.wrapping_add(s.places[j].into()));
            let (weight, admitted) = if B::UNIT {
                (1, draw <= quick)
            } else {
                (s.weights[j], Self::admits(draw, s.weights[j], gate))
            };
            if admitted {
                s.missed[waiting & IN] = j as u8;
                waiting += 1;
            } else {
                rejects.add(hash, weight);
            }
        }
        waiting
    }

    /// A row that hit the slot of a kept key, or several slots. Leaves a hint for the next of its kind.
    #[inline]
    fn hit_keyed<'a, B: Batch<'a, K>>(&mut self, s: &mut Scratch, batch: B, from: usize, j: usize) {
        let Some((key, weight)) = batch.incoming(from + usize::from(s.rest[j]), self.seed) else {
            return;
        };
        let (at, print) = place(key.hash, self.lines.len());
        let line = &self.lines[at];
        for slot in line.keepers(print) {
            let number = line.counts[slot].get();
            let entry = &mut self.entries[number as usize];
            if entry.key.is(&self.tails, key.words, || key.bytes) {
                entry.add(weight);
                s.learn(key.hash, number as usize);
                return;
            }
        }
        self.wait(s, batch, from, j, false);
    }

    /// A row waits for the end of the block; `counted` if it only offers its key.
    #[cold]
    #[inline(never)]
    fn wait<'a, B: Batch<'a, K>>(&mut self, s: &Scratch, batch: B, from: usize, j: usize, counted: bool) {
        if let Some((key, weight)) = batch.incoming(from + usize::from(s.rest[j]), self.seed) {
            // `rows` still names the segment's first row.
            let at = self.rows.wrapping_add(s.places[j].into()) as u8;
            self.pend(at, if counted { 0 } else { weight }, key);
        }
    }

    /// Adds rows with the best instructions there are, as [`segment`](Self::segment) says.
    pub fn add_segment<'a, B: Batch<'a, K>>(
        &mut self,
        s: &mut Scratch,
        batch: B,
        from: usize,
        until: usize,
        path: Path,
    ) -> Taken {
        if self.entries.is_empty() {
            return self.one_by_one(batch, from, until);
        }
        #[allow(unsafe_code)]
        // SAFETY: there are entries, and a segment is within a block; a path is only ever what `Path::best` found the machine to have, and the portable one
        // needs no instructions beyond those the crate was compiled for.
        unsafe {
            match path {
                #[cfg(target_arch = "x86_64")]
                Path::Avx512 => self.segment_avx512(s, batch, from, until),
                #[cfg(target_arch = "x86_64")]
                Path::Avx2 => self.segment_avx2(s, batch, from, until),
                Path::Portable => self.segment::<super::probe::Portable, B>(s, batch, from, until),
            }
        }
    }

    fn one_by_one<'a, B: Batch<'a, K>>(&mut self, batch: B, from: usize, until: usize) -> Taken {
        let mut taken = Taken {
            rows: until - from,
            ..Taken::default()
        };
        for i in from..until {
            match batch.incoming(i, self.seed) {
                None => taken.skipped += 1,
                Some((_, 0)) => {}
                Some((key, weight)) => {
                    self.row(key, weight);
                    taken.weight += u128::from(weight);
                }
            }
        }
        taken
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,bmi2,popcnt")]
    #[allow(unsafe_code)]
    unsafe fn segment_avx2<'a, B: Batch<'a, K>>(
        &mut self,
        s: &mut Scratch,
        batch: B,
        from: usize,
        until: usize,
    ) -> Taken {
        // SAFETY: the features are enabled here, and the caller vouches for the machine.
        unsafe { self.segment::<super::probe::Avx2, B>(s, batch, from, until) }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,bmi2,popcnt,avx512f,avx512bw,avx512vl")]
    #[allow(unsafe_code)]
    unsafe fn segment_avx512<'a, B: Batch<'a, K>>(
        &mut self,
        s: &mut Scratch,
        batch: B,
        from: usize,
        until: usize,
    ) -> Taken {
        // SAFETY: the features are enabled here, and the caller vouches for the machine.
        unsafe { self.segment::<super::probe::Avx512, B>(s, batch, from, until) }
    }
}

/// Which instructions the passes use. The results are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Path {
    /// The best that this machine has, up to a level: 0 is the portable one. The standard library caches what it asks.
    pub fn best(level: u8) -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("bmi2")
                && is_x86_feature_detected!("popcnt");
            if level >= 2 && avx2 && is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vl") {
                return Path::Avx512;
            }
            if level >= 1 && avx2 {
                return Path::Avx2;
            }
        }
        let _ = level;
        Path::Portable
    }
}
