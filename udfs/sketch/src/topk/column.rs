//! From a column's rows to keys: the first pass of a batch.

use super::key::{Key, View};
use crate::Items;
use crate::hash::{INLINE, Seed};

/// The bits of a view's words that belong to a string of each length up to [`INLINE`].
const MASKS: [[u64; 2]; INLINE + 1] = {
    let mut masks = [[0; 2]; INLINE + 1];
    let mut length = 0;
    while length <= INLINE {
        let mask = u128::MAX >> (96 - 8 * length);
        masks[length] = [mask as u64, (mask >> 64) as u64];
        length += 1;
    }
    masks
};

/// A column that gives keys of one type.
pub(crate) trait Column<'a, K>: Copy {
    /// The hash and the words of a row's key; `None` for a row that does not exist or points outside of its bytes.
    fn load(&self, row: usize, seed: Seed) -> Option<(u64, K)>;
    /// All bytes of a row's key, if it is long.
    fn bytes(&self, row: usize) -> &'a [u8];
}

#[derive(Clone, Copy)]
pub(crate) struct Integers<'a>(pub &'a [i64]);

impl<'a> Column<'a, u64> for Integers<'a> {
    #[inline(always)]
    fn load(&self, row: usize, seed: Seed) -> Option<(u64, u64)> {
        let value = *self.0.get(row)? as u64;
        Some((seed.integer(value), value))
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
    #[inline(always)]
    fn get(&self, row: usize) -> Option<(usize, &'a [u8])> {
        let (from, to) = (self.offsets.get(row)?.at()?, self.offsets.get(row + 1)?.at()?);
        Some((from, self.bytes.get(from..to)?))
    }
}

impl<'a, O: Offset> Column<'a, View> for Strings<'a, O> {
    #[inline(always)]
    fn load(&self, row: usize, seed: Seed) -> Option<(u64, View)> {
        let (from, item) = self.get(row)?;
        if item.len() <= INLINE {
            // Sixteen bytes at once where there are that many: shift the length in, cut what is behind the string.
            if let Some(Ok(wide)) = self.bytes.get(from..from + 16).map(<[u8; 16]>::try_from) {
                let view = u128::from_le_bytes(wide) << 32 | item.len() as u128;
                let mask = MASKS[item.len()];
                let words = [view as u64 & mask[0], (view >> 64) as u64 & mask[1]];
                return Some((seed.short(words), View(words)));
            }
        }
        let key = View::incoming(seed, item);
        Some((key.hash, key.words))
    }

    fn bytes(&self, row: usize) -> &'a [u8] {
        self.get(row).map_or(&[], |(_, item)| item)
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Views<'a> {
    pub views: &'a [u128],
    pub buffers: &'a [&'a [u8]],
}

impl<'a> Column<'a, View> for Views<'a> {
    #[inline(always)]
    fn load(&self, row: usize, seed: Seed) -> Option<(u64, View)> {
        let view = *self.views.get(row)?;
        let length = view as u32;
        if length as usize <= INLINE {
            // Whatever stands behind the string, hostile columns included, is no part of it.
            let mask = MASKS[length as usize];
            let words = [view as u64 & mask[0], (view >> 64) as u64 & mask[1]];
            return Some((seed.short(words), View(words)));
        }
        let item = Items::Views {
            views: self.views,
            buffers: self.buffers,
        }
        .bytes(row)?;
        let key = View::incoming(seed, item);
        Some((key.hash, key.words))
    }

    fn bytes(&self, row: usize) -> &'a [u8] {
        Items::Views {
            views: self.views,
            buffers: self.buffers,
        }
        .bytes(row)
        .unwrap_or_default()
    }
}
