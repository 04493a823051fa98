//! Keys as a sketch stores them: an integer is one word; a string of up to 12 bytes is the two words of its view; of a
//! longer one the words hold the length, the first eight bytes and where the rest lies in the sketch's own `tails`.

use std::cmp::Ordering;

use crate::hash::{INLINE, Seed, view_words};

/// Bytes of a long key that stand in its words.
const HEAD: usize = 8;

/// A key as it comes: its words, and all its bytes if it is long (else none are needed).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Incoming<'a, K> {
    pub hash: u64,
    pub words: K,
    pub bytes: &'a [u8],
}

/// A stored key.
pub(crate) trait Key: Copy + Default + PartialEq + std::fmt::Debug + 'static + Send + Sync {
    /// What a key of these bytes looks like on its way in.
    fn incoming(seed: Seed, bytes: &[u8]) -> Incoming<'_, Self>;
    /// Stores a key, its tail behind the others.
    fn store(words: Self, bytes: &[u8], tails: &mut Vec<u8>) -> Self;
    /// Whether a stored key is the incoming one, compared in full.
    fn is<'a>(self, tails: &[u8], words: Self, bytes: impl FnOnce() -> &'a [u8]) -> bool;
    /// Whether a stored key is the incoming one, which is short. Without branches.
    fn is_short(self, words: Self) -> bool;
    /// Whether a stored key is that integer.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    fn is_integer(self, value: i64) -> bool;
    /// Whether two stored keys are the same.
    fn same(self, tails: &[u8], other: Self, other_tails: &[u8]) -> bool;
    /// Whether incoming words are those of a long key.
    fn is_long(self) -> bool;
    /// The part of a stored key that stands in `tails`.
    fn tail(self, tails: &[u8]) -> &[u8];
    /// The same key with its tail moved.
    fn moved(self, from: &[u8], to: &mut Vec<u8>) -> Self;
    /// Appends all bytes of a stored key.
    fn append_to(self, tails: &[u8], to: &mut Vec<u8>);
    /// The hash of a stored key.
    fn hash(self, tails: &[u8], seed: Seed) -> u64;
    /// Orders stored keys by their bytes.
    fn order(self, tails: &[u8], other: Self, other_tails: &[u8]) -> Ordering;
    /// Orders stored keys as they are written: integers as unsigned numbers, others by their bytes.
    fn order_written(self, tails: &[u8], other: Self, other_tails: &[u8]) -> Ordering;
    /// The same of a stored key and the incoming one.
    fn order_incoming(self, tails: &[u8], words: Self, bytes: &[u8]) -> Ordering;
    /// Orders stored keys as answers break ties: integers by their decimal digits, others by their bytes.
    fn order_shown(self, tails: &[u8], other: Self) -> Ordering {
        self.order(tails, other, tails)
    }
    /// All bytes of a stored key.
    fn bytes(self, tails: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.append_to(tails, &mut bytes);
        bytes
    }
}

impl Key for u64 {
    fn incoming(seed: Seed, bytes: &[u8]) -> Incoming<'_, u64> {
        let words = bytes.try_into().map_or(0, u64::from_le_bytes);
        Incoming {
            hash: seed.integer(words),
            words,
            bytes: &[],
        }
    }

    fn store(words: u64, _: &[u8], _: &mut Vec<u8>) -> u64 {
        words
    }

    #[inline(always)]
    fn is<'a>(self, _: &[u8], words: u64, _: impl FnOnce() -> &'a [u8]) -> bool {
        self == words
    }

    #[inline(always)]
    fn is_short(self, words: u64) -> bool {
        self == words
    }

    #[inline(always)]
    fn is_integer(self, value: i64) -> bool {
        self == value as u64
    }

    #[inline(always)]
    fn same(self, _: &[u8], other: u64, _: &[u8]) -> bool {
        self == other
    }

    #[inline(always)]
    fn is_long(self) -> bool {
        false
    }

    fn tail(self, _: &[u8]) -> &[u8] {
        &[]
    }

    fn moved(self, _: &[u8], _: &mut Vec<u8>) -> u64 {
        self
    }

    fn append_to(self, _: &[u8], to: &mut Vec<u8>) {
        to.extend_from_slice(&self.to_le_bytes());
    }

    fn hash(self, _: &[u8], seed: Seed) -> u64 {
        seed.integer(self)
    }

    fn order(self, _: &[u8], other: u64, _: &[u8]) -> Ordering {
        self.swap_bytes().cmp(&other.swap_bytes())
    }

    #[inline(always)]
    fn order_written(self, _: &[u8], other: u64, _: &[u8]) -> Ordering {
        self.cmp(&other)
    }

    #[inline(always)]
    fn order_incoming(self, _: &[u8], words: u64, _: &[u8]) -> Ordering {
        self.cmp(&words)
    }

    fn order_shown(self, _: &[u8], other: u64) -> Ordering {
        (self as i64).to_string().cmp(&(other as i64).to_string())
    }
}

/// The words of a string.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct View(pub [u64; 2]);

impl View {
    #[inline(always)]
    fn length(self) -> usize {
        self.0[0] as u32 as usize
    }

    #[inline(always)]
    fn offset(self) -> usize {
        (self.0[1] >> 32) as usize
    }

    /// The first eight bytes as a number that orders like them; zero where they end.
    #[inline(always)]
    fn head(self) -> u64 {
        (self.0[0] >> 32 | self.0[1] << 32).swap_bytes()
    }

    /// The bytes behind the first eight of a short key; of a long one they stand elsewhere.
    #[inline(always)]
    fn rest(self) -> [u8; INLINE - HEAD] {
        ((self.0[1] >> 32) as u32).to_le_bytes()
    }

    /// Orders keys with the same head: by what is behind it, then, since zeros may be bytes or none, by length.
    #[inline(never)]
    fn order_rests(self, rest: &[u8], other: Self, other_rest: &[u8]) -> Ordering {
        fn behind<'a>(key: View, short: &'a [u8], long: &'a [u8]) -> &'a [u8] {
            if key.length() > INLINE {
                return long;
            }
            short.get(..key.length().saturating_sub(HEAD)).unwrap_or_default()
        }
        let (short, other_short) = (self.rest(), other.rest());
        behind(self, &short, rest)
            .cmp(behind(other, &other_short, other_rest))
            .then(self.length().cmp(&other.length()))
    }
}

impl View {
    /// Compares the tails of long keys; out of line, to keep registers free for the short ones.
    #[inline(never)]
    fn ends_like<'a>(self, tails: &[u8], bytes: impl FnOnce() -> &'a [u8]) -> bool {
        bytes().get(HEAD..) == Some(self.tail(tails))
    }
}

impl Key for View {
    fn incoming(seed: Seed, bytes: &[u8]) -> Incoming<'_, View> {
        let words = view_words(bytes);
        if bytes.len() <= INLINE {
            Incoming {
                hash: seed.short(words),
                words: View(words),
                bytes: &[],
            }
        } else {
            Incoming {
                hash: seed.long(bytes),
                words: View(words),
                bytes,
            }
        }
    }

    fn store(words: View, bytes: &[u8], tails: &mut Vec<u8>) -> View {
        if words.length() <= INLINE {
            return words;
        }
        let offset = tails.len() as u64;
        let tail = bytes.get(HEAD..).unwrap_or_default();
        if tails.capacity() - tails.len() < tail.len() {
            // In small steps: a doubling would cost more than the keys.
            tails.reserve_exact(tail.len() + tails.len() / 8 + 32);
        }
        tails.extend_from_slice(tail);
        View([words.0[0], words.0[1] & 0xFFFF_FFFF | offset << 32])
    }

    #[inline(always)]
    fn is<'a>(self, tails: &[u8], words: View, bytes: impl FnOnce() -> &'a [u8]) -> bool {
        let (head, next) = (self.0[0] ^ words.0[0], self.0[1] ^ words.0[1]);
        if words.length() <= INLINE {
            return head | next == 0;
        }
        head == 0 && next as u32 == 0 && self.ends_like(tails, bytes)
    }

    #[inline(always)]
    fn is_short(self, words: View) -> bool {
        (self.0[0] ^ words.0[0]) | (self.0[1] ^ words.0[1]) == 0
    }

    fn is_integer(self, _: i64) -> bool {
        false
    }

    #[inline]
    fn same(self, tails: &[u8], other: View, other_tails: &[u8]) -> bool {
        let (head, next) = (self.0[0] ^ other.0[0], self.0[1] ^ other.0[1]);
        if self.length() <= INLINE {
            return head | next == 0;
        }
        head == 0 && next as u32 == 0 && self.tail(tails) == other.tail(other_tails)
    }

    #[inline(always)]
    fn is_long(self) -> bool {
        self.length() > INLINE
    }

    #[inline]
    fn tail(self, tails: &[u8]) -> &[u8] {
        if self.length() <= INLINE {
            return &[];
        }
        tails
            .get(self.offset()..self.offset() + self.length() - HEAD)
            .unwrap_or_default()
    }

    fn moved(self, from: &[u8], to: &mut Vec<u8>) -> View {
        if self.length() <= INLINE {
            return self;
        }
        let offset = to.len() as u64;
        to.extend_from_slice(self.tail(from));
        View([self.0[0], self.0[1] & 0xFFFF_FFFF | offset << 32])
    }

    fn append_to(self, tails: &[u8], to: &mut Vec<u8>) {
        let mut view = [0u8; 16];
        view[..8].copy_from_slice(&self.0[0].to_le_bytes());
        view[8..].copy_from_slice(&self.0[1].to_le_bytes());
        if self.length() <= INLINE {
            return to.extend_from_slice(&view[4..4 + self.length()]);
        }
        to.extend_from_slice(&view[4..4 + HEAD]);
        to.extend_from_slice(self.tail(tails));
    }

    fn hash(self, tails: &[u8], seed: Seed) -> u64 {
        if self.length() <= INLINE {
            seed.short(self.0)
        } else {
            seed.long(&self.bytes(tails))
        }
    }

    #[inline]
    fn order(self, tails: &[u8], other: View, other_tails: &[u8]) -> Ordering {
        match self.head().cmp(&other.head()) {
            Ordering::Equal => self.order_rests(self.tail(tails), other, other.tail(other_tails)),
            order => order,
        }
    }

    #[inline(always)]
    fn order_written(self, tails: &[u8], other: View, other_tails: &[u8]) -> Ordering {
        if self.0 == other.0 && !self.is_long() {
            return Ordering::Equal;
        }
        self.order(tails, other, other_tails)
    }

    #[inline]
    fn order_incoming(self, tails: &[u8], words: View, bytes: &[u8]) -> Ordering {
        match self.head().cmp(&words.head()) {
            Ordering::Equal => self.order_rests(self.tail(tails), words, bytes.get(HEAD..).unwrap_or_default()),
            order => order,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Strings that share their beginnings, end in zeros, and are short, long or just between.
    fn strings() -> impl Strategy<Value = Vec<u8>> {
        (0usize..12, prop::collection::vec(0u8..2, 0..10)).prop_map(|(shared, mut rest)| {
            let mut bytes = vec![7; shared];
            bytes.append(&mut rest);
            bytes
        })
    }

    proptest! {
        #[test]
        fn strings_are_ordered_like_their_bytes(a in strings(), b in strings()) {
            let seed = Seed::new(0);
            let (x, y) = (View::incoming(seed, &a), View::incoming(seed, &b));
            let (mut tails, mut others) = (vec![1; 3], vec![2; 5]);
            let (s, t) = (View::store(x.words, x.bytes, &mut tails), View::store(y.words, y.bytes, &mut others));
            prop_assert_eq!(s.bytes(&tails), a.clone());
            prop_assert_eq!(s.order(&tails, t, &others), a.cmp(&b));
            prop_assert_eq!(s.order_written(&tails, t, &others), a.cmp(&b));
            prop_assert_eq!(s.order_incoming(&tails, y.words, y.bytes), a.cmp(&b));
        }

        #[test]
        fn integers_are_ordered_like_their_bytes_and_written_like_numbers(a in any::<u64>(), shift in 0u32..64) {
            let b = a ^ 1 << shift;
            prop_assert_eq!(a.order(&[], b, &[]), a.to_le_bytes().cmp(&b.to_le_bytes()));
            prop_assert_eq!(a.order_written(&[], b, &[]), a.cmp(&b));
            prop_assert_eq!(a.order_incoming(&[], b, &[]), a.cmp(&b));
        }
    }
}
