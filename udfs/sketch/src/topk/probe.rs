//! Finding a print among the sixteen of a line: portably, or in one comparison of 32 bytes.
//!
//! All return the same mask, bit `i` for slot `i`, so that every path goes the same way.

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
        mask |= u32::from(p | 1 == print | 1) << i;
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
                let portable = find(&prints, print);
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
