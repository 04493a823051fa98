//! Apache DataSketches' frequent-items bytes, so that sketches of Druid, Pinot, PostgreSQL or BigQuery can come and go.
//!
//! Their sketch holds values `v` and one `offset`: an item's weight is in `[v, v + offset]`, and at most `offset` if it is not held.
//! That is a Space-Saving summary whose counters all have the same slack, so reading loses nothing; writing takes the largest slack
//! for all. Serial version 1, as the Java, C++, Go and Rust libraries write it:
//!
//! ```text
//! longs of preamble u8 (1 or 4) | 1 u8 | family 10 u8 | lg max map u8 | lg map u8 | flags u8 (5: empty) | 0 u16
//! items u32 | 0 u32 | total u64 | offset u64 | values u64 ... | items ...
//!
//! item:  text: length u32, bytes;  int64: 8 bytes
//! ```
//!
//! Source: the preamble tables of `org.apache.datasketches.frequencies.PreambleUtil` and the documentation of its port to Rust.

use crate::answer::Knowledge;
use crate::hash::Seed;
use crate::space_saving::SpaceSaving;
use crate::wire::{Reader, Writer};
use crate::{Error, ItemKind, MAX_CAPACITY, Measure, TopK};

const SERIAL_VERSION: u8 = 1;
const FAMILY: u8 = 10;
/// Two bits say that a sketch is empty: the libraries once disagreed, and all write both.
const EMPTY: u8 = 5;
/// The logarithms of the smallest map, and of the largest that is read.
const LG_MIN: u8 = 3;
const LG_MAX: u8 = 30;

/// What such bytes say.
struct Frequent {
    /// How many items the sketch may hold.
    capacity: usize,
    total: u64,
    offset: u64,
    items: Vec<(Box<[u8]>, u64)>,
}

impl Frequent {
    /// The logarithm of the smallest map that holds `n` items at a load of 3/4.
    fn lg(n: usize) -> u8 {
        let slots = (n * 4).div_ceil(3).next_power_of_two().max(1 << LG_MIN);
        slots.trailing_zeros() as u8
    }

    fn write(&self, kind: ItemKind) -> Vec<u8> {
        let mut w = Writer::default();
        let empty = self.total == 0;
        w.bytes
            .extend_from_slice(&[if empty { 1 } else { 4 }, SERIAL_VERSION, FAMILY]);
        w.u8(Self::lg(self.capacity.max(self.items.len())));
        w.u8(Self::lg(self.items.len()));
        w.u8(if empty { EMPTY } else { 0 });
        w.bytes.extend_from_slice(&[0, 0]);
        if empty {
            return w.bytes;
        }
        w.u32(self.items.len() as u32);
        w.u32(0);
        w.u64(self.total);
        w.u64(self.offset);
        for (_, value) in &self.items {
            w.u64(*value);
        }
        for (item, _) in &self.items {
            if kind != ItemKind::Int64 {
                w.u32(item.len() as u32);
            }
            w.bytes.extend_from_slice(item);
        }
        w.bytes
    }

    fn read(bytes: &[u8], kind: ItemKind) -> Result<Self, Error> {
        let mut r = Reader::new(bytes);
        let (longs, version, family, lg_max, _, flags) = (r.u8()?, r.u8()?, r.u8()?, r.u8()?, r.u8()?, r.u8()?);
        r.take(2)?;
        if family != FAMILY {
            return Err(Error::Corrupt("it is no frequent-items sketch"));
        }
        if version != SERIAL_VERSION {
            return Err(Error::Version(version));
        }
        if !(LG_MIN..=LG_MAX).contains(&lg_max) {
            return Err(Error::Corrupt("its map size is out of range"));
        }
        let capacity = (3usize << lg_max) / 4;
        if flags & EMPTY != 0 {
            return Ok(Frequent {
                capacity,
                total: 0,
                offset: 0,
                items: Vec::new(),
            });
        }
        if longs != 4 {
            return Err(Error::Corrupt("its preamble is unknown"));
        }
        let n = r.u32()? as usize;
        r.take(4)?;
        let (total, offset) = (r.u64()?, r.u64()?);
        if n > capacity || n.saturating_mul(12) > r.rest().len() {
            return Err(Error::Corrupt("a length exceeds the bytes"));
        }
        let values = (0..n).map(|_| r.u64()).collect::<Result<Vec<_>, _>>()?;
        let mut items: Vec<(Box<[u8]>, u64)> = Vec::with_capacity(n);
        for value in values {
            let length = if kind == ItemKind::Int64 { 8 } else { r.u32()? as usize };
            items.push((r.take(length)?.into(), value));
        }
        r.finish()?;
        items.sort_unstable();
        if items.iter().any(|(_, value)| *value == 0) || items.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(Error::Corrupt("an item is there twice, or without a value"));
        }
        Ok(Frequent {
            capacity,
            total,
            offset,
            items,
        })
    }

    /// The intervals of some items, and a bound on all others, with one offset for all.
    fn of(capacity: usize, total: u128, elsewhere: u64, items: Vec<(Box<[u8]>, u64, u64)>) -> Self {
        let offset = items
            .iter()
            .map(|(_, lower, upper)| upper - lower)
            .fold(elsewhere, u64::max);
        let mut items: Vec<_> = items
            .into_iter()
            .filter(|(_, lower, _)| *lower > 0)
            .map(|(item, lower, _)| (item, lower))
            .collect();
        items.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        Frequent {
            capacity,
            total: total.try_into().unwrap_or(u64::MAX),
            offset,
            items,
        }
    }
}

impl SpaceSaving {
    /// The summary as Apache DataSketches' frequent-items bytes, with the largest slack of an item for all of them.
    pub fn to_datasketches(&self) -> Vec<u8> {
        let items = self
            .counters()
            .map(|(key, seen, slack)| (key.into(), seen, seen.saturating_add(slack)))
            .collect();
        Frequent::of(self.capacity(), self.total(), self.floor(), items).write(self.kind())
    }

    /// Reads Apache DataSketches' frequent-items bytes. They do not say what they are of: `kind` does.
    ///
    /// # Errors
    ///
    /// When the bytes are something else.
    pub fn from_datasketches(kind: ItemKind, measure: Measure, bytes: &[u8]) -> Result<Self, Error> {
        let read = Frequent::read(bytes, kind)?;
        let capacity = read.capacity.clamp(1, MAX_CAPACITY).max(read.items.len());
        let empty = SpaceSaving::new(kind, measure, capacity)?;
        let counters = read
            .items
            .into_iter()
            .map(|(key, value)| (key, value, read.offset))
            .collect();
        Ok(SpaceSaving::from_parts(empty, read.total.into(), read.offset, counters))
    }
}

impl TopK {
    /// The sketch as Apache DataSketches' frequent-items bytes: its kept items, with the widest interval for all of them.
    ///
    /// # Examples
    ///
    /// ```
    /// use hitters_sketch::{ItemKind, Measure, TopK};
    ///
    /// let mut top = TopK::new(ItemKind::Text, Measure::Count, 8)?;
    /// top.update(b"/index.html", 3);
    /// let bytes = top.to_datasketches();
    /// let back = TopK::from_datasketches(ItemKind::Text, Measure::Count, &bytes)?;
    /// assert_eq!(back.estimate(b"/index.html").lower, 3);
    /// # Ok::<(), hitters_sketch::Error>(())
    /// ```
    pub fn to_datasketches(&self) -> Vec<u8> {
        let Knowledge {
            total,
            elsewhere,
            candidates,
            ..
        } = self.knowledge();
        let items = candidates
            .into_iter()
            .map(|(item, e)| (item.into_key().into_boxed_slice(), e.lower, e.upper))
            .collect();
        Frequent::of(self.capacity(), total, elsewhere, items).write(self.kind())
    }

    /// Reads Apache DataSketches' frequent-items bytes. They do not say what they are of: `kind` does. The sketch goes on
    /// from there, with their offset as its debt.
    ///
    /// # Errors
    ///
    /// When the bytes are something else, or hold more items than [`MAX_CAPACITY`].
    pub fn from_datasketches(kind: ItemKind, measure: Measure, bytes: &[u8]) -> Result<Self, Error> {
        let read = Frequent::read(bytes, kind)?;
        let capacity = read
            .capacity
            .min(read.items.len().saturating_mul(2))
            .max(read.items.len())
            .max(1);
        if capacity > MAX_CAPACITY {
            return Err(Error::Capacity {
                capacity,
                max: MAX_CAPACITY,
            });
        }
        Ok(TopK::of_intervals(
            kind,
            measure,
            capacity,
            Seed::new(0),
            read.total.into(),
            read.offset,
            &read.items,
        ))
    }
}
