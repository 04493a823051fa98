//! From a column's rows to keys: the first pass of a batch.

use super::key::{Key, View};
use crate::Items;
use crate::hash::{INLINE, Seed};

/// The bits of a view's first and second word that belong to a string of each length up to [`INLINE`].
const MASKS: [[u64; INLINE + 1]; 2] = {
    let mut masks = [[0; INLINE + 1]; 2];
    let mut length = 0;
    while length <= INLINE {
        let mask = u128::MAX >> (96 - 8 * length);
        (masks[0][length], masks[1][length]) = (mask as u64, (mask >> 64) as u64);
        length += 1;
    }
    masks
};

/// The words of a short string in the low bytes of a view, whatever stands behind it.
#[inline(always)]
fn cut(view: u128, length: usize) -> [u64; 2] {
    [view as u64 & MASKS[0][length], (view >> 64) as u64 & MASKS[1][length]]
}

/// A column that gives keys of one type.
pub(crate) trait Column<'a, K>: Copy {
    /// The hash and the words of a row's key, if it is short and read at once: what the hottest loop asks for.
    fn quick(&self, row: usize, seed: Seed) -> Option<(u64, K)>;
    /// The hash and the words of a row's key; `None` for a row that does not exist or points outside of its bytes.
    fn load(&self, row: usize, seed: Seed) -> Option<(u64, K)>;
    /// All rows, if they are integers.
    fn integers(&self) -> Option<&'a [i64]> {
        None
    }
    /// All bytes of a row's key, if it is long.
    fn bytes(&self, row: usize) -> &'a [u8];
}

#[derive(Clone, Copy)]
pub(crate) struct Integers<'a>(pub &'a [i64]);

impl<'a> Column<'a, u64> for Integers<'a> {
    #[inline(always)]
    fn quick(&self, row: usize, seed: Seed) -> Option<(u64, u64)> {
        let value = *self.0.get(row)? as u64;
        Some((seed.integer(value), value))
    }

    fn load(&self, row: usize, seed: Seed) -> Option<(u64, u64)> {
        self.quick(row, seed)
    }

    #[inline]
    fn integers(&self) -> Option<&'a [i64]> {
        Some(self.0)
    }

    fn bytes(&self, _: usize) -> &'a [u8] {
        &[]
    }
}

/// An offset of 32 or 64 bits.
pub(crate) trait Offset: Copy {
    fn at(self) -> Option<usize>;
}

impl Offset for i32 {
    #[inline(always)]
    fn at(self) -> Option<usize> {
        usize::try_from(self).ok()
    }
}

impl Offset for i64 {
    #[inline(always)]
    fn at(self) -> Option<usize> {
        usize::try_from(self).ok()
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Strings<'a, O> {
    pub offsets: &'a [O],
    pub bytes: &'a [u8],
}

impl<'a, O: Offset> Strings<'a, O> {
    fn get(&self, row: usize) -> Option<&'a [u8]> {
        let (from, to) = (self.offsets.get(row)?.at()?, self.offsets.get(row + 1)?.at()?);
        self.bytes.get(from..to)
    }
}

impl<'a, O: Offset> Column<'a, View> for Strings<'a, O> {
    #[inline(always)]
    fn quick(&self, row: usize, seed: Seed) -> Option<(u64, View)> {
        let (from, to) = (self.offsets.get(row)?.at()?, self.offsets.get(row + 1)?.at()?);
        // Sixteen bytes at once where there are that many: shift the length in, cut what is behind the string.
        let wide = <[u8; 16]>::try_from(self.bytes.get(from..from.checked_add(16)?)?).ok()?;
        let length = to.wrapping_sub(from);
        if length > INLINE {
            return None;
        }
        let words = cut(u128::from_le_bytes(wide) << 32 | length as u128, length);
        Some((seed.short(words), View(words)))
    }

    fn load(&self, row: usize, seed: Seed) -> Option<(u64, View)> {
        let key = View::incoming(seed, self.get(row)?);
        Some((key.hash, key.words))
    }

    fn bytes(&self, row: usize) -> &'a [u8] {
        self.get(row).unwrap_or_default()
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Views<'a> {
    pub views: &'a [u128],
    pub buffers: &'a [&'a [u8]],
}

impl<'a> Views<'a> {
    fn get(&self, row: usize) -> Option<&'a [u8]> {
        Items::Views {
            views: self.views,
            buffers: self.buffers,
        }
        .bytes(row)
    }
}

impl<'a> Column<'a, View> for Views<'a> {
    #[inline(always)]
    fn quick(&self, row: usize, seed: Seed) -> Option<(u64, View)> {
        let view = *self.views.get(row)?;
        let length = view as u32 as usize;
        if length > INLINE {
            return None;
        }
        let words = cut(view, length);
        Some((seed.short(words), View(words)))
    }

    fn load(&self, row: usize, seed: Seed) -> Option<(u64, View)> {
        let key = View::incoming(seed, self.get(row)?);
        Some((key.hash, key.words))
    }

    fn bytes(&self, row: usize) -> &'a [u8] {
        self.get(row).unwrap_or_default()
    }
}
