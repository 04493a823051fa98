//! The fast path: up to a block of rows in passes without unpredictable branches.
//!
//! What [`Table::row`] does row by row, done kind by kind: the first pass finds every row's slot and sorts rows into those that
//! may hit a kept key, those that hit a class, and the misses; then each kind is worked off in a loop of its own. Where nearly all rows hit kept
//! keys, sorting costs more than a branch that is always right, and the first pass does them at once. Since structure never
//! changes inside a block, additions commute and every way gives the same result, which `tests/` checks byte by byte.
//!
//! What lost, on Zipf 1.1: one loop with branches for all kinds (0.6 of the speed), one loop that adds 0 or 1 to everything (0.7).

use super::counter::{Counter, Entry, Line, place};
use super::key::{Incoming, Key};
use super::probe::Isa;
use super::table::{BLOCK, Table};
use crate::hash::Seed;

const IN: usize = BLOCK - 1;

/// Room for the rows of a segment.
pub(crate) struct Scratch<K> {
    hashes: [u64; BLOCK],
    words: [K; BLOCK],
    weights: [u64; BLOCK],
    /// Which row of the column each one is.
    rows: [u32; BLOCK],
    /// The slots that have its print.
    masks: [u16; BLOCK],
    /// Rows that hit a slot, but not that of a short kept key.
    others: [u8; BLOCK],
    /// Rows that hit nothing.
    missed: [u8; BLOCK],
    /// Those of the others that may hit a long kept key, or hit several slots.
    strange: [u8; BLOCK],
    rejected: [u64; BLOCK],
    /// Whether most rows of the last segment were of kept keys.
    skewed: bool,
}

impl<K: Key> Scratch<K> {
    pub fn new() -> Self {
        Scratch {
            hashes: [0; BLOCK],
            words: [K::default(); BLOCK],
            weights: [1; BLOCK],
            rows: [0; BLOCK],
            masks: [0; BLOCK],
            others: [0; BLOCK],
            missed: [0; BLOCK],
            strange: [0; BLOCK],
            rejected: [0; BLOCK],
            skewed: false,
        }
    }
}

/// Rows of a column and their weights.
pub(crate) trait Batch<'a, K> {
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

/// The first passes of a segment. Small functions over slices: what they hold must fit the registers.
struct Passes<I>(std::marker::PhantomData<I>);

#[allow(unsafe_code)]
impl<I: Isa> Passes<I> {
    /// Loads rows into the scratch; returns how many count, and what was taken.
    #[inline(always)]
    fn load<'a, K: Key, B: Batch<'a, K>>(
        s: &mut Scratch<K>,
        batch: &B,
        (from, until): (usize, usize),
        seed: Seed,
    ) -> (usize, Taken) {
        let (mut n, mut skipped, mut sum) = (0, 0, 0u128);
        for i in from..until {
            let row = batch.row(i);
            let Some((hash, words, weight)) = batch.load(row, seed) else {
                skipped += 1;
                continue;
            };
            s.hashes[n & IN] = hash;
            s.words[n & IN] = words;
            s.rows[n & IN] = row as u32;
            if B::UNIT {
                n += 1;
            } else {
                s.weights[n & IN] = weight;
                sum += u128::from(weight);
                n += usize::from(weight > 0);
            }
        }
        let weight = if B::UNIT { n as u128 } else { sum };
        (
            n,
            Taken {
                rows: until - from,
                skipped,
                weight,
            },
        )
    }

    /// Adds the first `n` rows of the scratch to the entries that keep their keys; returns how many `others` and how many `missed`
    /// rows there are.
    ///
    /// # Safety
    ///
    /// The machine must have the instructions of `I`; there must be lines and entries.
    #[inline(always)]
    unsafe fn hit<K: Key, C: Counter, const UNIT: bool>(
        s: &mut Scratch<K>,
        n: usize,
        lines: &[Line<C>],
        entries: &mut [Entry<K, C>],
    ) -> (usize, usize) {
        let (mut others, mut missed, last) = (0, 0, entries.len() - 1);
        for j in 0..n.min(BLOCK) {
            let (at, print) = place(s.hashes[j], lines.len());
            // SAFETY: `place` gives a number below `lines.len()`: (x * len) >> 32 with x below 2^32.
            let line = unsafe { lines.get_unchecked(at) };
            // SAFETY: passed on to the caller.
            let mask = unsafe { I::find(&line.prints, print) };
            let slot = mask.trailing_zeros() as usize & 15;
            let kept = (mask != 0) & line.kept(slot);
            // The number of the entry, or nonsense, which is cut to some entry.
            let number = (line.counts[slot].get() as usize).min(last);
            // SAFETY: cut to the last entry above.
            let entry = unsafe { entries.get_unchecked_mut(number) };
            let same = kept & entry.key.is_short(s.words[j]);
            let weight = if UNIT {
                u64::from(same)
            } else {
                s.weights[j] & 0u64.wrapping_sub(same.into())
            };
            entry.seen = C::new_wide(entry.seen().saturating_add(weight));
            s.masks[j] = mask as u16;
            s.missed[missed & IN] = j as u8;
            missed += usize::from(mask == 0);
            s.others[others & IN] = j as u8;
            others += usize::from((mask != 0) & !same);
        }
        (others, missed)
    }

    /// The same, loading rows on the way, for streams in which nearly all rows are of kept keys: the branch is nearly always right.
    /// Returns how many rows count, how many `others` and `missed` there are, and what was taken.
    ///
    /// # Safety
    ///
    /// As for [`hit`](Self::hit), and the kept slots must name entries.
    #[inline(always)]
    unsafe fn hit_most<'a, K: Key, C: Counter, B: Batch<'a, K>>(
        s: &mut Scratch<K>,
        batch: &B,
        (from, until): (usize, usize),
        seed: Seed,
        lines: &[Line<C>],
        entries: &mut [Entry<K, C>],
    ) -> (usize, (usize, usize), Taken) {
        let (mut n, mut others, mut missed, mut skipped, mut sum) = (0, 0, 0, 0, 0u128);
        for i in from..until {
            let row = batch.row(i);
            let Some((hash, words, weight)) = batch.load(row, seed) else {
                skipped += 1;
                continue;
            };
            if !B::UNIT {
                sum += u128::from(weight);
            }
            let (at, print) = place(hash, lines.len());
            // SAFETY: as in `hit`.
            let line = unsafe { lines.get_unchecked(at) };
            // SAFETY: passed on to the caller.
            let mask = unsafe { I::find(&line.prints, print) };
            let slot = mask.trailing_zeros() as usize & 15;
            if mask != 0 && line.kept(slot) {
                // SAFETY: the count of a kept slot is the number of an entry, by the caller's promise.
                let entry = unsafe { entries.get_unchecked_mut(line.counts[slot].get() as usize) };
                if entry.key.is_short(words) {
                    entry.seen = C::new_wide(entry.seen().saturating_add(weight));
                    n += usize::from(B::UNIT || weight > 0);
                    continue;
                }
            }
            s.hashes[n & IN] = hash;
            s.words[n & IN] = words;
            s.rows[n & IN] = row as u32;
            s.weights[n & IN] = weight;
            s.masks[n & IN] = mask as u16;
            s.missed[missed & IN] = n as u8;
            s.others[others & IN] = n as u8;
            let counts = usize::from(B::UNIT || weight > 0);
            missed += counts & usize::from(mask == 0);
            others += counts & usize::from(mask != 0);
            n += counts;
        }
        let weight = if B::UNIT { n as u128 } else { sum };
        (
            n,
            (others, missed),
            Taken {
                rows: until - from,
                skipped,
                weight,
            },
        )
    }
}

impl<K: Key, C: Counter> Table<K, C> {
    /// Adds rows from the `from`th on, up to `until` or the end of the block.
    ///
    /// # Safety
    ///
    /// The machine must have the instructions of `I`; there must be entries.
    #[inline(always)]
    #[allow(unsafe_code)]
    unsafe fn segment<'a, I: Isa, B: Batch<'a, K>>(
        &mut self,
        s: &mut Scratch<K>,
        batch: &B,
        from: usize,
        until: usize,
    ) -> Taken {
        let (n, (others, missed), taken) = if s.skewed {
            // SAFETY: passed on to the caller; a table has lines, and its kept slots hold numbers of its entries.
            unsafe { Passes::<I>::hit_most(s, batch, (from, until), self.seed, &self.lines, &mut self.entries) }
        } else {
            let (n, taken) = Passes::<I>::load(s, batch, (from, until), self.seed);
            // SAFETY: passed on to the caller; a table has lines.
            let others = unsafe {
                if B::UNIT {
                    Passes::<I>::hit::<K, C, true>(s, n, &self.lines, &mut self.entries)
                } else {
                    Passes::<I>::hit::<K, C, false>(s, n, &self.lines, &mut self.entries)
                }
            };
            (n, others, taken)
        };
        s.skewed = (others + missed) * 8 < n;
        let (strange, offers) = self.hit_classes::<B>(s, others);
        for q in 0..strange {
            let j = usize::from(s.strange[q & IN]);
            self.stranger(s, batch, j);
        }
        for q in 0..offers {
            let j = usize::from(s.others[q & IN]);
            self.wait(s, batch, j, 0);
        }
        let waiting = self.reject::<B>(s, missed);
        for q in 0..waiting {
            let j = usize::from(s.missed[q & IN]);
            self.wait(s, batch, j, if B::UNIT { 1 } else { s.weights[j] });
        }
        self.rows = self.rows.wrapping_add(n as u64);
        taken
    }

    /// Adds the `others` to their classes. Returns how many are `strange`, and how many, now first in `others`, offer
    /// their keys.
    #[inline(always)]
    fn hit_classes<'a, B: Batch<'a, K>>(&mut self, s: &mut Scratch<K>, others: usize) -> (usize, usize) {
        let (tau, mut peak) = (self.tau, self.peak);
        let lines = &mut self.lines[..];
        let (mut strange, mut offers) = (0, 0);
        for q in 0..others {
            let j = usize::from(s.others[q & IN]);
            let (at, _) = place(s.hashes[j], lines.len());
            let mask = u32::from(s.masks[j]);
            let slot = mask.trailing_zeros() as usize & 15;
            let line = &mut lines[at];
            let class = (mask & mask.wrapping_sub(1) == 0) & !line.kept(slot);
            let weight = if B::UNIT { 1 } else { s.weights[j] };
            let sum = line.counts[slot]
                .get()
                .saturating_add(weight & 0u64.wrapping_sub(class.into()));
            line.counts[slot] = C::new(sum);
            s.strange[strange & IN] = j as u8;
            strange += usize::from(!class);
            if class & (sum > tau) {
                peak = peak.max(sum);
                s.others[offers & IN] = j as u8;
                offers += 1;
            }
        }
        self.peak = peak;
        (strange, offers)
    }

    /// Draws for the `missed` rows and adds those that nothing admits to the rejects; returns how many, now first in `missed`, have
    /// to wait.
    #[inline(always)]
    fn reject<'a, B: Batch<'a, K>>(&mut self, s: &mut Scratch<K>, missed: usize) -> usize {
        let (start, quick, gate) = (self.rows, self.quick(), self.gate);
        let (mut rejected, mut waiting) = (0, 0);
        for q in 0..missed {
            let j = s.missed[q & IN];
            let hash = s.hashes[usize::from(j)];
            let draw = Self::draw(hash, start.wrapping_add(j.into()));
            let admitted = if B::UNIT {
                draw <= quick
            } else {
                Self::admits(draw, s.weights[usize::from(j)], gate)
            };
            s.missed[waiting & IN] = j;
            waiting += usize::from(admitted);
            s.rejected[rejected & IN] = if B::UNIT { hash } else { j.into() };
            rejected += usize::from(!admitted);
        }
        for q in 0..rejected {
            let x = s.rejected[q & IN];
            if B::UNIT {
                self.rejects.add(x, 1);
            } else {
                let j = x as usize & IN;
                self.rejects.add(s.hashes[j], s.weights[j]);
            }
        }
        waiting
    }

    /// A row of a long key, or one whose print is not its alone.
    #[inline]
    fn stranger<'a, B: Batch<'a, K>>(&mut self, s: &Scratch<K>, batch: &B, j: usize) {
        let weight = if B::UNIT { 1 } else { s.weights[j] };
        let key = Self::incoming(s, batch, j);
        let (at, _) = place(key.hash, self.lines.len());
        let line = &self.lines[at];
        let mut mask = s.masks[j];
        while mask != 0 {
            let slot = mask.trailing_zeros() as usize & 15;
            mask &= mask - 1;
            if line.kept(slot) {
                let entry = &mut self.entries[line.counts[slot].get() as usize];
                if entry.key.is(&self.tails, key.words, || key.bytes) {
                    entry.seen = C::new_wide(entry.seen().saturating_add(weight));
                    return;
                }
            }
        }
        self.wait(s, batch, j, weight);
    }

    /// A row waits for the end of the block.
    #[cold]
    #[inline(never)]
    fn wait<'a, B: Batch<'a, K>>(&mut self, s: &Scratch<K>, batch: &B, j: usize, weight: u64) {
        // `rows` still names the segment's first row.
        let at = self.rows.wrapping_add(j as u64) as u8;
        self.pend(at, weight, Self::incoming(s, batch, j));
    }

    fn incoming<'a, B: Batch<'a, K>>(s: &Scratch<K>, batch: &B, j: usize) -> Incoming<'a, K> {
        let words = s.words[j];
        let bytes = if words.is_long() {
            batch.bytes(s.rows[j] as usize)
        } else {
            &[]
        };
        Incoming {
            hash: s.hashes[j],
            words,
            bytes,
        }
    }

    /// Adds rows with the best instructions there are, as [`segment`](Self::segment) says.
    pub fn add_segment<'a, B: Batch<'a, K>>(
        &mut self,
        s: &mut Scratch<K>,
        batch: &B,
        from: usize,
        until: usize,
        path: Path,
    ) -> Taken {
        if self.entries.is_empty() {
            return self.one_by_one(batch, from, until);
        }
        #[allow(unsafe_code)]
        // SAFETY: there are entries; a path is only ever what `Path::best` found the machine to have, and the portable one
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

    fn one_by_one<'a, B: Batch<'a, K>>(&mut self, batch: &B, from: usize, until: usize) -> Taken {
        let mut taken = Taken {
            rows: until - from,
            ..Taken::default()
        };
        for i in from..until {
            let row = batch.row(i);
            match batch.load(row, self.seed) {
                None => taken.skipped += 1,
                Some((_, _, 0)) => {}
                Some((hash, words, weight)) => {
                    let bytes = if words.is_long() { batch.bytes(row) } else { &[] };
                    self.row(Incoming { hash, words, bytes }, weight);
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
        s: &mut Scratch<K>,
        batch: &B,
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
        s: &mut Scratch<K>,
        batch: &B,
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
