//! Counters of three widths, the lines of slots that they make, and the entries of kept items.
//!
//! A sketch starts with 16-bit counters and moves to 32 and 64 bits when a number might not fit. The width is no part
//! of the state: it changes what a sketch weighs, never what it says. 64-bit counters saturate.

use super::probe;
use super::shape::SLOTS;

/// An unsigned counter.
pub(crate) trait Counter: Copy + Ord + Default + 'static + Send + Sync + std::fmt::Debug {
    /// The type that counts compared rows: these run ahead of all other counts.
    type Wide: Copy + 'static + Send + Sync + std::fmt::Debug;
    /// A count with a print below it.
    type Packed: Copy + Ord + Default;
    /// Aligns a line.
    type Align: Copy + 'static + Send + Sync + std::fmt::Debug;
    const MAX: u64;
    const WIDE_MAX: u64;

    fn get(self) -> u64;
    /// The low bits of a value that is known to fit.
    fn new(value: u64) -> Self;
    /// The sum, or the largest number.
    fn plus(self, other: Self) -> Self;
    fn get_wide(wide: Self::Wide) -> u64;
    fn new_wide(value: u64) -> Self::Wide;
    /// Adds what is known to fit; 64-bit counters saturate.
    fn add_wide(wide: Self::Wide, more: u64) -> Self::Wide;

    /// Orders classes: the larger count first, of equal counts the smaller print.
    fn pack(count: u64, print: u16) -> Self::Packed;
    fn unpack(packed: Self::Packed) -> (u64, u16);

    /// The smallest count of a slot that keeps no key, and the slot that an admission takes: of several at the floor the one with the
    /// smallest print, so that the order of slots in a line means nothing.
    fn victim(prints: &[u16; SLOTS], counts: &[Self; SLOTS]) -> (usize, Self) {
        let mut open = *counts;
        for (count, print) in open.iter_mut().zip(prints) {
            *count = if print & 1 == 1 { Self::new(Self::MAX) } else { *count };
        }
        let floor = least(open);
        let mut candidates = *prints;
        for (print, count) in candidates.iter_mut().zip(&open) {
            *print = if *print & 1 == 0 && *count == floor {
                *print
            } else {
                u16::MAX
            };
        }
        let print = least(candidates);
        (candidates.iter().position(|p| *p == print).unwrap_or(0), floor)
    }

    fn fits(value: u64) -> bool {
        value <= Self::MAX
    }
}

/// The smallest of sixteen, in four steps that vector instructions can take.
#[inline(always)]
fn least<T: Copy + Ord>(mut all: [T; SLOTS]) -> T {
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            all[i] = all[i].min(all[i + half]);
        }
    }
    all[0]
}

/// Forces 64 bytes: the line of 16-bit counters is exactly a cache line.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(crate) struct Align64;
/// Forces 32 bytes.
#[derive(Debug, Clone, Copy)]
#[repr(align(32))]
pub(crate) struct Align32;

macro_rules! counter {
    ($type:ty, $wide:ty, $packed:ty, $align:ty, $add:ident $(, $victim:path)?) => {
        impl Counter for $type {
            type Wide = $wide;
            type Packed = $packed;
            type Align = $align;
            const MAX: u64 = <$type>::MAX as u64;
            const WIDE_MAX: u64 = <$wide>::MAX as u64;

            #[inline(always)]
            fn get(self) -> u64 {
                self as u64
            }
            #[inline(always)]
            fn new(value: u64) -> Self {
                value as Self
            }
            #[inline(always)]
            fn plus(self, other: $type) -> $type {
                self.saturating_add(other)
            }
            #[inline(always)]
            fn get_wide(wide: $wide) -> u64 {
                wide as u64
            }
            #[inline(always)]
            fn new_wide(value: u64) -> $wide {
                value as $wide
            }
            #[inline(always)]
            fn add_wide(wide: $wide, more: u64) -> $wide {
                wide.$add(more as $wide)
            }
            $(
                #[cfg(target_arch = "x86_64")]
                #[inline(always)]
                fn victim(prints: &[u16; SLOTS], counts: &[$type; SLOTS]) -> (usize, $type) {
                    $victim(prints, counts)
                }
            )?
            #[inline(always)]
            fn pack(count: u64, print: u16) -> $packed {
                <$packed>::from(count as $type) << 16 | <$packed>::from(!print)
            }
            #[inline(always)]
            fn unpack(packed: $packed) -> (u64, u16) {
                ((packed >> 16) as u64, !(packed as u16))
            }
        }
    };
}
counter!(u16, u32, u32, Align64, wrapping_add, probe::victim);
counter!(u32, u64, u64, Align32, saturating_add);
counter!(u64, u64, u128, Align32, saturating_add);

/// Sixteen slots. A print of 0 is a blank; bit 0 tells a kept slot, whose count is then the number of its entry.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Line<C: Counter> {
    _align: [C::Align; 0],
    pub prints: [u16; SLOTS],
    pub counts: [C; SLOTS],
}

impl<C: Counter> Line<C> {
    pub const BLANK: fn() -> Self = || Line {
        _align: [],
        prints: [0; SLOTS],
        counts: [C::default(); SLOTS],
    };

    #[inline(always)]
    pub fn kept(&self, slot: usize) -> bool {
        self.prints[slot] & 1 == 1
    }

    /// The slots that keep a key, as a mask.
    #[inline]
    pub fn keys(&self) -> u32 {
        probe::odd(&self.prints)
    }

    /// How many slots are kept.
    pub fn kept_slots(&self) -> usize {
        self.keys().count_ones() as usize
    }

    /// The floor: the smallest count of a slot that is not kept.
    #[inline]
    pub fn floor(&self) -> u64 {
        C::victim(&self.prints, &self.counts).1.get()
    }

    /// The slot at the floor that an admission takes.
    #[inline]
    pub fn victim(&self) -> (usize, u64) {
        let (slot, floor) = C::victim(&self.prints, &self.counts);
        (slot, floor.get())
    }

    /// The slot that counts everything with this print that has no key of its own.
    pub fn class(&self, print: u16) -> Option<usize> {
        probe::slots(probe::find(&self.prints, print) & !self.keys()).next()
    }

    /// The slots that keep a key with this print.
    pub fn keepers(&self, print: u16) -> impl Iterator<Item = usize> + use<C> {
        probe::slots(probe::find(&self.prints, print) & self.keys())
    }

    pub fn widen<D: Counter>(&self) -> Line<D> {
        Line {
            _align: [],
            prints: self.prints,
            counts: self.counts.map(|c| D::new(c.get())),
        }
    }
}

/// A kept item. Its weight `f` obeys `seen <= f <= seen + guess + slack`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<K, C: Counter> {
    pub key: K,
    /// Weight of the rows whose key was compared with `key` in full and equal.
    pub seen: C::Wide,
    /// What the slot had counted before the key was kept: of this item, or of others with its print.
    pub guess: C,
    /// What else may have come before.
    pub slack: C,
}

impl<K: Copy, C: Counter> Entry<K, C> {
    pub fn new(key: K, seen: u64, guess: u64, slack: u64) -> Self {
        Entry {
            key,
            seen: C::new_wide(seen),
            guess: C::new(guess),
            slack: C::new(slack),
        }
    }

    /// Adds rows whose key was compared.
    #[inline(always)]
    pub fn add(&mut self, weight: u64) {
        self.seen = C::add_wide(self.seen, weight);
    }

    #[inline(always)]
    pub fn seen(&self) -> u64 {
        C::get_wide(self.seen)
    }

    pub fn estimate(&self) -> u64 {
        self.seen().saturating_add(self.guess.get())
    }

    pub fn upper(&self) -> u64 {
        self.estimate().saturating_add(self.slack.get())
    }
}

/// The bits of a print. The crate's own tests leave five, so that much clashes and yet a line is too small for all.
pub(crate) const PRINTS: u16 = if cfg!(test) { 0b11_1110 } else { !1 };

/// Where an item goes: its line among `lines`, and its print (even, never 0).
#[inline(always)]
pub(crate) fn place(hash: u64, lines: usize) -> (usize, u16) {
    let line = (((hash >> 32) * lines as u64) >> 32) as usize;
    let print = hash as u16 & PRINTS;
    (line, print | u16::from(print == 0) << 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_takes_the_same_victim() {
        let mut x = 1u64;
        let mut next = |below: u64| {
            x = x.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(99);
            (x >> 33) % below
        };
        for round in 0..5000 {
            let mut line: Line<u16> = (Line::BLANK)();
            // Few counts, so that many are equal, and at times all at the top.
            let (least, range) = if round % 5 == 0 { (65_530, 6) } else { (0, 1 + next(40)) };
            for slot in 0..SLOTS {
                line.prints[slot] = (next(500) << 1) as u16 + u16::from(next(3) == 0 && slot > 0);
                line.counts[slot] = (least + next(range)) as u16;
            }
            let (narrow, wide) = (line.victim(), line.widen::<u32>().victim());
            assert_eq!(
                (line.prints[narrow.0], narrow.1),
                (line.prints[wide.0], wide.1),
                "{line:?}"
            );
            let kept = (0..SLOTS)
                .filter(|slot| line.kept(*slot))
                .map(|slot| 1 << slot)
                .sum::<u32>();
            assert_eq!(line.keys(), kept);
        }
    }
}
