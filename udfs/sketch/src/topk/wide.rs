//! The passes over a block in AVX-512: eight or sixteen rows of weight 1 at a time.
//!
//! Their results are those of the loops in [`super::block`], number by number. What they buy, on Zipf 1.1 of integers: one and a half nanoseconds of
//! each row's four. Hashes by the vector cost a third of scalar ones; and once they stand in memory, the loop over hints is free of all that
//! waits for them.
//!
//! What lost: gathering hints and keys by vector instructions, which take as long as scalar loads; lists of hits, to be added in a second loop.

use std::arch::x86_64::*;

use super::counter::{Counter, Entry, Line, PRINTS};
use super::key::Key;
use super::rejects::{CELL, CELLS_OF};
use super::scratch::{Gate, Scratch, Sorted};
use super::shape::CELLS;
use super::table::{BLOCK, DRAW, ROW};
use crate::hash::Seed;

/// Adds the integers whose hint is right; leaves the rows and the hashes of the others in the scratch and returns how many they are.
///
/// # Safety
///
/// There must be entries.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,bmi2,popcnt")]
#[allow(unsafe_code)]
pub(crate) unsafe fn hit_integers<K: Key, C: Counter>(
    entries: &mut [Entry<K, C>],
    s: &mut Scratch,
    values: &[i64],
    seed: Seed,
) -> usize {
    let values = &values[..values.len().min(BLOCK)];
    hash(values, seed, s);
    s.trust(entries.len());
    let hints = &s.hints;
    let mut one = |value: i64, hint: u16, unlike: &mut u8| {
        let number = hints[usize::from(hint) % hints.len()];
        // SAFETY: `trust` has seen to it that all hints are below the number of entries.
        let entry = unsafe { entries.get_unchecked_mut(usize::from(number)) };
        let same = entry.key.is_integer(value);
        entry.add(same.into());
        *unlike = u8::from(!same);
    };
    // By fours, since the compiler does not unroll it, which costs a tenth.
    let ((fours, tail), (hinted, _), (unlike, _)) = (
        values.as_chunks::<4>(),
        s.hinted.as_chunks::<4>(),
        s.unlike.as_chunks_mut::<4>(),
    );
    for ((values, hints), unlike) in fours.iter().zip(hinted).zip(unlike) {
        for i in 0..4 {
            one(values[i], hints[i], &mut unlike[i]);
        }
    }
    let from = values.len() - tail.len();
    for ((value, hint), unlike) in tail.iter().zip(&s.hinted[from..]).zip(&mut s.unlike[from..]) {
        one(*value, *hint, unlike);
    }
    sift(values.len(), s)
}

/// Hashes integers, and notes where their hints stand.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn hash(values: &[i64], seed: Seed, s: &mut Scratch) {
    let [a, b] = seed.words();
    let (a, b) = (_mm512_set1_epi64(a as i64), Factor::new(b));
    let ((eights, tail), (hashes, _), (hinted, _)) = (
        values.as_chunks::<8>(),
        s.hashes.as_chunks_mut::<8>(),
        s.hinted.as_chunks_mut::<8>(),
    );
    let mut last = [0; 8];
    last[..tail.len()].copy_from_slice(tail);
    for ((values, hashes), hinted) in eights.iter().chain([&last]).zip(hashes).zip(hinted) {
        let hash = fold(_mm512_xor_si512(load(values), a), b);
        store(hashes, hash);
        store_u16(hinted, _mm512_srli_epi64::<{ Scratch::HINT_SHIFT }>(hash));
    }
}

/// Closes the gaps that the rows of the first `rows` leave which a hint led to their entry; returns how many rows are left.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,popcnt")]
fn sift(rows: usize, s: &mut Scratch) -> usize {
    let mut rest = 0;
    for (group, unlike) in s.unlike.as_chunks::<16>().0.iter().enumerate() {
        let at = group * 16;
        let Some(left) = rows.checked_sub(at).filter(|left| *left > 0) else {
            break;
        };
        let chosen = ones(load_bytes(unlike)) & first(left);
        let (low, high) = (load(&eight(&s.hashes, at)), load(&eight(&s.hashes, at + 8)));
        let middle = rest + (chosen as u8).count_ones() as usize;
        put(&mut s.hashes, rest, _mm512_maskz_compress_epi64(chosen as u8, low));
        put(
            &mut s.hashes,
            middle,
            _mm512_maskz_compress_epi64((chosen >> 8) as u8, high),
        );
        rest = list(&mut s.rest, rest, at, chosen);
    }
    rest
}

/// Finds the slots of the `rest` and sorts its rows by what they found: one class, a kept key, or nothing. Of the last, those that
/// may be admitted are listed, and of the others the cells in the table of rejects. All lists keep the order of the rows.
///
/// # Safety
///
/// There must be lines, less than 2^32 here and among the rejects.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,bmi1,bmi2,popcnt")]
#[allow(unsafe_code)]
pub(crate) unsafe fn sort<C: Counter>(lines: &[Line<C>], s: &mut Scratch, rest: usize, gate: Gate) -> Sorted {
    let rest = rest.min(BLOCK);
    place(lines.len(), s, rest);
    let one = _mm256_set1_epi16(1);
    for j in 0..rest {
        // SAFETY: `place` gives numbers below `lines.len()`: (x * len) >> 32 with x below 2^32.
        let line = unsafe { lines.get_unchecked(s.at[j] as usize) };
        // SAFETY: the load is of the 32 bytes of `prints`, and need not be aligned.
        let prints = unsafe { _mm256_loadu_si256(line.prints.as_ptr().cast()) };
        let print = _mm256_set1_epi16(s.prints[j] as i16);
        let class = _mm256_cmpeq_epi16_mask(prints, print);
        let kept = _mm256_cmpeq_epi16_mask(prints, _mm256_or_si256(print, one));
        s.slots[j] = u32::from(class) | u32::from(kept) << 16;
    }
    let (mut sorted, mut at) = (Sorted::default(), 0);
    while at < rest {
        let rows = first(rest - at);
        let slots = load_u32(&sixteen(&s.slots, at));
        let found = _mm512_test_epi32_mask(slots, slots);
        let less = _mm512_sub_epi32(slots, _mm512_set1_epi32(1));
        // One slot that keeps no key.
        let class =
            found & _mm512_testn_epi32_mask(slots, less) & _mm512_cmplt_epu32_mask(slots, _mm512_set1_epi32(1 << 16));
        sorted.classes = list(&mut s.classes, sorted.classes, at, class & rows);
        sorted.keyed = list(&mut s.keyed, sorted.keyed, at, found & !class & rows);
        let missed = !found & rows;
        if missed != 0 {
            let (hashes, places) = ([eight(&s.hashes, at), eight(&s.hashes, at + 8)], sixteen(&s.places, at));
            let (places, missed) = (places.as_chunks::<8>().0, [missed as u8, (missed >> 8) as u8]);
            let mut waiting = [0; 2];
            for half in 0..2 {
                let hashes = load(&hashes[half]);
                waiting[half] = missed[half] & admitted(hashes, u64::from_le_bytes(places[half]), gate);
                let rejected = missed[half] & !waiting[half];
                let cells = cells(hashes, gate.lines);
                put(
                    &mut s.cells,
                    sorted.rejected,
                    _mm512_maskz_compress_epi64(rejected, cells),
                );
                sorted.rejected += rejected.count_ones() as usize;
            }
            let waiting = u16::from_le_bytes(waiting);
            sorted.waiting = list(&mut s.waiting, sorted.waiting, at, waiting);
        }
        at += 16;
    }
    sorted
}

/// Lines and prints, as [`super::counter::place`] gives them.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn place(lines: usize, s: &mut Scratch, rest: usize) {
    let lines = _mm512_set1_epi64(lines as i64);
    let (hashes, at, prints) = (
        s.hashes.as_chunks::<8>().0,
        s.at.as_chunks_mut::<8>().0,
        s.prints.as_chunks_mut::<8>().0,
    );
    for ((hashes, at), prints) in hashes.iter().zip(at).zip(prints).take(rest.div_ceil(8)) {
        let hash = load(hashes);
        store_u32(at, scale(hash, lines));
        let print = _mm512_and_si512(hash, _mm512_set1_epi64(PRINTS.into()));
        let none = _mm512_testn_epi64_mask(print, print);
        store_u16(prints, _mm512_mask_set1_epi64(print, none, 2));
    }
}

/// Which of eight rows with these hashes and places may be admitted, by [`super::table::Table::draw`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn admitted(hashes: __m512i, places: u64, gate: Gate) -> u8 {
    let places = _mm512_cvtepu8_epi64(_mm_cvtsi64_si128(places as i64));
    // (start + place) * ROW, with a place of one byte.
    let low = _mm512_mul_epu32(places, _mm512_set1_epi64(ROW as u32 as i64));
    let high = _mm512_mul_epu32(places, _mm512_set1_epi64((ROW >> 32) as i64));
    let rows = _mm512_add_epi64(low, _mm512_slli_epi64::<32>(high));
    let rows = _mm512_add_epi64(rows, _mm512_set1_epi64(gate.start.wrapping_mul(ROW) as i64));
    let draw = fold(_mm512_xor_si512(hashes, rows), Factor::new(DRAW));
    let draw = _mm512_and_si512(_mm512_srli_epi64::<16>(draw), _mm512_set1_epi64(u32::MAX.into()));
    _mm512_cmple_epu64_mask(draw, _mm512_set1_epi64(gate.quick.into()))
}

/// The two cells of eight hashes in a table of rejects with so many lines: the first in the low half of a word, the other in the high half.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn cells(hashes: __m512i, lines: usize) -> __m512i {
    let g = fold(
        _mm512_xor_si512(hashes, _mm512_set1_epi64(CELL as i64)),
        Factor::new(CELLS_OF),
    );
    let line = scale(g, _mm512_set1_epi64(lines as i64));
    let half = _mm512_set1_epi64((CELLS / 2 - 1) as i64);
    let base = _mm512_slli_epi64::<{ CELLS.trailing_zeros() }>(line);
    let first = _mm512_or_si512(base, _mm512_and_si512(g, half));
    let other = _mm512_or_si512(
        _mm512_or_si512(base, _mm512_set1_epi64((CELLS / 2) as i64)),
        _mm512_and_si512(_mm512_srli_epi64::<8>(g), half),
    );
    _mm512_or_si512(first, _mm512_slli_epi64::<32>(other))
}

/// The upper half of each word, scaled to a number below `by`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn scale(x: __m512i, by: __m512i) -> __m512i {
    _mm512_srli_epi64::<32>(_mm512_mul_epu32(_mm512_srli_epi64::<32>(x), by))
}

/// A word in eight copies, to multiply by: both of its halves.
#[derive(Clone, Copy)]
struct Factor {
    low: __m512i,
    high: __m512i,
}

impl Factor {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    fn new(word: u64) -> Self {
        Factor {
            low: _mm512_set1_epi64((word & 0xFFFF_FFFF) as i64),
            high: _mm512_set1_epi64((word >> 32) as i64),
        }
    }
}

/// [`crate::hash::fold`] of eight words with the same one: the 128-bit products, out of four of 64 bits each, as one does it by hand.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn fold(x: __m512i, y: Factor) -> __m512i {
    let (low, high) = (_mm512_set1_epi64(0xFFFF_FFFF), _mm512_srli_epi64::<32>(x));
    let (ll, lh) = (_mm512_mul_epu32(x, y.low), _mm512_mul_epu32(x, y.high));
    let (hl, hh) = (_mm512_mul_epu32(high, y.low), _mm512_mul_epu32(high, y.high));
    // No sum can overflow: (2^32 - 1)^2 + 2 (2^32 - 1) = 2^64 - 1.
    let carried = _mm512_add_epi64(_mm512_srli_epi64::<32>(ll), hl);
    let middle = _mm512_add_epi64(_mm512_and_si512(carried, low), lh);
    let upper = _mm512_add_epi64(_mm512_srli_epi64::<32>(carried), _mm512_srli_epi64::<32>(middle));
    let upper = _mm512_add_epi64(hh, upper);
    let lower = _mm512_or_si512(_mm512_and_si512(ll, low), _mm512_slli_epi64::<32>(middle));
    _mm512_xor_si512(upper, lower)
}

/// The first `n` of sixteen.
#[inline(always)]
fn first(n: usize) -> u16 {
    if n < 16 { (1 << n) - 1 } else { u16::MAX }
}

/// Appends the chosen ones of sixteen rows from `at` on to a list of `len` rows, which there must not be more of than `at`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,popcnt")]
#[allow(unsafe_code)]
fn list(into: &mut [u8; BLOCK], len: usize, at: usize, chosen: u16) -> usize {
    let rows = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    let rows = _mm512_add_epi32(rows, _mm512_set1_epi32(at as i32));
    let bytes = _mm512_cvtepi32_epi8(_mm512_maskz_compress_epi32(chosen, rows));
    if let Some(to) = into.get_mut(len..len + 16) {
        // SAFETY: these are sixteen bytes; the store need not be aligned.
        unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), bytes) };
    }
    len + chosen.count_ones() as usize
}

/// Writes eight words from `at` on.
#[target_feature(enable = "avx512f")]
#[allow(unsafe_code)]
fn put(into: &mut [u64; BLOCK], at: usize, words: __m512i) {
    if let Some(to) = into.get_mut(at..at + 8) {
        // SAFETY: these are 64 bytes; the store need not be aligned.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), words) };
    }
}

/// Eight words from `at` on, which is at most `BLOCK - 8`.
#[inline(always)]
fn eight(words: &[u64; BLOCK], at: usize) -> [u64; 8] {
    words.as_chunks::<8>().0[at / 8 % (BLOCK / 8)]
}

/// Sixteen from `at` on, which is at most `BLOCK - 16`.
#[inline(always)]
fn sixteen<T: Copy>(all: &[T; BLOCK], at: usize) -> [T; 16] {
    all.as_chunks::<16>().0[at / 16 % (BLOCK / 16)]
}

// SAFETY of what follows: every load and store is of one array, of exactly that many bytes, and need not be aligned.

#[target_feature(enable = "avx512f")]
#[allow(unsafe_code)]
fn load<T: Word>(words: &[T; 8]) -> __m512i {
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

/// 64 bits.
trait Word {}
impl Word for i64 {}
impl Word for u64 {}

#[target_feature(enable = "avx512f")]
#[allow(unsafe_code)]
fn load_u32(words: &[u32; 16]) -> __m512i {
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
#[allow(unsafe_code)]
fn load_bytes(bytes: &[u8; 16]) -> __m128i {
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
#[allow(unsafe_code)]
fn store(to: &mut [u64; 8], words: __m512i) {
    unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), words) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
#[allow(unsafe_code)]
fn store_u32(to: &mut [u32; 8], words: __m512i) {
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), _mm512_cvtepi64_epi32(words)) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
#[allow(unsafe_code)]
fn store_u16(to: &mut [u16; 8], words: __m512i) {
    unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), _mm512_cvtepi64_epi16(words)) }
}

/// Which bytes are not 0.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn ones(bytes: __m128i) -> u16 {
    _mm_test_epi8_mask(bytes, bytes)
}

#[cfg(test)]
mod tests {
    use super::super::counter;
    use super::super::rejects::Rejects;
    use super::super::table::Table;
    use super::*;
    use crate::hash;

    /// What a word holds eight times.
    fn words(of: __m512i) -> [u64; 8] {
        let mut words = [0; 8];
        #[allow(unsafe_code)]
        // SAFETY: only called where AVX-512 is; the store is of 64 bytes.
        unsafe {
            _mm512_storeu_si512(words.as_mut_ptr().cast(), of);
        }
        words
    }

    #[test]
    #[allow(unsafe_code)]
    fn eight_rows_at_once_give_what_one_gives() {
        if !(is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512vl")) {
            return;
        }
        let mut scratch = Box::new(Scratch::new());
        let mut word = 1u64;
        for round in 0..2000u64 {
            let hashes: [u64; 8] = std::array::from_fn(|i| {
                word = hash::mix(word);
                // Carries are hardest where all bits are set.
                if (round + i as u64).is_multiple_of(7) {
                    u64::MAX << (word % 64)
                } else {
                    word
                }
            });
            let (lines, quick, start) = (1 + (word % 5000) as usize, (word >> 30) as u32, word.rotate_left(9));
            let gate = Gate { start, quick, lines };
            let places: [u8; 8] = (word ^ 0x1234_5678_9ABC_DEF0).to_le_bytes();
            scratch.hashes[..8].copy_from_slice(&hashes);
            // SAFETY: the machine has the instructions.
            let (folded, found, admitted) = unsafe {
                place(lines, &mut scratch, 8);
                let all = load(&hashes);
                (
                    words(fold(all, Factor::new(word))),
                    words(cells(all, lines)),
                    admitted(all, u64::from_le_bytes(places), gate),
                )
            };
            for i in 0..8 {
                assert_eq!(folded[i], hash::fold(hashes[i], word));
                let (line, print) = counter::place(hashes[i], lines);
                assert_eq!((scratch.at[i] as usize, scratch.prints[i]), (line, print));
                let (line, first, other) = Rejects::<u16>::cells(lines, hashes[i]);
                let cells = [line * CELLS + first, line * CELLS + other];
                assert_eq!([found[i] as u32 as usize, (found[i] >> 32) as usize], cells);
                let draw = Table::<u64, u16>::draw(hashes[i], start.wrapping_add(places[i].into()));
                assert_eq!(admitted >> i & 1 == 1, draw <= quick);
            }
        }
    }
}
