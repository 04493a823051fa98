//! The fast path: up to a block of rows in passes without unpredictable branches.
//!
//! What [`Table::row`] does row by row, done kind by kind:
//!
//! 1. *hot*: a table of *hints* says which entry most likely keeps the row's key, and a comparison in full whether it does. That adds most
//!    rows of a skewed stream without a look at the lines, and leaves a list of the rest.
//! 2. *find*: the rest look for their prints, and are sorted into hits and misses.
//! 3. Each kind is worked off in a loop of its own: hits of classes, then those of kept keys that had no hint, then misses.
//!
//! Since structure never changes inside a block, additions commute and every way gives the same result, which `tests/` checks byte by byte.
//! A hint is no part of the state: it may be stale, missing, or of another sketch, and then the row takes the way by its line.
//!
//! What lost, on Zipf 1.1: one loop with branches for all kinds (0.6 of the speed), every row by its line (0.7).

use std::cell::RefCell;

use super::counter::{Counter, Entry, Line, place};
use super::key::{Incoming, Key};
use super::probe::Isa;
use super::table::{BLOCK, Table};
use crate::hash::Seed;

const IN: usize = BLOCK - 1;
/// Number of hints: some for each entry of a sketch of 64 KB, and a sixth of the first cache.
const HINTS: usize = 4096;

/// Room for the rows of a segment, and what was learned about hot items.
pub(crate) struct Scratch {
    /// By hash: the number of the entry that was hit there last.
    hints: [u16; HINTS],
    /// The rows that no hint led to an entry, by their number in the segment.
    rest: [u8; BLOCK],
    hashes: [u64; BLOCK],
    weights: [u64; BLOCK],
    /// How many rows that count are before each of them.
    places: [u8; BLOCK],
    /// The slots that have its print.
    masks: [u16; BLOCK],
    /// Those of them that have such slots, and those that have none.
    hits: [u8; BLOCK],
    missed: [u8; BLOCK],
    /// The rows of the segment that do not count.
    idle: [u8; BLOCK],
}

thread_local! {
    /// One for all sketches of a thread: hints stay warm from batch to batch, and no batch pays for cleaning.
    static SCRATCH: RefCell<Scratch> = const { RefCell::new(Scratch::new()) };
}

impl Scratch {
    const fn new() -> Self {
        Scratch {
            hints: [0; HINTS],
            rest: [0; BLOCK],
            hashes: [0; BLOCK],
            weights: [0; BLOCK],
            places: [0; BLOCK],
            masks: [0; BLOCK],
            hits: [0; BLOCK],
            missed: [0; BLOCK],
            idle: [0; BLOCK],
        }
    }

    /// Lends this thread's scratch.
    pub fn with<R>(then: impl FnOnce(&mut Scratch) -> R) -> R {
        SCRATCH.with(|scratch| match scratch.try_borrow_mut() {
            Ok(mut scratch) => then(&mut scratch),
            Err(_) => then(&mut Scratch::new()),
        })
    }

    /// Where the hint for a hash stands: by bits that name neither a line nor a print.
    #[inline(always)]
    fn hint(hash: u64) -> usize {
        (hash >> 16) as usize & (HINTS - 1)
    }

    /// The places of the `rest`, from their numbers and those of the `idle` rows.
    fn set_places(&mut self, rest: usize, idle: usize) {
        self.places = self.rest;
        if idle > 0 {
            let mut before = 0;
            for place in &mut self.places[..rest] {
                while before < idle && self.idle[before] < *place {
                    before += 1;
                }
                *place -= before as u8;
            }
        }
    }
}

/// Rows of a column and their weights.
pub(crate) trait Batch<'a, K>: Copy {
    /// Whether all weights are 1.
    const UNIT: bool;
    /// How many rows there are.
    fn len(&self) -> usize;
    /// The number in the column of the `i`th row.
    fn row(&self, i: usize) -> usize;
    /// The hash, the words and the weight of a row of the column, unless it does not count.
    fn load(&self, row: usize, seed: Seed) -> Option<(u64, K, u64)>;
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
        let (n, rest, taken) =
            unsafe { Self::hit_hot((&mut self.entries, &self.tails), s, batch, (from, until), self.seed) };
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
        self.rows = self.rows.wrapping_add(n as u64);
        taken
    }

    /// Adds the rows whose hint is right; the rest are left in the scratch. Returns how many rows count, how many are left, and
    /// what was taken.
    ///
    /// # Safety
    ///
    /// There must be entries, and no more than [`BLOCK`] rows.
    #[inline(always)]
    #[allow(unsafe_code)]
    unsafe fn hit_hot<'a, B: Batch<'a, K>>(
        (entries, tails): (&mut [Entry<K, C>], &[u8]),
        s: &mut Scratch,
        batch: B,
        (from, until): (usize, usize),
        seed: Seed,
    ) -> (usize, usize, Taken) {
        let (mut rest, mut idle, mut skipped, mut sum, last) = (0, 0, 0, 0u128, entries.len() - 1);
        for k in 0..until - from {
            let row = batch.row(from + k);
            let (hash, words, weight) = match batch.load(row, seed) {
                Some(loaded) if B::UNIT || loaded.2 > 0 => loaded,
                other => {
                    skipped += u64::from(other.is_none());
                    s.idle[idle & IN] = k as u8;
                    idle += 1;
                    continue;
                }
            };
            // Stale hints are cut to some entry.
            let number = usize::from(s.hints[Scratch::hint(hash)]).min(last);
            // SAFETY: `last` is the number of the last entry.
            let entry = unsafe { entries.get_unchecked_mut(number) };
            let same = u64::from(entry.key.is(tails, words, || batch.bytes(row)));
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
        s.set_places(rest, idle);
        let rows = until - from;
        let weight = if B::UNIT { (rows - idle) as u128 } else { sum };
        (rows - idle, rest, Taken { rows, skipped, weight })
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
        let (mut keyed, tau) = (0, self.tau);
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
            if sum & chosen > tau {
                self.peak = self.peak.max(sum);
                self.wait(s, batch, from, j, true);
            }
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
                // Of large sketches the first 65,536 entries have hints.
                s.hints[Scratch::hint(key.hash)] = number as u16;
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
