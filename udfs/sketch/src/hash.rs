//! The hash of an item: 64 bits from one wide multiplication for integers and short strings.
//!
//! The step is `fold(x, y)`: the 128-bit product of two 64-bit words, its halves combined by exclusive or. Every input is
//! first combined with words drawn from the seed, so that without the seed nobody can choose items that collide. It is
//! no cryptographic hash: whoever sees hashes can learn the seed, so hashes never leave the process, and bytes
//! on the wire carry a seed's id only ([`Seed::id`]).
//!
//! A string of up to 12 bytes is hashed as the two words of its Arrow view (length and first four bytes, the other eight), so
//! that a column of views is hashed without touching the strings. Longer ones fold 16 bytes a step and end with
//! their last 16, which may overlap. Bounds never rest on the hash: keys are compared in full, and a collision
//! can only make an upper bound larger.
//!
//! Source of the step: Wang Yi's wyhash (public domain), also behind foldhash and the hash of Abseil.

/// Fractional digits of pi: nothing up the sleeve.
const PI: [u64; 4] = [
    0x243F_6A88_85A3_08D3,
    0x1319_8A2E_0370_7344,
    0xA409_3822_299F_31D0,
    0x082E_FA98_EC4E_6C89,
];

/// The longest string that a view holds inline.
pub(crate) const INLINE: usize = 12;

/// Folds the product of two words into one.
#[inline(always)]
pub(crate) const fn fold(x: u64, y: u64) -> u64 {
    let product = (x as u128) * (y as u128);
    product as u64 ^ (product >> 64) as u64
}

/// A finaliser whose every output bit depends on every input bit (the last step of splitmix64, Steele et al. 2014).
pub(crate) const fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// The words that a seed gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seed {
    value: u64,
    a: u64,
    b: u64,
}

impl Seed {
    pub fn new(value: u64) -> Self {
        // Seed 0 takes the digits as they are; `b` is odd, so that an integer's hash is a product by an odd number.
        let a = if value == 0 { PI[0] } else { mix(value ^ PI[2]) };
        let b = if value == 0 { PI[1] } else { mix(value ^ PI[3]) };
        Seed { value, a, b: b | 1 }
    }

    /// What [`integer`](Self::integer) combines a value with, and then multiplies it by.
    #[cfg(target_arch = "x86_64")]
    pub fn words(self) -> [u64; 2] {
        [self.a, self.b]
    }

    /// 32 bits that tell seeds apart and do not determine one: each id stands for 2^32 seeds.
    pub fn id(self) -> u32 {
        if self.value == 0 {
            0
        } else {
            (mix(mix(self.value ^ PI[0]) ^ self.value) >> 32) as u32 | 1
        }
    }

    #[inline(always)]
    pub fn integer(self, value: u64) -> u64 {
        fold(value ^ self.a, self.b)
    }

    /// The hash of a string of at most [`INLINE`] bytes, from its view's words.
    #[inline(always)]
    pub fn short(self, words: [u64; 2]) -> u64 {
        fold(words[0] ^ self.a, words[1] ^ self.b)
    }

    /// The hash of a string of more than [`INLINE`] bytes.
    #[inline]
    pub fn long(self, bytes: &[u8]) -> u64 {
        let n = bytes.len();
        let mut hash = n as u64 ^ self.a;
        let mut rest = bytes;
        while rest.len() > 16 {
            hash = fold(word(rest, 0) ^ PI[2], word(rest, 8) ^ hash);
            rest = &rest[16..];
        }
        if n < 16 {
            return fold(word(bytes, 0) ^ hash, word(bytes, n.saturating_sub(8)) ^ self.b);
        }
        fold(word(bytes, n - 16) ^ hash, word(bytes, n - 8) ^ self.b)
    }

    /// The hash of any string.
    #[inline]
    pub fn bytes(self, bytes: &[u8]) -> u64 {
        if bytes.len() <= INLINE {
            self.short(view_words(bytes))
        } else {
            self.long(bytes)
        }
    }
}

/// Eight bytes at `at`, or zero where they do not exist (which the callers' lengths exclude).
#[inline(always)]
fn word(bytes: &[u8], at: usize) -> u64 {
    match bytes.get(at..at + 8).and_then(|b| <[u8; 8]>::try_from(b).ok()) {
        Some(b) => u64::from_le_bytes(b),
        None => 0,
    }
}

/// The words of a string's view: its length and first four bytes, and the eight bytes after those, zero where it ends.
///
/// A longer string gets its length and its first twelve bytes: not its whole identity, but enough to tell most apart.
#[inline]
pub(crate) fn view_words(bytes: &[u8]) -> [u64; 2] {
    if bytes.len() > INLINE {
        return [bytes.len() as u64 & 0xFFFF_FFFF | word(bytes, 0) << 32, word(bytes, 4)];
    }
    let mut view = [0u8; 16];
    let n = bytes.len();
    view[..4].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
    view[4..4 + n].copy_from_slice(&bytes[..n]);
    let view = u128::from_le_bytes(view);
    [view as u64, (view >> 64) as u64]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_and_the_length_count() {
        let seed = Seed::new(0);
        for n in 0..70usize {
            let text: Vec<u8> = (0..n as u8).collect();
            let hash = seed.bytes(&text);
            for i in 0..n {
                let mut other = text.clone();
                other[i] ^= 0x40;
                assert_ne!(hash, seed.bytes(&other), "byte {i} of {n}");
            }
            let mut longer = text.clone();
            longer.push(0);
            assert_ne!(hash, seed.bytes(&longer), "length {n}");
        }
    }

    #[test]
    fn buckets_and_fingerprints_of_consecutive_integers_spread() {
        let seed = Seed::new(0);
        let mut buckets = [0u32; 64];
        let mut prints = [0u32; 64];
        for i in 0..64_000u64 {
            let h = seed.integer(i);
            buckets[(h >> 58) as usize] += 1;
            prints[h as usize & 63] += 1;
        }
        for n in buckets.iter().chain(&prints) {
            assert!((800..1200).contains(n), "{n}");
        }
    }
}
