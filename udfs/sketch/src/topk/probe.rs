//! Finding a print among the sixteen of a line: portably, or in one comparison of 32 bytes.
//!
//! All return the same mask, bit `i` for slot `i`, so that every path goes the same way.

use super::counter::{Counter, Entry, Line};
use super::key::Key;
use super::scratch::{Gate, Scratch, Sorted};
use super::shape::SLOTS;
#[cfg(target_arch = "x86_64")]
use super::wide;
use crate::hash::Seed;

/// A set of instructions.
pub(crate) trait Isa {
    /// The slots whose print is `print`, kept or not. `print` is even.
    ///
    /// # Safety
    ///
    /// The machine must have the instructions.
    #[allow(unsafe_code)]
    unsafe fn find(prints: &[u16; SLOTS], print: u16) -> u32;

    /// Adds the integers whose hint is right and returns how many are left in the scratch, if this set is better at that than a plain loop.
    ///
    /// # Safety
    ///
    /// The machine must have the instructions; there must be entries.
    #[inline(always)]
    #[allow(unsafe_code)]
    unsafe fn hit_integers<K: Key, C: Counter>(
        _: &mut [Entry<K, C>],
        _: &mut Scratch,
        _: &[i64],
        _: Seed,
    ) -> Option<usize> {
        None
    }

    /// Sorts rows of weight 1 by what they find, if this set is better at that than plain loops.
    ///
    /// # Safety
    ///
    /// The machine must have the instructions; there must be lines.
    #[inline(always)]
    #[allow(unsafe_code)]
    unsafe fn sort<C: Counter>(_: &[Line<C>], _: &mut Scratch, _rest: usize, _: Gate) -> Option<Sorted> {
        None
    }
}

/// What every machine has.
pub(crate) struct Portable;

impl Isa for Portable {
    #[inline(always)]
    #[allow(unsafe_code)]
    unsafe fn find(prints: &[u16; SLOTS], print: u16) -> u32 {
        find(prints, print)
    }
}

/// The search with what every machine has, safe to call: SSE2 where that is x86-64.
#[inline(always)]
pub(crate) fn find(prints: &[u16; SLOTS], print: u16) -> u32 {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::*;
        #[allow(unsafe_code)]
        // SAFETY: SSE2 is part of x86-64; the loads are of the 32 bytes of `prints`, and need not be aligned.
        unsafe {
            let halves: *const __m128i = prints.as_ptr().cast();
            let (kept, wanted) = (_mm_set1_epi16(1), _mm_set1_epi16((print | 1) as i16));
            let equal = |half| _mm_cmpeq_epi16(_mm_or_si128(half, kept), wanted);
            let (low, high) = (equal(_mm_loadu_si128(halves)), equal(_mm_loadu_si128(halves.add(1))));
            _mm_movemask_epi8(_mm_packs_epi16(low, high)) as u32
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    scan(prints, print)
}

/// The same without any such instructions.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn scan(prints: &[u16; SLOTS], print: u16) -> u32 {
    let mut mask = 0;
    for (i, p) in prints.iter().enumerate() {
        mask |= u32::from(p | 1 == print | 1) << i;
    }
    mask
}

/// The slots with an odd print.
#[inline(always)]
pub(crate) fn odd(prints: &[u16; SLOTS]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::*;
        #[allow(unsafe_code)]
        // SAFETY: SSE2 is part of x86-64; the loads are of the 32 bytes of `prints`, and need not be aligned.
        unsafe {
            let halves: *const __m128i = prints.as_ptr().cast();
            let odd = |half| _mm_srai_epi16::<15>(_mm_slli_epi16::<15>(half));
            let (low, high) = (odd(_mm_loadu_si128(halves)), odd(_mm_loadu_si128(halves.add(1))));
            _mm_movemask_epi8(_mm_packs_epi16(low, high)) as u32
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        prints
            .iter()
            .enumerate()
            .fold(0, |mask, (i, print)| mask | u32::from(print & 1) << i)
    }
}

/// [`Counter::victim`](super::counter::Counter::victim) of a line of 16-bit counters, for SSE2, which has no such minimum of its own.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn victim(prints: &[u16; SLOTS], counts: &[u16; SLOTS]) -> (usize, u16) {
    use std::arch::x86_64::*;
    #[allow(unsafe_code)]
    // SAFETY: SSE2 is part of x86-64; the loads are of 32 bytes each, and need not be aligned.
    unsafe {
        let min = |a, b| _mm_sub_epi16(a, _mm_subs_epu16(a, b));
        let least = |low, high| {
            let all = min(low, high);
            let all = min(all, _mm_shuffle_epi32::<0b01_00_11_10>(all));
            let all = min(all, _mm_shuffle_epi32::<0b10_11_00_01>(all));
            // In every lane: the smaller of its pair.
            min(all, _mm_or_si128(_mm_slli_epi32::<16>(all), _mm_srli_epi32::<16>(all)))
        };
        let load = |from: *const u16| (_mm_loadu_si128(from.cast()), _mm_loadu_si128(from.add(8).cast()));
        let (prints, counts) = (load(prints.as_ptr()), load(counts.as_ptr()));
        let kept = |prints| _mm_sub_epi16(_mm_setzero_si128(), _mm_and_si128(prints, _mm_set1_epi16(1)));
        let kept = (kept(prints.0), kept(prints.1));
        let open = (_mm_or_si128(counts.0, kept.0), _mm_or_si128(counts.1, kept.1));
        let floor = least(open.0, open.1);
        let candidates = |open, prints, kept| {
            let out = _mm_xor_si128(_mm_cmpeq_epi16(open, floor), _mm_set1_epi16(-1));
            _mm_or_si128(prints, _mm_or_si128(out, kept))
        };
        let candidates = (
            candidates(open.0, prints.0, kept.0),
            candidates(open.1, prints.1, kept.1),
        );
        let print = least(candidates.0, candidates.1);
        let found = _mm_packs_epi16(
            _mm_cmpeq_epi16(candidates.0, print),
            _mm_cmpeq_epi16(candidates.1, print),
        );
        let slot = (_mm_movemask_epi8(found) as u32).trailing_zeros() as usize % SLOTS;
        (slot, _mm_cvtsi128_si32(floor) as u16)
    }
}

/// The slots of a mask.
#[inline(always)]
pub(crate) fn slots(mut mask: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let slot = (mask != 0).then(|| mask.trailing_zeros() as usize % SLOTS);
        mask &= mask.wrapping_sub(1);
        slot
    })
}

/// AVX2, of every x86-64 server since 2015.
#[cfg(target_arch = "x86_64")]
pub(crate) struct Avx2;

#[cfg(target_arch = "x86_64")]
impl Isa for Avx2 {
    #[inline(always)]
    #[allow(unsafe_code)]
    unsafe fn find(prints: &[u16; SLOTS], print: u16) -> u32 {
        use std::arch::x86_64::*;
        // SAFETY: the caller promises AVX2 and BMI2; the load is of the 32 bytes of `prints`, and need not be aligned.
        unsafe {
            let prints = _mm256_loadu_si256(prints.as_ptr().cast());
            let kept = _mm256_set1_epi16(1);
            let wanted = _mm256_set1_epi16((print | 1) as i16);
            let equal = _mm256_cmpeq_epi16(_mm256_or_si256(prints, kept), wanted);
            // Two equal bits a slot; one of them is enough.
            _pext_u32(_mm256_movemask_epi8(equal) as u32, 0x5555_5555)
        }
    }
}

/// AVX-512 on 32-byte registers: the mask comes out of the comparison.
#[cfg(target_arch = "x86_64")]
pub(crate) struct Avx512;

#[cfg(target_arch = "x86_64")]
impl Isa for Avx512 {
    #[inline(always)]
    #[allow(unsafe_code)]
    unsafe fn find(prints: &[u16; SLOTS], print: u16) -> u32 {
        use std::arch::x86_64::*;
        // SAFETY: the caller promises AVX-512 BW and VL; the load is of the 32 bytes of `prints`, and need not be aligned.
        unsafe {
            let prints = _mm256_loadu_si256(prints.as_ptr().cast());
            let differing = _mm256_xor_si256(prints, _mm256_set1_epi16(print as i16));
            u32::from(_mm256_testn_epi16_mask(differing, _mm256_set1_epi16(-2)))
        }
    }

    #[inline(always)]
    #[allow(unsafe_code)]
    unsafe fn hit_integers<K: Key, C: Counter>(
        entries: &mut [Entry<K, C>],
        s: &mut Scratch,
        values: &[i64],
        seed: Seed,
    ) -> Option<usize> {
        // SAFETY: passed on to the caller.
        Some(unsafe { wide::hit_integers(entries, s, values, seed) })
    }

    #[inline(always)]
    #[allow(unsafe_code)]
    unsafe fn sort<C: Counter>(lines: &[Line<C>], s: &mut Scratch, rest: usize, gate: Gate) -> Option<Sorted> {
        // SAFETY: passed on to the caller; a shape has far less than 2^32 lines.
        Some(unsafe { wide::sort(lines, s, rest, gate) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_of_instructions_finds_the_same_slots() {
        let mut prints = [0u16; SLOTS];
        for round in 0..2000u16 {
            for (i, print) in prints.iter_mut().enumerate() {
                *print = (round.wrapping_mul(31).wrapping_add(i as u16 * 7)) % 24;
            }
            for print in (2..26).step_by(2) {
                let portable = scan(&prints, print);
                assert_eq!(portable, find(&prints, print));
                #[cfg(target_arch = "x86_64")]
                #[allow(unsafe_code)]
                // SAFETY: each is called only where the machine has its instructions.
                unsafe {
                    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi2") {
                        assert_eq!(portable, Avx2::find(&prints, print));
                    }
                    if is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vl") {
                        assert_eq!(portable, Avx512::find(&prints, print));
                    }
                }
                let expected = (0..SLOTS)
                    .filter(|i| prints[*i] & !1 == print)
                    .map(|i| 1u32 << i)
                    .sum::<u32>();
                assert_eq!(portable, expected);
            }
        }
    }
}
