//! The fast path: up to a block of rows in passes without unpredictable branches.
//!
//! What [`Table::row`] does row by row, done kind by kind: one pass finds every row's slot and sorts rows into those that may hit a
//! kept key, those that hit a class, and the rest; then each kind is worked off in a loop of its own. Since structure
//! never changes inside a block, additions commute and the result is the same, which `tests/` checks byte by byte.

use super::counter::{Counter, place};
use super::key::{Incoming, Key};
use super::probe::Isa;
use super::table::{BLOCK, Table};

/// Rows of a segment as they come in: hashes, words, weights, and room to sort them.
pub(crate) struct Scratch<K> {
    pub hashes: [u64; BLOCK],
    pub words: [K; BLOCK],
    /// Unset when every row weighs 1.
    pub weights: [u64; BLOCK],
    /// Which row of the column each one is.
    pub rows: [usize; BLOCK],
    kept: [u64; BLOCK],
    class: [u64; BLOCK],
    rest: [u16; BLOCK],
}

impl<K: Key> Scratch<K> {
    pub fn new() -> Self {
        Scratch {
            hashes: [0; BLOCK],
            words: [K::default(); BLOCK],
            weights: [1; BLOCK],
            rows: [0; BLOCK],
            kept: [0; BLOCK],
            class: [0; BLOCK],
            rest: [0; BLOCK],
        }
    }
}

/// Marks a row of `rest` whose print was found more than once.
const MANY: u16 = 1 << 15;

impl<K: Key, C: Counter> Table<K, C> {
    /// Adds the first `n` rows of the scratch, which must not cross the end of a block.
    ///
    /// # Safety
    ///
    /// The machine must have the instructions of `I`.
    #[inline(always)]
    #[allow(unsafe_code)]
    unsafe fn segment<'a, I: Isa, const UNIT: bool>(
        &mut self,
        s: &mut Scratch<K>,
        n: usize,
        bytes: &dyn Fn(usize) -> &'a [u8],
    ) {
        const IN: usize = BLOCK - 1;
        let n = n.min(BLOCK);
        let (mut kept, mut class, mut rest) = (0, 0, 0);
        for j in 0..n {
            let (at, print) = place(s.hashes[j], self.lines.len());
            let line = &self.lines[at];
            // SAFETY: passed on to the caller.
            let mask = unsafe { I::find(&line.prints, print) };
            let slot = (mask.trailing_zeros() >> 1) as usize & 15;
            let one = mask != 0 && mask & mask.wrapping_sub(1) == 0;
            let keeps = line.prints[slot] & 1 == 1;
            let x = (j as u64) << 32 | (at as u64 * 16 + slot as u64);
            s.kept[kept & IN] = x;
            s.class[class & IN] = x;
            s.rest[rest & IN] = j as u16 | if mask != 0 { MANY } else { 0 };
            kept += usize::from(one & keeps);
            class += usize::from(one & !keeps);
            rest += usize::from(!one);
        }
        let start = self.rows;
        let weight = |s: &Scratch<K>, j: usize| if UNIT { 1 } else { s.weights[j & IN] };

        for q in 0..kept {
            let (j, slot) = (
                (s.kept[q & IN] >> 32) as usize & IN,
                s.kept[q & IN] as u32 as usize,
            );
            let number = self.lines[slot / 16].counts[slot % 16].get() as usize;
            let entry = &mut self.entries[number];
            if entry.key.is(&self.tails, s.words[j], || bytes(s.rows[j])) {
                entry.seen = C::new_wide(entry.seen().saturating_add(weight(s, j)));
            } else {
                self.pend_row(s, j, weight(s, j), bytes);
            }
        }
        for q in 0..class {
            let (j, slot) = (
                (s.class[q & IN] >> 32) as usize & IN,
                s.class[q & IN] as u32 as usize,
            );
            let count = &mut self.lines[slot / 16].counts[slot % 16];
            let sum = count.get().saturating_add(weight(s, j));
            *count = C::new(sum);
            if sum > self.tau {
                self.peak = self.peak.max(sum);
                self.pend_row(s, j, 0, bytes);
            }
        }
        let quick = self.quick();
        let (mut rejected, mut waiting) = (0, 0);
        for q in 0..rest {
            let (j, many) = (s.rest[q & IN] & !MANY, s.rest[q & IN] & MANY != 0);
            let hash = s.hashes[j as usize & IN];
            let draw = Self::draw(hash, start.wrapping_add(j.into()));
            let admitted = if UNIT {
                draw <= quick
            } else {
                Self::admits(draw, s.weights[j as usize & IN], self.gate)
            };
            s.kept[waiting & IN] = j.into();
            waiting += usize::from(admitted | many);
            s.class[rejected & IN] = j.into();
            rejected += usize::from(!(admitted | many));
        }
        for q in 0..rejected {
            let j = s.class[q & IN] as usize & IN;
            self.rejects.add(s.hashes[j], weight(s, j));
        }
        for q in 0..waiting {
            let j = s.kept[q & IN] as usize & IN;
            self.pend_row(s, j, weight(s, j), bytes);
        }
        self.rows = start.wrapping_add(n as u64);
    }

    #[cold]
    #[inline(never)]
    fn pend_row<'a>(
        &mut self,
        s: &Scratch<K>,
        j: usize,
        weight: u64,
        bytes: &dyn Fn(usize) -> &'a [u8],
    ) {
        let words = s.words[j];
        let bytes = if words.is_long() {
            bytes(s.rows[j])
        } else {
            &[]
        };
        // `rows` still names the segment's first row.
        let at = self.rows.wrapping_add(j as u64) as u8;
        self.pend(
            at,
            weight,
            Incoming {
                hash: s.hashes[j],
                words,
                bytes,
            },
        );
    }

    /// Adds the first `n` rows of the scratch with the best instructions there are.
    pub fn add_segment<'a>(
        &mut self,
        s: &mut Scratch<K>,
        n: usize,
        unit: bool,
        fast: bool,
        bytes: &dyn Fn(usize) -> &'a [u8],
    ) {
        #[cfg(target_arch = "x86_64")]
        if fast {
            #[allow(unsafe_code)]
            // SAFETY: `fast` is only ever the result of `has_fast_path`, which asked the machine for these instructions.
            unsafe {
                if unit {
                    self.segment_avx2::<true>(s, n, bytes)
                } else {
                    self.segment_avx2::<false>(s, n, bytes)
                }
            }
            return;
        }
        let _ = fast;
        #[allow(unsafe_code)]
        // SAFETY: the portable search needs no instructions beyond those the crate was compiled for.
        unsafe {
            if unit {
                self.segment::<super::probe::Portable, true>(s, n, bytes);
            } else {
                self.segment::<super::probe::Portable, false>(s, n, bytes);
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,bmi2,popcnt")]
    #[allow(unsafe_code)]
    unsafe fn segment_avx2<'a, const UNIT: bool>(
        &mut self,
        s: &mut Scratch<K>,
        n: usize,
        bytes: &dyn Fn(usize) -> &'a [u8],
    ) {
        // SAFETY: the features are enabled here, and the caller vouches for the machine.
        unsafe { self.segment::<super::probe::Avx2, UNIT>(s, n, bytes) }
    }
}

/// Whether this machine has the instructions of the fast path. The answer is cached by the standard library.
pub(crate) fn has_fast_path() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("popcnt")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}
