//! Items and how they come in: one at a time, or as the plain slices of a column.
//!
//! The shapes of [`Items`] are those of Arrow's arrays without Arrow: a slice of integers, offsets and bytes, or
//! 16-byte views and their buffers. Rows whose offsets or views point outside of the bytes given count as skipped,
//! so that a damaged column can neither panic nor read what is not its own.

use std::fmt;
use std::ops::Range;

/// The type of a sketch's items. It is part of the bytes, and sketches of different kinds do not merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ItemKind {
    /// UTF-8 text.
    Text,
    /// Byte strings, shown in base64.
    Bytes,
    /// Signed 64-bit integers.
    Int64,
}

impl ItemKind {
    pub(crate) fn tag(self) -> u8 {
        match self {
            ItemKind::Text => 0,
            ItemKind::Bytes => 1,
            ItemKind::Int64 => 2,
        }
    }

    pub(crate) fn from_tag(tag: u8) -> Option<Self> {
        match tag {
            0 => Some(ItemKind::Text),
            1 => Some(ItemKind::Bytes),
            2 => Some(ItemKind::Int64),
            _ => None,
        }
    }
}

impl fmt::Display for ItemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ItemKind::Text => "text",
            ItemKind::Bytes => "bytes",
            ItemKind::Int64 => "int64",
        })
    }
}

/// What a sketch adds up: rows, or the weights of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Measure {
    /// Every row counts 1.
    Count,
    /// Every row counts its weight.
    Sum,
}

impl Measure {
    pub(crate) fn tag(self) -> u8 {
        match self {
            Measure::Count => 0,
            Measure::Sum => 1,
        }
    }

    pub(crate) fn from_tag(tag: u8) -> Option<Self> {
        match tag {
            0 => Some(Measure::Count),
            1 => Some(Measure::Sum),
            _ => None,
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Measure::Count => "count",
            Measure::Sum => "sum",
        })
    }
}

/// A column of items, as plain slices.
#[derive(Debug, Clone, Copy)]
pub enum Items<'a> {
    /// One integer a row.
    Int64(&'a [i64]),
    /// Row `i` is `bytes[offsets[i]..offsets[i + 1]]`.
    Offsets {
        /// One more offset than rows.
        offsets: &'a [i32],
        /// What the offsets point into.
        bytes: &'a [u8],
    },
    /// The same with 64-bit offsets.
    LargeOffsets {
        /// One more offset than rows.
        offsets: &'a [i64],
        /// What the offsets point into.
        bytes: &'a [u8],
    },
    /// Arrow's string views: the length in the low 4 bytes; up to 12 bytes follow inline, else 4 bytes of prefix, the
    /// buffer's number and the offset in it.
    Views {
        /// One view a row.
        views: &'a [u128],
        /// What the long views point into.
        buffers: &'a [&'a [u8]],
    },
}

impl<'a> Items<'a> {
    /// Number of rows in the column.
    pub fn len(&self) -> usize {
        match self {
            Items::Int64(values) => values.len(),
            Items::Offsets { offsets, .. } => offsets.len().saturating_sub(1),
            Items::LargeOffsets { offsets, .. } => offsets.len().saturating_sub(1),
            Items::Views { views, .. } => views.len(),
        }
    }

    /// Whether the column has no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of a row of text or bytes; `None` for integers, a row that does not exist, or one that points outside.
    pub fn bytes(&self, row: usize) -> Option<&'a [u8]> {
        match *self {
            Items::Int64(_) => None,
            Items::Offsets { offsets, bytes } => {
                let (from, to) = (*offsets.get(row)?, *offsets.get(row + 1)?);
                bytes.get(usize::try_from(from).ok()?..usize::try_from(to).ok()?)
            }
            Items::LargeOffsets { offsets, bytes } => {
                let (from, to) = (*offsets.get(row)?, *offsets.get(row + 1)?);
                bytes.get(usize::try_from(from).ok()?..usize::try_from(to).ok()?)
            }
            Items::Views { views, buffers } => {
                let view = views.get(row)?;
                let length = *view as u32 as usize;
                if length <= 12 {
                    Some(&inline(view)[..length])
                } else {
                    let (buffer, offset) = ((*view >> 64) as u32 as usize, (*view >> 96) as u32 as usize);
                    buffers.get(buffer)?.get(offset..offset.checked_add(length)?)
                }
            }
        }
    }
}

/// The twelve inline bytes of a view, in place.
#[cfg(target_endian = "little")]
fn inline(view: &u128) -> &[u8; 12] {
    #[allow(unsafe_code)]
    // SAFETY: a u128 is 16 initialised bytes, of which 4 to 15 are the inline part on a little-endian machine; u8 has
    // no alignment, and the result borrows from `view`. Copying instead would give bytes that die with this call.
    unsafe {
        &*std::ptr::from_ref(view).cast::<u8>().add(4).cast::<[u8; 12]>()
    }
}

/// Which rows of a column, in order.
#[derive(Debug, Clone)]
pub enum Rows<'a> {
    /// A range of rows.
    All(Range<usize>),
    /// Rows by number, in the order given; a number outside of the column counts as skipped.
    Indices(&'a [u32]),
}

impl Rows<'_> {
    /// How many rows are named.
    pub fn len(&self) -> usize {
        match self {
            Rows::All(range) => range.len(),
            Rows::Indices(indices) => indices.len(),
        }
    }

    /// Whether no row is named.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of the `i`th row.
    pub(crate) fn at(&self, i: usize) -> usize {
        match self {
            Rows::All(range) => range.start.saturating_add(i),
            Rows::Indices(indices) => indices.get(i).map_or(usize::MAX, |row| *row as usize),
        }
    }
}
