//! Finding a print among the sixteen of a line: portably, or in one comparison of 32 bytes.
//!
//! Both return the same mask, two bits a slot: bit `2 i` is set when slot `i` matches.

use super::shape::SLOTS;

/// A set of instructions.
pub(crate) trait Isa {
    /// The slots whose print is `print`, kept or not. `print` is even.
    ///
    /// # Safety
    ///
    /// The machine must have the instructions.
    #[allow(unsafe_code)]
    unsafe fn find(prints: &[u16; SLOTS], print: u16) -> u32;
}

/// No special instructions.
pub(crate) struct Portable;

impl Isa for Portable {
    #[inline(always)]
    #[allow(unsafe_code)]
    unsafe fn find(prints: &[u16; SLOTS], print: u16) -> u32 {
        find(prints, print)
    }
}

/// The portable search, safe to call.
#[inline(always)]
pub(crate) fn find(prints: &[u16; SLOTS], print: u16) -> u32 {
    let mut mask = 0;
    for (i, p) in prints.iter().enumerate() {
        mask |= u32::from(p | 1 == print | 1) << (2 * i);
    }
    mask
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
        // SAFETY: the caller promises AVX2; the load is of the 32 bytes of `prints`, unaligned loads are allowed.
        unsafe {
            let prints = _mm256_loadu_si256(prints.as_ptr().cast());
            let kept = _mm256_set1_epi16(1);
            let equal = _mm256_cmpeq_epi16(
                _mm256_or_si256(prints, kept),
                _mm256_set1_epi16((print | 1) as i16),
            );
            _mm256_movemask_epi8(equal) as u32 & 0x5555_5555
        }
    }
}
